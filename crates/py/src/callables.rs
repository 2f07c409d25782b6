//! What Python code is given, what it must return, and how to say so if it didn't.

use std::sync::OnceLock;

use millstream_engine::host::Failure;
use millstream_engine::logic::Fate;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList, PyString, PyTuple};

use crate::host::{PyFailure, Python3};

/// The longest description of an item in an error message, in characters.
const LONGEST: usize = 200;

/// The name of an object's type.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .qualname()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// A short `repr` of an item for an error message.
pub(crate) fn describe(item: &Bound<'_, PyAny>) -> String {
    if hides_items() {
        return format!("a `{}` (hidden)", type_name(item));
    }
    let Ok(text) = item.repr().map(|text| text.to_string()) else {
        return format!("a `{}` without a `repr`", type_name(item));
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether items must not be shown in error messages, since they may be private.
fn hides_items() -> bool {
    static HIDES: OnceLock<bool> = OnceLock::new();
    *HIDES.get_or_init(|| std::env::var("MILLSTREAM_SHOW_ITEMS").is_ok_and(|value| value == "0"))
}

/// A function that turns an error into the failure of calling `what`.
pub(crate) fn calling(what: &str) -> impl Fn(PyErr) -> PyFailure + '_ {
    move |error| Failure::new(format!("calling `{what}`"), error)
}

/// A callable, and the name by which its author knows it: `map` is made of
/// `flat_map_batch`, whose `mapper` calls the user's.
pub(crate) struct Named {
    pub(crate) callable: Py<PyAny>,
    pub(crate) name: String,
}

/// Adds the items of any iterable to `emit`.
pub(crate) fn extend(
    emit: &mut Vec<Py<PyAny>>,
    items: &Bound<'_, PyAny>,
    what: &str,
) -> Result<(), PyFailure> {
    if let Ok(list) = items.cast_exact::<PyList>() {
        emit.extend(list.iter().map(Bound::unbind));
        return Ok(());
    }
    if items.is_instance_of::<PyString>() {
        return Err(not_iterable(items, what));
    }
    let iterator = items.try_iter().map_err(|_| not_iterable(items, what))?;
    for item in iterator {
        emit.push(item.map_err(calling(what))?.unbind());
    }
    Ok(())
}

fn not_iterable(items: &Bound<'_, PyAny>, what: &str) -> PyFailure {
    calling(what)(PyTypeError::new_err(format!(
        "`{what}` must return an iterable of items, such as a list; got {}, a `{}`",
        describe(items),
        type_name(items)
    )))
}

/// A `bool`, and nothing that is only true or false in a manner of speaking.
pub(crate) fn real_bool(value: &Bound<'_, PyAny>, what: &str) -> PyResult<bool> {
    value
        .cast::<PyBool>()
        .map(PyBoolMethods::is_true)
        .map_err(|_| {
            PyTypeError::new_err(format!(
                "{what} must be a `bool`; got {}, a `{}`",
                describe(value),
                type_name(value)
            ))
        })
}

/// What a stateful callback returns: items to emit, and whether to discard.
pub(crate) fn emit_and_fate(
    returned: &Bound<'_, PyAny>,
    emit: &mut Vec<Py<PyAny>>,
    what: &str,
) -> Result<Fate, PyFailure> {
    let pair = returned
        .cast::<PyTuple>()
        .ok()
        .filter(|pair| pair.len() == 2)
        .ok_or_else(|| {
            calling(what)(PyTypeError::new_err(format!(
                "`{what}` must return a 2-tuple of the items to emit and whether to discard \
                 the logic; got {}, a `{}`",
                describe(returned),
                type_name(returned)
            )))
        })?;
    let items = pair.get_item(0).map_err(calling(what))?;
    let discard = pair.get_item(1).map_err(calling(what))?;
    let discard = real_bool(&discard, &format!("the second value that `{what}` returns"))
        .map_err(calling(what))?;
    extend(emit, &items, what)?;
    Ok(if discard { Fate::Discard } else { Fate::Retain })
}

/// The names that `list_parts` returns.
pub(crate) fn part_names(
    source_or_sink: &Bound<'_, PyAny>,
) -> Result<Vec<String>, Failure<Python3>> {
    const WHAT: &str = "list_parts";
    let mut names = Vec::new();
    let listed = source_or_sink.call_method0(WHAT).map_err(calling(WHAT))?;
    extend(&mut names, &listed, WHAT)?;
    let py = source_or_sink.py();
    names
        .into_iter()
        .map(|name| {
            let name = name.into_bound(py);
            name.cast::<PyString>()
                .map_err(|_| {
                    PyTypeError::new_err(format!(
                        "`{WHAT}` must return names that are `str`; got {}, a `{}`",
                        describe(&name),
                        type_name(&name)
                    ))
                })
                .and_then(|name| Ok(name.to_str()?.to_owned()))
                .map_err(calling(WHAT))
        })
        .collect()
}

/// Checks that a factory made what it should have.
pub(crate) fn instance_of(
    object: Bound<'_, PyAny>,
    module: &str,
    class: &str,
    what: &str,
) -> Result<Py<PyAny>, PyFailure> {
    let is_instance = object
        .py()
        .import(module)
        .and_then(|module| module.getattr(class))
        .and_then(|class| object.is_instance(&class))
        .map_err(calling(what))?;
    if is_instance {
        return Ok(object.unbind());
    }
    Err(calling(what)(PyTypeError::new_err(format!(
        "`{what}` must return an instance of `{module}.{class}`; got {}, a `{}`",
        describe(&object),
        type_name(&object)
    ))))
}
