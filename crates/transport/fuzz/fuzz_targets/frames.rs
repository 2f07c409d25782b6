#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../probes.rs"]
mod probes;

fuzz_target!(|bytes: &[u8]| probes::frames(bytes));
