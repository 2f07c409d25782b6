//! What the processes of a cluster settle before a run begins.
//!
//! 1. Each tells the others which partitions of sources and sinks it can reach, and all come to
//!    the same conclusion about who owns which.
//! 2. The leader opens the store, and sends each process what its workers begin with.
//! 3. Each lets its sinks claim what nothing is known of, and sends that to the leader, who has
//!    it kept.
//! 4. The leader says in which epoch to begin.
//!
//! Whoever fails tells the others why, and all fail.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::member::{Member, PULSE};
use super::message::{Kept, Message};
use super::wire::{Arrived, Mail};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::host::Host;
use crate::plan::StepId;
use crate::recovery::{Change, Restored, States, chunks};
use crate::run::Caller;

/// The partitions of each step that has some, as they are listed.
pub(crate) type Listed = HashMap<StepId, Vec<String>>;

/// What became of partitions of some steps.
pub(crate) type Claims = Vec<(StepId, Change)>;

/// Where processes wait for each other before they begin.
pub(crate) struct Lobby<'a, H: Host> {
    pub(crate) member: Arc<Member>,
    inbox: Receiver<Mail>,
    /// What has come too early.
    early: VecDeque<Mail>,
    caller: &'a dyn Caller<H>,
}

impl<'a, H: Host> Lobby<'a, H> {
    pub(crate) fn new(
        member: Arc<Member>,
        inbox: Receiver<Mail>,
        caller: &'a dyn Caller<H>,
    ) -> Self {
        Self {
            member,
            inbox,
            early: VecDeque::new(),
            caller,
        }
    }

    /// What comes from now on, after what has come and was of no use yet.
    pub(crate) fn leave(self) -> (VecDeque<Mail>, Receiver<Mail>) {
        (self.early, self.inbox)
    }

