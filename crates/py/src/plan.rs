//! From a Python `Dataflow` to the engine's plan; happens once per run.
//!
//! Operators are recognised by the identity of their class, not by name: users may
//! have a `map`, even a `flat_map_batch`, of their own.

use std::sync::Arc;

use millstream_engine::plan::{Core, Native, Operator, Plan, Sink, Source, Step, StepId, StreamId};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::callables::{Named, a_type, describe};
use crate::host::Python3;
use crate::logic::function::{PyInspector, PyMapper, PyPredicate};
use crate::logic::sink::{PyDynamicSink, PyPartitionedSink};
use crate::logic::source::{PyDynamicSource, PyPartitionedSource};
use crate::logic::stateful::PyBuilder;
use crate::logic::two_phase::PyTwoPhaseSink;
use crate::native::{native, native_window};

/// Reads a dataflow.
pub(crate) fn read(flow: &Bound<'_, PyAny>) -> PyResult<Plan<Python3>> {
    let py = flow.py();
    let dataflow = py.import("millstream.dataflow")?;
    if !flow.is_instance(&dataflow.getattr("Dataflow")?)? {
        return Err(PyTypeError::new_err(format!(
            "the flow to run must be a `millstream.dataflow.Dataflow`; got {}, {}",
            describe(flow),
            a_type(flow)
        )));
    }
    let reader = Reader {
        operators: py.import("millstream.operators")?,
        windowing: py.import("millstream.operators.windowing")?,
        core: dataflow.getattr("_CoreOperator")?,
    };
    Ok(Plan {
        flow_id: flow.getattr("flow_id")?.extract()?,
        steps: reader.steps(&flow.getattr("substeps")?, None)?,
    })
}

struct Reader<'py> {
    operators: Bound<'py, PyModule>,
    windowing: Bound<'py, PyModule>,
    core: Bound<'py, PyAny>,
}

impl<'py> Reader<'py> {
    fn steps(
        &self,
        steps: &Bound<'py, PyAny>,
        written_as: Option<&WrittenAs>,
    ) -> PyResult<Vec<Step<Python3>>> {
        steps
            .cast::<PyList>()?
            .iter()
            .map(|step| self.step(&step, written_as))
            .collect()
    }

    fn step(
        &self,
        step: &Bound<'py, PyAny>,
        written_as: Option<&WrittenAs>,
    ) -> PyResult<Step<Python3>> {
        let id = StepId(step.getattr("step_id")?.extract::<String>()?.into());
        // Errors name the outermost built-in operator: its author wrote a `map`, and
        // knows nothing of the `flat_map_batch` inside.
        let own = if written_as.is_none() && is_built_in(step)? {
            Some(WrittenAs::of(step, id.clone())?)
        } else {
            None
        };
        let written_as = written_as.or(own.as_ref());
        let operator = if step.is_instance(&self.core)? {
            Operator::Core(self.core(step, &id, written_as)?)
        } else {
            Operator::Composed(self.steps(&step.getattr("substeps")?, written_as)?)
        };
        Ok(Step {
            written_as: written_as.map_or(&id, |written| &written.id).clone(),
            ups: streams(step, "ups_names")?,
            downs: streams(step, "dwn_names")?,
            native: self.native(step, written_as)?,
            operator,
            id,
        })
    }

    fn core(
        &self,
        step: &Bound<'py, PyAny>,
        id: &StepId,
        written_as: Option<&WrittenAs>,
    ) -> PyResult<Core<Python3>> {
        let argument = |name: &str| step.getattr(name).map(Bound::unbind);
        let named = |name: &str| {
            Ok::<_, PyErr>(Named {
                callable: argument(name)?,
                name: written_as
                    .map_or(name, |written| written.name(name))
                    .to_owned(),
            })
        };
        if self.is(step, "input")? {
            return Ok(Core::Input(source(&step.getattr("source")?, id)?));
        }
        if self.is(step, "output")? {
            return Ok(Core::Output(sink(&step.getattr("sink")?, id)?));
        }
        if self.is(step, "flat_map_batch")? {
            let mapper = PyMapper(named("mapper")?);
            return Ok(Core::FlatMapBatch(Arc::new(mapper)));
        }
        if self.is(step, "branch")? {
            let predicate = PyPredicate(argument("predicate")?);
            return Ok(Core::Branch(Arc::new(predicate)));
        }
        if self.is(step, "merge")? {
            return Ok(Core::Merge);
        }
        if self.is(step, "redistribute")? {
            return Ok(Core::Redistribute);
        }
        if self.is(step, "inspect_debug")? {
            let inspector = PyInspector(argument("inspector")?);
            return Ok(Core::InspectDebug(Arc::new(inspector)));
        }
        if self.is(step, "stateful_batch")? {
            let builder = PyBuilder {
                builder: Arc::new(argument("builder")?),
                step: written_as.map_or(id, |written| &written.id).clone(),
            };
            return Ok(Core::StatefulBatch(Arc::new(builder)));
        }
        Err(PyTypeError::new_err(format!(
            "step `{id}` is a core operator `{}` that the engine doesn't know; \
             compose it from the operators in `millstream.operators`",
            a_type(step)
        )))
    }

