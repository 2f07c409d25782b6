//! The workloads written by hand, on native data, on one thread: the limit.
//!
//! `limit WORKLOAD INPUT [OUTPUT]` reads its rows from a file, works on them while the
//! clock runs, and prints what that took as one line of JSON. It writes results only if
//! it is given a file for them, and then its times count for nothing.

mod input;
mod join;
mod map_filter;
mod meters;
mod running_average;
mod sessions;
mod sink;
mod windows;
mod words;

use std::error::Error;
use std::path::Path;

use meters::measured;
use sink::Sink;
use windows::{SLIDING, TUMBLING};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (workload, path, output) = match &arguments[..] {
        [workload, path] => (workload, path, None),
        [workload, path, output] => (workload, path, Some(Path::new(output))),
        _ => return Err("expected `limit WORKLOAD INPUT [OUTPUT]`".into()),
    };
    let text = std::fs::read_to_string(path)?;
    let mut sink = Sink::new(output)?;
    let figures = match workload.as_str() {
        "map_filter" => {
            let numbers = input::numbers(&text)?;
            measured(|| map_filter::run(&numbers, &mut sink))?
        }
        "words" => {
            let lines = input::lines(&text);
            measured(|| words::run(&lines, &mut sink))?
        }
        "running_average" => {
            let readings = input::readings(&text)?;
            measured(|| running_average::run(&readings, &mut sink))?
        }
        "tumbling" | "aggregates" => {
            let events = input::events(&text)?;
            measured(|| windows::run(&events, TUMBLING, &mut sink))?
        }
        "sliding" => {
            let events = input::events(&text)?;
            measured(|| windows::run(&events, SLIDING, &mut sink))?
        }
        "sessions" => {
            let events = input::events(&text)?;
            measured(|| sessions::run(&events, &mut sink))?
        }
        "join" => {
            let (left, right) = input::sides(&text)?;
            measured(|| join::run(&left, &right, &mut sink))?
        }
        other => return Err(format!("there is no workload `{other}`").into()),
    };
    println!("{}", figures.json(sink.finish()?));
    Ok(())
}
