//! Many Python objects at a time: a list where Python hands over or takes one, single
//! objects where the engine has looked at them.

use millstream_engine::host::{Host, Rows};
use pyo3::ffi::Py_REFCNT;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::host::Python3;

/// Items that travel together.
pub(crate) enum PyRows {
    /// In a list that nobody else knows, and how many they are.
    List(Py<PyList>, usize),
    Items(Vec<Py<PyAny>>),
}

impl PyRows {
    /// The items of a list: the list itself if nobody else can change it.
    pub(crate) fn of_list(list: Bound<'_, PyList>) -> Self {
        let length = list.len();
        // SAFETY: the object is alive, and reading its count changes nothing.
        let is_ours = unsafe { Py_REFCNT(list.as_ptr()) } == 1;
        if is_ours {
            return Self::List(list.unbind(), length);
        }
        Self::List(list.get_slice(0, length).unbind(), length)
    }

    /// A list that belongs to the caller.
    pub(crate) fn into_list(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        match self {
            Self::List(list, _) => Ok(list.into_bound(py)),
            Self::Items(items) => PyList::new(py, items),
        }
    }
}

impl Default for PyRows {
    fn default() -> Self {
        Self::Items(Vec::new())
    }
}

impl Rows<Python3> for PyRows {
    fn from_items(_py: Python<'_>, items: Vec<Py<PyAny>>) -> Self {
        Self::Items(items)
    }

    fn into_items(self, py: Python<'_>) -> Vec<Py<PyAny>> {
        match self {
            Self::List(list, _) => list.bind(py).iter().map(Bound::unbind).collect(),
            Self::Items(items) => items,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::List(_, length) => *length,
            Self::Items(items) => items.len(),
        }
    }

    fn weigh_first(&self, py: Python<'_>) -> Option<usize> {
        match self {
            Self::List(list, _) => {
                let first = list.bind(py).get_item(0).ok()?;
                Some(Python3::weigh(py, first.as_unbound()))
            }
            Self::Items(items) => items.first().map(|item| Python3::weigh(py, item)),
        }
    }

    fn share(&self, py: Python<'_>) -> Self {
        match self {
            Self::List(list, length) => {
                Self::List(list.bind(py).get_slice(0, *length).unbind(), *length)
            }
            Self::Items(items) => {
                Self::Items(items.iter().map(|item| item.clone_ref(py)).collect())
            }
        }
    }
}
