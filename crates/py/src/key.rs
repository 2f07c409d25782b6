//! Keys: Python strings, with their text and hash at hand.

use millstream_engine::host::{Key, stable_hash};
use millstream_engine::plan::StepId;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::host::needs;

/// A key: the Python string itself, with its text and hash beside it, so that neither is
/// copied or computed again.
pub(crate) struct PyKey {
    string: Py<PyString>,
    hash: u64,
    /// The text of `string`.
    text: Text,
}

// SAFETY: what `text` points to is immutable, and `string` keeps it alive.
unsafe impl Send for PyKey {}

impl PyKey {
    /// A key, for a step that needs one.
    pub(crate) fn new(key: Bound<'_, PyAny>, step: &StepId) -> PyResult<Self> {
        let string = key
            .cast_into::<PyString>()
            .map_err(|error| needs(step, "`str` keys", &error.into_inner(), ""))?;
        Self::of(string)
    }

    /// A key that has been one before.
    pub(crate) fn of_text(text: Bound<'_, PyAny>) -> PyResult<Self> {
        Self::of(text.cast_into::<PyString>()?)
    }

    /// The key of a string.
    pub(crate) fn of(string: Bound<'_, PyString>) -> PyResult<Self> {
        let text = string.to_str()?;
        let length = u32::try_from(text.len())
            .map_err(|_| PyValueError::new_err("a key must have less than 4 GiB"))?;
        Ok(Self {
            hash: stable_hash(text),
            text: Text::new(text, length),
            string: string.unbind(),
        })
    }

    /// The string alone.
    pub(crate) fn into_string(self) -> Py<PyString> {
        self.string
    }

    /// Another handle to it.
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            string: self.string.clone_ref(py),
            hash: self.hash,
            text: self.text,
        }
    }

    /// The key as Python sees it.
    pub(crate) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.string.bind(py)
    }
}

impl Key for PyKey {
    fn as_str(&self) -> &str {
        // SAFETY: a Python string keeps its UTF-8 form as long as it lives, and it
        // lives as long as `self`.
        unsafe { self.text.as_str() }
    }

    fn stable_hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn is_same(&self, other: &Self) -> bool {
        if self.hash != other.hash || self.text.length != other.text.length {
            return false;
        }
        match (self.text.in_place(), other.text.in_place()) {
            (Some(here), Some(there)) => here == there,
            // Most often it is the same object, whose text need not be looked at.
            _ => self.string.as_ptr() == other.string.as_ptr() || self.as_str() == other.as_str(),
        }
    }
}

/// The UTF-8 of a string: where it is, or, if it is short, a copy.
///
/// Keys are compared for every item. A short one is compared where it lies, without a look at
/// the string, which is elsewhere in memory and seldom in the cache if there are many keys.
#[derive(Clone, Copy)]
#[repr(C)]
struct Text {
    length: u32,
    head: [u8; HEAD],
    tail: Tail,
}

/// The rest of a short text, padded with zeros; or where a long one begins.
#[derive(Clone, Copy)]
union Tail {
    rest: [u8; REST],
    begin: *const u8,
}

const HEAD: usize = 4;
const REST: usize = 8;

/// The longest text that is copied.
const SHORT: usize = HEAD + REST;

// A copy begins with the head, and goes on where that ends.
const _: () = assert!(
    std::mem::offset_of!(Text, tail) == std::mem::offset_of!(Text, head) + HEAD,
    "nothing may lie between the parts of a copy"
);

impl Text {
    fn new(text: &str, length: u32) -> Self {
        let Some((head, rest)) = copy(text.as_bytes()) else {
            let (head, begin) = ([0; HEAD], text.as_ptr());
            let tail = Tail { begin };
            return Self { length, head, tail };
        };
        let tail = Tail { rest };
        Self { length, head, tail }
    }

    fn is_short(&self) -> bool {
        self.length as usize <= SHORT
    }

    /// The copy of a short text.
    fn in_place(&self) -> Option<([u8; HEAD], [u8; REST])> {
        if self.is_short() {
            // SAFETY: a short text has its rest there.
            Some((self.head, unsafe { self.tail.rest }))
        } else {
            None
        }
    }

    /// The text.
    ///
    /// # Safety
    /// The text that it was made of must still be there.
    unsafe fn as_str(&self) -> &str {
        let begin = if self.is_short() {
            let offset = std::mem::offset_of!(Self, head);
            // SAFETY: it is a part of this.
            unsafe { std::ptr::from_ref(self).cast::<u8>().add(offset) }
        } else {
            // SAFETY: a long text has its begin there.
            unsafe { self.tail.begin }
        };
        // SAFETY: so many bytes were copied of a text, or are there by the caller's word.
        unsafe {
            let bytes = std::slice::from_raw_parts(begin, self.length as usize);
            std::str::from_utf8_unchecked(bytes)
        }
    }
}

/// A short text in two parts, padded with zeros; nothing if it is not short.
///
/// By loads of fixed lengths that overlap: to copy so many bytes as there are would be a call.
#[inline]
fn copy(text: &[u8]) -> Option<([u8; HEAD], [u8; REST])> {
    let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let (head, rest) = match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        _ if text.len() > SHORT => return None,
        (Some(head), Some(last)) => {
            // Bytes that both of the loads have fall on themselves.
            let rest = match text.get(4..8).and_then(|middle| middle.first_chunk::<4>()) {
                Some(middle) => word(middle) | word(last) << (8 * (text.len() - 8)),
                None => word(last) >> (8 * (8 - text.len())),
            };
            (*head, rest)
        }
        _ => {
            let mut head = [0; HEAD];
            for (to, from) in head.iter_mut().zip(text) {
                *to = *from;
            }
            (head, 0)
        }
    };
    Some((head, rest.to_le_bytes()))
}
