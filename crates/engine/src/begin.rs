//! What is settled before the workers begin: who owns which partition, what an earlier run kept,
//! and what all workers share.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_recovery::session::Opened;

use crate::cluster::Place;
use crate::cluster::lobby::{Listed, Lobby};
use crate::error::Error;
use crate::host::Host;
use crate::logic::FlatMapBatch;
use crate::partitions::{Assigned, assign};
use crate::physical::{Kind, Physical};
use crate::plan::{Core, Sink, Source, StepId};
use crate::recovery::TwoPhaseSinks;
use crate::resume::{self, Found};
use crate::run::{Caller, Settings};
use crate::spans::{Call, Spans};

/// What an earlier run kept, and where what this one makes goes.
pub(crate) enum Prior {
    Store(Box<Opened>, Found),
    Leader(Found),
}

/// Finds what an earlier run kept, and lets sinks claim what it didn't know of.
pub(crate) fn restore<H: Host>(
    place: Place,
    lobby: Option<&mut Lobby<'_, H>>,
    physical: &Physical<H>,
    partitions: &HashMap<StepId, Vec<Assigned>>,
    sinks: u32,
    settings: &Settings,
    caller: &dyn Caller<H>,
) -> Result<Option<Prior>, Error<H>> {
    let load = || find(place, lobby, physical, partitions, sinks, settings, caller);
    if settings.recovery.is_none() {
        return load();
    }
    Spans::of_run(caller.tracer().as_ref()).around_part(Call::new("load"), load)
}

fn find<H: Host>(
    place: Place,
    mut lobby: Option<&mut Lobby<'_, H>>,
    physical: &Physical<H>,
    partitions: &HashMap<StepId, Vec<Assigned>>,
    sinks: u32,
    settings: &Settings,
    caller: &dyn Caller<H>,
) -> Result<Option<Prior>, Error<H>> {
    let look_up = || caller.interrupted().map_err(Error::Interrupted);
    if let Some(lobby) = lobby.as_deref_mut().filter(|_| !place.leads()) {
        let Some(workers) = lobby.take_restored()? else {
            return Ok(None);
        };
        let mut found = Found {
            workers,
            ..Found::default()
        };
        resume::claim(physical, partitions, place, &mut found)?;
        lobby.send_claims(std::mem::take(&mut found.claims));
        return Ok(Some(Prior::Leader(found)));
    }
    let Some(recovery) = &settings.recovery else {
        if let Some(lobby) = lobby {
            lobby.begin_from_nothing();
        }
        return Ok(None);
    };
    let workers = place.workers();
    let started = settings.clock.wall().0;
    let opened = resume::open(physical, recovery, workers, sinks, started, look_up)?;
    let mut found = resume::load(&opened, physical, partitions, recovery, workers)?;
    if let Some(lobby) = &mut lobby {
        lobby.deal_out(&mut found.workers);
    }
    resume::claim(physical, partitions, place, &mut found)?;
    if let Some(lobby) = &mut lobby {
        found.claims.extend(lobby.gather_claims()?);
    }
    Ok(Some(Prior::Store(Box::new(opened), found)))
}

/// The mapper of each fused operator.
type FusedMappers<H> = HashMap<StepId, Arc<dyn FlatMapBatch<H>>>;

/// Makes one mapper of the stages of each fused operator, for all workers.
pub(crate) fn fuse_stages<H: Host>(physical: &Physical<H>) -> Result<FusedMappers<H>, Error<H>> {
    H::attach(|scope| {
        let mut all = HashMap::new();
        for operator in &physical.operators {
            if let Kind::Fused(stages) = &operator.kind {
                let stages: Vec<&H::Stage> = stages.iter().map(|stage| &*stage.stage).collect();
                let mapper = H::fuse(scope, &stages, physical.keyed_taker(operator))
                    .map_err(|failure| Error::before_start(operator, failure))?;
                all.insert(operator.id.clone(), mapper);
            }
        }
        Ok(all)
    })
}

/// Asks partitioned sources and sinks for the partitions that this process can reach.
pub(crate) fn list_partitions<H: Host>(physical: &Physical<H>) -> Result<Listed, Error<H>> {
    H::attach(|scope| {
        let mut all = Listed::new();
        for operator in &physical.operators {
            let listed = match &operator.kind {
                Kind::Core(Core::Input(Source::Partitioned(source))) => source.list_parts(scope),
                Kind::Core(Core::Output(Sink::Partitioned(sink))) => sink.list_parts(scope),
                _ => continue,
            };
            let parts = listed.map_err(|failure| Error::before_start(operator, failure))?;
            all.insert(operator.id.clone(), parts);
        }
        Ok(all)
    })
}

/// Says who owns which partition, of those that the processes can reach.
pub(crate) fn deal_out<H: Host>(
    physical: &Physical<H>,
    listed: &[Listed],
    place: Place,
) -> HashMap<StepId, Vec<Assigned>> {
    let ids = physical.operators.iter().map(|operator| &operator.id);
    ids.filter(|id| listed.iter().any(|listed| listed.contains_key(*id)))
        .map(|id| {
            let of_step = |listed: &Listed| listed.get(id).cloned().unwrap_or_default();
            let listed: Vec<_> = listed.iter().map(of_step).collect();
            (id.clone(), assign(&listed, place.workers_each))
        })
        .collect()
}

/// Numbers the partitions of all two-phase sinks.
pub(crate) fn two_phase_sinks<H: Host>(
    physical: &Physical<H>,
    partitions: &HashMap<StepId, Vec<Assigned>>,
) -> TwoPhaseSinks {
    let mut sinks = TwoPhaseSinks::default();
    for operator in &physical.operators {
        if let Kind::Core(Core::Output(Sink::Partitioned(sink))) = &operator.kind
            && sink.is_two_phase()
        {
            sinks.add(
                &operator.id,
                partitions.get(&operator.id).map_or(0, Vec::len),
            );
        }
    }
    sinks
}
