//! W3: the running average of each sensor.

use hashbrown::HashMap;

use crate::sink::Sink;

/// Emits the average so far with each reading.
pub fn run(readings: &[(String, f64)], sink: &mut Sink) {
    let mut states: HashMap<String, (f64, f64)> = HashMap::new();
    for (sensor, reading) in readings {
        let (total, count) = states.entry_ref(sensor.as_str()).or_default();
        *total += reading;
        *count += 1.0;
        let average = *total / *count;
        sink.take(format_args!("{sensor}\t{average:?}"));
    }
}
