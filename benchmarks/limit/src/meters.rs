//! Reading one's own meters (Linux).

use std::error::Error;
use std::fs;
use std::time::Instant;

/// What the work took.
pub struct Figures {
    cpu_seconds: f64,
    wall_seconds: f64,
    peak_bytes: u64,
    grown_bytes: u64,
}

impl Figures {
    /// One line of JSON, under the names that the other engines use.
    pub fn json(&self, result: u64) -> String {
        format!(
            r#"{{"cpu": {}, "wall": {}, "memory": {}, "grown": {}, "result": "{result}"}}"#,
            self.cpu_seconds, self.wall_seconds, self.peak_bytes, self.grown_bytes
        )
    }
}

/// Runs work, and says what it took.
#[expect(clippy::disallowed_methods, reason = "to look at a clock is its task")]
pub fn measured(work: impl FnOnce()) -> Result<Figures, Box<dyn Error>> {
    fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS:")?;
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    work();
    let wall_seconds = wall.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds()? - cpu;
    let peak_bytes = memory("VmHWM:")?;
    Ok(Figures {
        cpu_seconds,
        wall_seconds,
        peak_bytes,
        grown_bytes: peak_bytes - before,
    })
}

/// CPU seconds of the only thread there is.
///
/// The kernel brings the account of a thread up to date when it yields.
#[expect(clippy::cast_precision_loss, reason = "a run is not that long")]
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    std::thread::yield_now();
    let figures = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = figures
        .split_whitespace()
        .next()
        .ok_or("no times in `/proc/self/schedstat`")?
        .parse()?;
    Ok(nanoseconds as f64 / 1e9)
}

/// A meter of this process's memory, in bytes.
fn memory(meter: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(meter))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| format!("`/proc/self/status` has no `{meter}`"))?
        .parse()?;
    Ok(kibibytes * 1024)
}
