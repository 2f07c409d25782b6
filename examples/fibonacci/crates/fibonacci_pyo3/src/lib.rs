//! The Python module `fibonacci_pyo3`: a Rust function that Python calls like its own.

/// What `import fibonacci_pyo3` gives.
#[pyo3::pymodule]
mod fibonacci_pyo3 {
    use fibonacci::LARGEST;
    use pyo3::exceptions::{PyOverflowError, PyValueError};
    use pyo3::prelude::*;
    use pyo3::types::PyInt;

    /// The Fibonacci number at index `n`, by two recursive calls.
    ///
    /// The GIL is released meanwhile, so other Python threads run.
    #[pyfunction]
    fn fib(py: Python<'_>, n: &Bound<'_, PyInt>) -> PyResult<u64> {
        let index = index(n)?;
        Ok(py.detach(|| fibonacci::fib(index)))
    }

    /// A Python `int` has no upper limit and may be negative; the index has both.
    fn index(n: &Bound<'_, PyInt>) -> PyResult<u32> {
        if n.lt(0)? {
            return Err(PyValueError::new_err(format!(
                "`n` must not be negative; got {n}"
            )));
        }
        match n.extract() {
            Ok(index) if index <= LARGEST => Ok(index),
            _ => Err(PyOverflowError::new_err(format!(
                "fib({n}) does not fit in 64 bits; the largest `n` is {LARGEST}"
            ))),
        }
    }
}