    /// What can run in place of a built-in step.
    fn native(
        &self,
        step: &Bound<'py, PyAny>,
        written_as: Option<&WrittenAs>,
    ) -> PyResult<Vec<Native<Python3>>> {
        let Some(written_as) = written_as else {
            return Ok(Vec::new());
        };
        let operator: String = step.get_type().name()?.extract()?;
        if is_operator_of(&self.windowing, step, &operator)? {
            return native_window(step, &operator, &written_as.id);
        }
        if !is_operator_of(&self.operators, step, &operator)? {
            return Ok(Vec::new());
        }
        native(step, &operator, &written_as.id, |role| {
            written_as.name(role).to_owned()
        })
    }

    fn is(&self, step: &Bound<'py, PyAny>, operator: &str) -> PyResult<bool> {
        is_operator_of(&self.operators, step, operator)
    }
}

/// Whether a step is of the operator that a module of ours has under this name.
fn is_operator_of(
    module: &Bound<'_, PyModule>,
    step: &Bound<'_, PyAny>,
    operator: &str,
) -> PyResult<bool> {
    let class = module
        .getattr_opt(operator)?
        .map(|operator| operator.getattr_opt("_op_cls"))
        .transpose()?
        .flatten();
    Ok(class.is_some_and(|class| step.get_type().is(&class)))
}

/// The operator that the author of a flow wrote, to speak of in errors.
struct WrittenAs {
    id: StepId,
    /// The functions that it was given, as in "`builder` or `folder`".
    functions: Option<String>,
}

impl WrittenAs {
    fn of(step: &Bound<'_, PyAny>, id: StepId) -> PyResult<Self> {
        let py = step.py();
        let is_callable = py.import("builtins")?.getattr("callable")?;
        let mut names = Vec::new();
        for field in py
            .import("dataclasses")?
            .call_method1("fields", (step,))?
            .try_iter()?
        {
            let name: String = field?.getattr("name")?.extract()?;
            if !name.starts_with('_') && is_callable.call1((step.getattr(&name)?,))?.is_truthy()? {
                names.push(name);
            }
        }
        let functions = (!names.is_empty()).then(|| names.join("` or `"));
        Ok(Self { id, functions })
    }

    /// What its author calls the function that a core operator calls `name`.
    fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.functions.as_deref().unwrap_or(name)
    }
}

/// Whether an operator comes with millstream.
fn is_built_in(step: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module: String = step.get_type().getattr("__module__")?.extract()?;
    Ok(module == "millstream" || module.starts_with("millstream."))
}

/// The streams of the ports that a class attribute names.
fn streams(step: &Bound<'_, PyAny>, names: &str) -> PyResult<Vec<StreamId>> {
    let mut ids = Vec::new();
    for name in step.getattr(names)?.try_iter()? {
        let port = step.getattr(name?.cast::<pyo3::types::PyString>()?)?;
        for id in port.getattr("stream_ids")?.cast::<PyDict>()?.values() {
            ids.push(StreamId(id.extract::<String>()?.into()));
        }
    }
    Ok(ids)
}

fn source(source: &Bound<'_, PyAny>, id: &StepId) -> PyResult<Source<Python3>> {
    let inputs = source.py().import("millstream.inputs")?;
    if source.is_instance(&inputs.getattr("FixedPartitionedSource")?)? {
        let source = PyPartitionedSource(source.clone().unbind());
        return Ok(Source::Partitioned(Arc::new(source)));
    }
    if source.is_instance(&inputs.getattr("DynamicSource")?)? {
        let source = PyDynamicSource(source.clone().unbind());
        return Ok(Source::Dynamic(Arc::new(source)));
    }
    Err(PyTypeError::new_err(format!(
        "the source of step `{id}` must be an instance of a subclass of \
         `FixedPartitionedSource` or `DynamicSource`; got {}, {}",
        describe(source),
        a_type(source)
    )))
}

fn sink(sink: &Bound<'_, PyAny>, id: &StepId) -> PyResult<Sink<Python3>> {
    let outputs = sink.py().import("millstream.outputs")?;
    if sink.is_instance(&outputs.getattr("FixedPartitionedSink")?)? {
        let sink = PyPartitionedSink(sink.clone().unbind());
        return Ok(Sink::Partitioned(Arc::new(sink)));
    }
    if sink.is_instance(&outputs.getattr("TwoPhaseSink")?)? {
        let sink = PyTwoPhaseSink(sink.clone().unbind());
        return Ok(Sink::Partitioned(Arc::new(sink)));
    }
    if sink.is_instance(&outputs.getattr("DynamicSink")?)? {
        let sink = PyDynamicSink(sink.clone().unbind());
        return Ok(Sink::Dynamic(Arc::new(sink)));
    }
    Err(PyTypeError::new_err(format!(
        "the sink of step `{id}` must be an instance of a subclass of \
         `FixedPartitionedSink`, `TwoPhaseSink` or `DynamicSink`; got {}, {}",
        describe(sink),
        a_type(sink)
    )))
}
