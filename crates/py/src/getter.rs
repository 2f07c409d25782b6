//! What takes a part out of each value, such as its timestamp.

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

/// A function of the user that takes a part out of a value.
///
/// `operator.itemgetter(1)` and the like say what they do, so of a tuple they need not be
/// called.
pub(crate) struct Getter {
    callable: Py<PyAny>,
    /// Which item it takes, if it is such a one.
    index: Option<usize>,
}

impl Getter {
    pub(crate) fn of(callable: &Bound<'_, PyAny>) -> PyResult<Self> {
        let itemgetter = callable.py().import("operator")?.getattr("itemgetter")?;
        let index = if callable.get_type().is(&itemgetter) {
            let (_, items): (Bound<'_, PyAny>, Bound<'_, PyTuple>) =
                callable.call_method0("__reduce__")?.extract()?;
            match items.len() {
                1 => index_of(&items.get_item(0)?),
                _ => None,
            }
        } else {
            None
        };
        Ok(Self {
            callable: callable.clone().unbind(),
            index,
        })
    }

    /// Whether it is this function.
    pub(crate) fn is(&self, callable: &Bound<'_, PyAny>) -> bool {
        callable.is(&self.callable)
    }

    #[inline]
    pub(crate) fn get<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(index) = self.index
            && let Ok(tuple) = value.cast_exact::<PyTuple>()
            && index < tuple.len()
        {
            return Ok(tuple.get_borrowed_item(index)?.to_owned());
        }
        self.callable.bind(value.py()).call1((value,))
    }
}

/// An index that counts from the front.
fn index_of(item: &Bound<'_, PyAny>) -> Option<usize> {
    item.cast_exact::<PyInt>().ok()?.extract().ok()
}
