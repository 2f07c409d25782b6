//! The Fibonacci numbers, computed the slow way on purpose.
//!
//! The function is the work that `fibonacci.py` does too, so that the two can be
//! compared. It is plain Rust: the program and the Python module both call it, and
//! it knows of neither.

/// The largest index whose Fibonacci number fits in 64 bits.
pub const LARGEST: u32 = 93;

/// The Fibonacci number at an index, by two recursive calls.
///
/// # Panics
///
/// If `n` is more than [`LARGEST`], in a debug build; a release build wraps around.
/// Callers check it.
///
/// ```
/// assert_eq!(fibonacci::fib(10), 55);
/// ```
#[must_use]
pub fn fib(n: u32) -> u64 {
    if n < 2 {
        u64::from(n)
    } else {
        fib(n - 1) + fib(n - 2)
    }
}
