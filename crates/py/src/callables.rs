//! What Python code is given, what it must return, and how to say so if it didn't.

use std::collections::HashSet;

use millstream_engine::host::Failure;
use millstream_engine::logic::{Emit, Fate};
use millstream_engine::plan::StepId;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList, PyString, PyTuple};

use crate::host::{PyFailure, Python3};
use crate::rows::PyRows;

/// The longest description of an item in an error message, in characters.
const LONGEST: usize = 200;

/// The name of an object's type, with its article.
pub(crate) fn a_type(object: &Bound<'_, PyAny>) -> String {
    let name = object.get_type().qualname();
    let name = name.map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let is_vowel = name.starts_with(|first: char| "aeiouAEIOU".contains(first));
    format!("{} `{name}`", if is_vowel { "an" } else { "a" })
}

/// A short `repr` of an item for an error message.
pub(crate) fn describe(item: &Bound<'_, PyAny>) -> String {
    if hides_items() {
        return format!("{} (hidden)", a_type(item));
    }
    let Ok(text) = short_repr(item) else {
        return format!("{} without a `repr`", a_type(item));
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A `repr` that doesn't look at all of a long list or string.
fn short_repr(item: &Bound<'_, PyAny>) -> PyResult<String> {
    let shortener = item.py().import("reprlib")?.getattr("Repr")?.call0()?;
    for limit in [
        "maxlist",
        "maxtuple",
        "maxdict",
        "maxset",
        "maxfrozenset",
        "maxdeque",
    ] {
        shortener.setattr(limit, LONGEST / 4)?;
    }
    for limit in ["maxstring", "maxlong", "maxother"] {
        shortener.setattr(limit, LONGEST + 1)?;
    }
    shortener.call_method1("repr", (item,))?.extract()
}

/// Whether items must not be shown in error messages, since they may be private.
pub(crate) fn hides_items() -> bool {
    std::env::var("MILLSTREAM_SHOW_ITEMS").is_ok_and(|value| value == "0")
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

/// The items of any iterable.
pub(crate) fn rows_of(items: Bound<'_, PyAny>, what: &str) -> Result<PyRows, PyFailure> {
    match items.cast_into_exact::<PyList>() {
        Ok(list) => Ok(PyRows::of_list(list)),
        Err(error) => {
            let mut emit = Vec::new();
            extend(&mut emit, &error.into_inner(), what)?;
            Ok(PyRows::Items(emit))
        }
    }
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
    let iterator = items.try_iter().map_err(|error| {
        if is_iterable(items) {
            // Its own `__iter__` has failed.
            calling(what)(error)
        } else {
            not_iterable(items, what)
        }
    })?;
    for item in iterator {
        emit.push(item.map_err(calling(what))?.unbind());
    }
    Ok(())
}

/// Whether a type says that it can be iterated over.
pub(crate) fn is_iterable(items: &Bound<'_, PyAny>) -> bool {
    let class = items.get_type();
    ["__iter__", "__getitem__"]
        .iter()
        .any(|method| class.hasattr(*method).unwrap_or(false))
}

/// The failure for something that should have been iterable.
pub(crate) fn not_iterable(items: &Bound<'_, PyAny>, what: &str) -> PyFailure {
    calling(what)(PyTypeError::new_err(format!(
        "`{what}` must return an iterable of items, such as a list; got {}, {}",
        describe(items),
        a_type(items)
    )))
}

/// A `bool`, and nothing that is only true or false in a manner of speaking.
pub(crate) fn real_bool(value: &Bound<'_, PyAny>, what: &str) -> PyResult<bool> {
    value
        .cast::<PyBool>()
        .map(PyBoolMethods::is_true)
        .map_err(|_| {
            PyTypeError::new_err(format!(
                "{what} must be a `bool`; got {}, {}",
                describe(value),
                a_type(value)
            ))
        })
}

/// The failure of a function of the user that returned what can't be used.
pub(crate) fn wrong_return(
    step: &StepId,
    role: &str,
    function: &Bound<'_, PyAny>,
    expected: &str,
    got: &Bound<'_, PyAny>,
) -> PyFailure {
    let error = function
        .py()
        .import("millstream.operators._types")
        .and_then(|types| types.getattr("wrong_return"))
        .and_then(|make| make.call1((&*step.0, role, function, expected, got)))
        .map_or_else(|error| error, PyErr::from_value);
    calling(role)(error)
}

/// What a callback of a logic object returns: items to emit, and whether to discard.
pub(crate) fn emit_and_fate(
    logic: &Bound<'_, PyAny>,
    method: &str,
    step: &StepId,
    returned: &Bound<'_, PyAny>,
    emit: &mut Emit<Python3>,
) -> Result<Fate, PyFailure> {
    let wrong = |expected: &str, got: &Bound<'_, PyAny>| match logic.get_type().getattr(method) {
        Ok(function) => wrong_return(step, method, &function, expected, got),
        Err(error) => calling(method)(error),
    };
    let Some(pair) = returned
        .cast::<PyTuple>()
        .ok()
        .filter(|pair| pair.len() == 2)
    else {
        return Err(wrong("a 2-tuple of `(emits, is_discarded)`", returned));
    };
    let items = pair.get_item(0).map_err(calling(method))?;
    let discard = pair.get_item(1).map_err(calling(method))?;
    let Ok(discard) = discard.cast::<PyBool>() else {
        return Err(wrong(
            "`(emits, is_discarded)` with a real `bool`",
            &discard,
        ));
    };
    if items.is_instance_of::<PyString>() {
        let expected = "`(emits, is_discarded)` with `emits` in a list: \
                        a `str` would be taken apart";
        return Err(wrong(expected, &items));
    }
    if !is_iterable(&items) {
        return Err(wrong(
            "`(emits, is_discarded)` with iterable `emits`",
            &items,
        ));
    }
    extend(emit.to(0), &items, method)?;
    Ok(if discard.is_true() {
        Fate::Discard
    } else {
        Fate::Retain
    })
}

/// The names that `list_parts` returns.
pub(crate) fn part_names(
    source_or_sink: &Bound<'_, PyAny>,
) -> Result<Vec<String>, Failure<Python3>> {
    const WHAT: &str = "list_parts";
    let mut names = Vec::new();
    let listed = source_or_sink.call_method0(WHAT).map_err(calling(WHAT))?;
    if listed.is_instance_of::<PyString>() {
        return Err(calling(WHAT)(PyTypeError::new_err(format!(
            "`{WHAT}` must return a list of names; got one `str`, {}",
            describe(&listed)
        ))));
    }
    extend(&mut names, &listed, WHAT)?;
    let py = source_or_sink.py();
    let mut seen = HashSet::new();
    names
        .into_iter()
        .map(|name| {
            let name = name.into_bound(py);
            name.cast::<PyString>()
                .map_err(|_| {
                    PyTypeError::new_err(format!(
                        "`{WHAT}` must return names that are `str`; got {}, {}",
                        describe(&name),
                        a_type(&name)
                    ))
                })
                .and_then(|name| Ok(name.to_str()?.to_owned()))
                .and_then(|name| {
                    if seen.insert(name.clone()) {
                        return Ok(name);
                    }
                    Err(PyValueError::new_err(format!(
                        "`{WHAT}` must name each partition once; got `{name}` twice"
                    )))
                })
                .map_err(calling(WHAT))
        })
        .collect()
}

/// Whether an object is an instance of a class of ours.
pub(crate) fn is_a(
    object: &Bound<'_, PyAny>,
    module: &str,
    class: &str,
) -> Result<bool, PyFailure> {
    object
        .py()
        .import(module)
        .and_then(|module| module.getattr(class))
        .and_then(|class| object.is_instance(&class))
        .map_err(|error| Failure::new(format!("looking at a `{class}`"), error))
}

/// Checks that a factory made what it should have.
pub(crate) fn instance_of(
    object: Bound<'_, PyAny>,
    module: &str,
    class: &str,
    what: &str,
) -> Result<Py<PyAny>, PyFailure> {
    if is_a(&object, module, class)? {
        return Ok(object.unbind());
    }
    Err(calling(what)(PyTypeError::new_err(format!(
        "`{what}` must return an instance of `{module}.{class}`; got {}, {}",
        describe(&object),
        a_type(&object)
    ))))
}
