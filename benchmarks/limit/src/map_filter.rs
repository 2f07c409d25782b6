//! W1: one map, one filter.

use std::hint::black_box;

use crate::sink::Sink;

/// Doubles numbers, and keeps those that three divides.
pub fn run(numbers: &[i64], sink: &mut Sink) {
    for number in numbers {
        let doubled = black_box(number) * 2;
        if doubled % 3 == 0 {
            sink.take(format_args!("{doubled}"));
        }
    }
}
