//! `fibonacci N` prints the Fibonacci number at index N.

use std::env;
use std::process::ExitCode;

use fibonacci::{LARGEST, fib};

const USAGE: u8 = 2;

fn main() -> ExitCode {
    match index(env::args().skip(1)) {
        Ok(n) => {
            println!("{}", fib(n));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("fibonacci: {why}");
            ExitCode::from(USAGE)
        }
    }
}

/// The index on the command line. That it comes from there also keeps the compiler
/// from computing the result while it builds the program.
fn index(mut arguments: impl Iterator<Item = String>) -> Result<u32, String> {
    let (Some(text), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, the index of a Fibonacci number".into());
    };
    match text.parse() {
        Ok(n) if n <= LARGEST => Ok(n),
        _ => Err(format!(
            "the index must be a whole number from 0 to {LARGEST}, for the result to fit in 64 bits; got `{text}`"
        )),
    }
}
