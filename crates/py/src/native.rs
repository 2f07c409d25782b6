//! Which built-in operators have a native form, and how to read it.

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::clock::SystemClock;
use millstream_engine::join::Insert;
use millstream_engine::logic::StatefulBatch;
use millstream_engine::plan::{Native, StepId};
use pyo3::prelude::*;
use pyo3::types::PyDelta;

use crate::host::Python3;
use crate::logic::aggregate::Aggregators;
use crate::logic::fused::PyStage;
use crate::logic::keyed::Function;
use crate::logic::keyed::collect::CollectStep;
use crate::logic::keyed::fold::{Fold, FoldStep};
use crate::logic::keyed::join::{EmitMode, JoinStep};
use crate::logic::keyed::map::MapStep;
use crate::logic::keyed::stateful::StatefulStep;
use crate::logic::windows::{
    self, NativeWindows, StreamStepBuilder, WindowFold, WindowStepBuilder,
};
use crate::time::span_micros;

/// The stateless operators, and which of their parameters is the function they call.
const STAGES: [(&str, Option<&str>); 13] = [
    ("filter", Some("predicate")),
    ("filter_map", Some("mapper")),
    ("filter_map_value", Some("mapper")),
    ("filter_value", Some("predicate")),
    ("flat_map", Some("mapper")),
    ("flat_map_batch", Some("mapper")),
    ("flat_map_value", Some("mapper")),
    ("flatten", None),
    ("inspect", Some("inspector")),
    ("key_on", Some("key")),
    ("key_rm", None),
    ("map", Some("mapper")),
    ("map_value", Some("mapper")),
];

/// The native form of a step, if it has one.
///
/// Args: the step; the name of its operator, known to be the built-in one; the id
/// and the function names that errors use.
pub(crate) fn native(
    step: &Bound<'_, PyAny>,
    operator: &str,
    written_as: &StepId,
    name: impl Fn(&str) -> String,
) -> PyResult<Vec<Native<Python3>>> {
    if let Some((_, role)) = STAGES.iter().find(|(stage, _)| *stage == operator) {
        let stage = stage(step, operator, written_as, *role, name)?;
        return Ok(vec![stage]);
    }
    let function = |role| Function::of(step, written_as, role);
    let fold = |fold| keyed(FoldStep(Arc::new(fold)));
    let native = match operator {
        "stateful_map" => keyed(MapStep::new(function("mapper")?, false)),
        "stateful_flat_map" => keyed(MapStep::new(function("mapper")?, true)),
        "stateful" => keyed(StatefulStep(Arc::new(function("builder")?))),
        "collect" => keyed(CollectStep {
            timeout: timeout_of(&step.getattr("timeout")?)?,
            max_size: size_of(&step.getattr("max_size")?)?,
            clock: SystemClock::new(),
        }),
        "fold_final" => fold(Fold::By {
            builder: function("builder")?,
            folder: function("folder")?,
        }),
        "reduce_final" => fold(Fold::Reduce(function("reducer")?)),
        "max_final" => fold(Fold::Max {
            by: measure(step, written_as)?,
        }),
        "min_final" => fold(Fold::Min {
            by: measure(step, written_as)?,
        }),
        "aggregate_final" => {
            let aggregators = Aggregators::read(&step.getattr("aggregators")?)?;
            return Ok(aggregators
                .map(|aggregators| fold(Fold::Aggregate(aggregators)))
                .into_iter()
                .collect());
        }
        "count_final" => {
            let key = stage(step, "key_on", written_as, Some("key"), name)?;
            return Ok(vec![key, fold(Fold::Count)]);
        }
        "join" => join(step)?,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![native])
}

/// A time-out; one that is negative has come already.
fn timeout_of(timeout: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let micros = span_micros(timeout.cast::<PyDelta>()?).unwrap_or(i64::MAX);
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// A size of any magnitude; one below 1 is as good as 1.
fn size_of(size: &Bound<'_, PyAny>) -> PyResult<usize> {
    if size.lt(1)? {
        return Ok(1);
    }
    Ok(size.extract().unwrap_or(usize::MAX))
}

fn keyed(builder: impl StatefulBatch<Python3> + 'static) -> Native<Python3> {
    Native::Keyed(Arc::new(builder))
}

fn stage(
    step: &Bound<'_, PyAny>,
    kind: &str,
    written_as: &StepId,
    role: Option<&str>,
    name: impl Fn(&str) -> String,
) -> PyResult<Native<Python3>> {
    let function = match role {
        Some(role) => Some((step.getattr(role)?, name(role))),
        None => None,
    };
    let function = function.as_ref().map(|(f, name)| (f, name.as_str()));
    let stage = PyStage::new(step.py(), kind, written_as, function)?;
    Ok(Native::Stage(Arc::new(stage)))
}

/// The native form of a step on windows, if its clock and windower have one.
pub(crate) fn native_window(
    step: &Bound<'_, PyAny>,
    operator: &str,
    written_as: &StepId,
) -> PyResult<Vec<Native<Python3>>> {
    if !["window", "fold_window", "count_window", "aggregate_window"].contains(&operator) {
        return Ok(Vec::new());
    }
    let Some(native) = windows::read(step)? else {
        return Ok(Vec::new());
    };
    let NativeWindows {
        time,
        windowing,
        stream_idle_timeout,
    } = native;
    let function = |role| Function::of(step, written_as, role);
    let fold = match operator {
        "window" => WindowFold::Logic(function("builder")?),
        "fold_window" => WindowFold::Fold {
            builder: function("builder")?,
            folder: function("folder")?,
            merger: function("merger")?,
            copies: windowing.lateness > 0,
        },
        "aggregate_window" => match Aggregators::read(&step.getattr("aggregators")?)? {
            Some(aggregators) => WindowFold::Aggregate {
                aggregators,
                by_time: windowing.ordered,
            },
            None => return Ok(Vec::new()),
        },
        _ => WindowFold::Count,
    };
    let written = written_as.clone();
    let windows = match stream_idle_timeout {
        None => keyed(WindowStepBuilder {
            step: written,
            time,
            windowing,
            fold,
        }),
        Some(idle_timeout) => Native::Timed(Arc::new(StreamStepBuilder {
            step: written,
            time,
            windowing,
            idle_timeout,
            fold,
        })),
    };
    if operator == "count_window" {
        let key = stage(step, "key_on", written_as, Some("key"), str::to_owned)?;
        return Ok(vec![key, windows]);
    }
    Ok(vec![windows])
}

/// What `max_final` and `min_final` compare by, if not by the values themselves.
fn measure(step: &Bound<'_, PyAny>, written_as: &StepId) -> PyResult<Option<Function>> {
    let identity = step
        .py()
        .import("millstream.operators.final")?
        .getattr("_identity")?;
    if step.getattr("by")?.is(&identity) {
        return Ok(None);
    }
    Function::of(step, written_as, "by").map(Some)
}

/// The native form of a join.
fn join(join: &Bound<'_, PyAny>) -> PyResult<Native<Python3>> {
    let insert: String = join.getattr("insert_mode")?.extract()?;
    let emit: String = join.getattr("emit_mode")?.extract()?;
    Ok(keyed(JoinStep {
        sides: join.getattr("sides")?.getattr("stream_ids")?.len()?,
        insert: match insert.as_str() {
            "first" => Insert::First,
            "product" => Insert::Product,
            _ => Insert::Last,
        },
        emit: match emit.as_str() {
            "final" => EmitMode::Final,
            "running" => EmitMode::Running,
            _ => EmitMode::Complete,
        },
    }))
}