    /// Tells the others what this process can reach; gives what each can, in their order.
    pub(crate) fn share_parts(&mut self, own: Listed) -> Result<Vec<Listed>, Error<H>> {
        let mut parts: Vec<_> = own
            .iter()
            .map(|(step, parts)| (step.to_string(), parts.clone()))
            .collect();
        parts.sort();
        self.member.wire.send_all(&Message::Parts(parts));
        let mut all: Vec<Option<Listed>> = vec![None; self.member.place.processes];
        all[self.member.place.process] = Some(own);
        while all.iter().any(Option::is_none) {
            let (from, message) = self.next(|message| matches!(message, Message::Parts(_)))?;
            if let Message::Parts(parts) = message {
                let parts = parts.into_iter();
                all[from] = Some(
                    parts
                        .map(|(step, parts)| (StepId(step.into()), parts))
                        .collect(),
                );
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Sends each process what its workers begin with; what is of this one stays.
    pub(crate) fn deal_out(&self, workers: &mut [Restored]) {
        let place = self.member.place;
        for process in 1..place.processes {
            for worker in place.workers_of(process) {
                let restored = std::mem::take(&mut workers[worker]);
                #[expect(clippy::iter_over_hash_type, reason = "each is for a step of its own")]
                for (step, states) in restored {
                    self.send_states(process, worker, &step, states);
                }
            }
        }
        self.member
            .wire
            .send_all(&Message::Loaded { has_store: true });
    }

    fn send_states(&self, process: usize, worker: usize, step: &StepId, states: States) {
        let states = states.into_iter().map(|(key, saved)| (key, Some(saved)));
        for chunk in chunks(states) {
            let message = Message::Restored {
                worker,
                step: step.to_string(),
                states: chunk.into_iter().map(Kept::of).collect(),
            };
            self.member.wire.send(process, &message);
        }
    }

    /// Says that there is nothing to begin with, and nothing is kept.
    pub(crate) fn begin_from_nothing(&self) {
        let wire = &self.member.wire;
        wire.send_all(&Message::Loaded { has_store: false });
    }

    /// Takes what the workers of this process begin with; nothing if nothing is kept.
    pub(crate) fn take_restored(&mut self) -> Result<Option<Vec<Restored>>, Error<H>> {
        let mut workers: Vec<Restored> = Vec::new();
        workers.resize_with(self.member.place.workers(), Restored::new);
        loop {
            let is_of_it = |message: &Message| {
                matches!(message, Message::Restored { .. } | Message::Loaded { .. })
            };
            match self.next(is_of_it)?.1 {
                Message::Restored {
                    worker,
                    step,
                    states,
                } => {
                    let kept = workers[worker].entry(StepId(step.into())).or_default();
                    let states = states.into_iter().map(Kept::into_change);
                    kept.extend(states.filter_map(|(key, saved)| Some((key, saved?))));
                }
                Message::Loaded { has_store } => return Ok(has_store.then_some(workers)),
                _ => {}
            }
        }
    }

    /// Tells the leader what sinks of this process claim.
    pub(crate) fn send_claims(&self, claims: Claims) {
        let claims = claims.into_iter();
        let claims = claims.map(|(step, change)| (step.to_string(), Kept::of(change)));
        let wire = &self.member.wire;
        wire.send(0, &Message::Claims(claims.collect()));
    }

    /// Takes what sinks of the other processes claim.
    pub(crate) fn gather_claims(&mut self) -> Result<Claims, Error<H>> {
        let mut all = Vec::new();
        for _ in 1..self.member.place.processes {
            let is_claims = |message: &Message| matches!(message, Message::Claims(_));
            if let Message::Claims(claims) = self.next(is_claims)?.1 {
                let claims = claims.into_iter();
                all.extend(claims.map(|(step, kept)| (StepId(step.into()), kept.into_change())));
            }
        }
        Ok(all)
    }

    /// Tells all to begin.
    pub(crate) fn begin(&self, epoch: Epoch, execution: u64) {
        let epoch = epoch.0;
        let wire = &self.member.wire;
        wire.send_all(&Message::Begin { epoch, execution });
    }

    /// Waits until the leader says in which epoch to begin, and as which execution.
    pub(crate) fn await_begin(&mut self) -> Result<(Epoch, u64), Error<H>> {
        loop {
            let is_begin = |message: &Message| matches!(message, Message::Begin { .. });
            if let Message::Begin { epoch, execution } = self.next(is_begin)?.1 {
                return Ok((Epoch(epoch), execution));
            }
        }
    }

    /// The next message of a kind. Others wait for their time.
    fn next(&mut self, is_wanted: impl Fn(&Message) -> bool) -> Result<(usize, Message), Error<H>> {
        let wanted = self.early.iter().position(
            |(_, arrived)| matches!(arrived, Arrived::Message(message) if is_wanted(message)),
        );
        if let Some((from, Arrived::Message(message))) =
            wanted.and_then(|index| self.early.remove(index))
        {
            return Ok((from, message));
        }
        loop {
            let (from, arrived) = match self.inbox.recv_timeout(PULSE) {
                Ok(mail) => mail,
                Err(RecvTimeoutError::Timeout) => {
                    self.caller.interrupted().map_err(Error::Interrupted)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => (self.member.place.process, Arrived::Left),
            };
            match arrived {
                Arrived::Message(Message::Halt(cause)) => return Err(Error::of_peer(cause)),
                Arrived::Message(message) if is_wanted(&message) => return Ok((from, message)),
                Arrived::Message(_) => self.early.push_back((from, arrived)),
                Arrived::Finished => {
                    let why = "it has left before the start".to_owned();
                    return Err(Error::peer_lost(from, why));
                }
                Arrived::Garbled(why) | Arrived::Lost(why) => {
                    return Err(Error::peer_lost(from, why));
                }
                Arrived::Panicked(panic) => return Err(Error::panicked(panic)),
                Arrived::Left => return Err(Error::Internal("it has left its cluster".to_owned())),
            }
        }
    }
}
