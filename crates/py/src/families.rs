//! The figures of a run under the names by which they are known outside.

use std::time::Duration;

use millstream_api::{Distribution, Family, Kind, Sample, Value};
use millstream_engine::metrics::{self, Gauges, Snapshot, StepFigures};

/// All figures.
pub(crate) fn families(snapshot: &Snapshot, restarts: Option<u64>) -> Vec<Family> {
    let mut all = counts(&snapshot.steps);
    all.extend(durations(&snapshot.steps));
    all.push(of_all(
        "millstream_frontier_lag_epochs",
        "How many epochs the slowest sink of a worker is behind the newest.",
        Kind::Gauge,
        snapshot.frontier_lags.iter().map(|(worker, lag)| {
            let labels = vec![("worker_index", worker.to_string())];
            (labels, Value::Number(number(*lag)))
        }),
    ));
    all.push(of_run(
        "millstream_store_retries_total",
        "How often something could not be kept, and was to be tried again.",
        Kind::Counter,
        Some(Value::Count(snapshot.store_retries)),
    ));
    all.push(of_run(
        "millstream_store_failures_total",
        "How often the recovery store failed for good.",
        Kind::Counter,
        Some(Value::Count(snapshot.store_failures)),
    ));
    all.push(of_run(
        "millstream_restarts_total",
        "How often this process was started again, by whoever started it.",
        Kind::Counter,
        restarts.map(Value::Count),
    ));
    if let Some(gauges) = &snapshot.gauges {
        all.extend(of_process(gauges));
        all.extend(watermarks(&snapshot.steps, gauges.wall));
    }
    all
}

/// What steps have taken, made and kept.
fn counts(steps: &[StepFigures]) -> Vec<Family> {
    let counter = Kind::Counter;
    vec![
        of_steps(
            "millstream_item_inp_count_total",
            "Items that a step has taken.",
            counter,
            steps,
            |step| step.items_in.map(Value::Count),
        ),
        of_steps(
            "millstream_item_out_count_total",
            "Items that a step has made.",
            counter,
            steps,
            |step| step.items_out.map(Value::Count),
        ),
        of_steps(
            "millstream_state_keys",
            "Keys of which a step keeps state.",
            Kind::Gauge,
            steps,
            |step| step.keys.map(|keys| Value::Number(number(keys))),
        ),
        of_steps(
            "millstream_late_items_total",
            "Items that came too late for their windows.",
            counter,
            steps,
            |step| step.late.map(Value::Count),
        ),
        of_steps(
            "millstream_snapshot_records_total",
            "Records that a step has handed over to be kept.",
            counter,
            steps,
            |step| step.snapshot.as_ref().map(|_| Value::Count(step.records)),
        ),
        of_steps(
            "millstream_snapshot_bytes_total",
            "Bytes of state in those records.",
            counter,
            steps,
            |step| step.snapshot.as_ref().map(|_| Value::Count(step.bytes)),
        ),
    ]
}

/// How long calls have taken.
fn durations(steps: &[StepFigures]) -> Vec<Family> {
    let histogram = Kind::Histogram;
    vec![
        of_steps(
            "millstream_inp_part_next_batch_duration_seconds",
            "How long a source took for `next_batch`.",
            histogram,
            steps,
            |step| step.next_batch.as_ref().map(distribution),
        ),
        of_steps(
            "millstream_out_part_write_batch_duration_seconds",
            "How long a sink took for `write_batch`.",
            histogram,
            steps,
            |step| step.write_batch.as_ref().map(distribution),
        ),
        of_steps(
            "millstream_stateful_batch_on_batch_duration_seconds",
            "How long the keys of a step took for a batch, all together.",
            histogram,
            steps,
            |step| step.on_batch.as_ref().map(distribution),
        ),
        of_steps(
            "millstream_snapshot_duration_seconds",
            "How long a step took to hand over what had changed in an epoch.",
            histogram,
            steps,
            |step| step.snapshot.as_ref().map(distribution),
        ),
    ]
}

/// What is so just now in the whole process.
fn of_process(gauges: &Gauges) -> Vec<Family> {
    let gauge = Kind::Gauge;
    let size = |bytes: usize| Some(Value::Number(number(bytes as u64)));
    let peers = |bytes: fn(&metrics::Traffic) -> u64| {
        gauges.traffic.iter().map(move |traffic| {
            let labels = vec![("process_index", traffic.process.to_string())];
            (labels, Value::Count(bytes(traffic)))
        })
    };
    vec![
        of_run(
            "millstream_epoch_newest",
            "The newest epoch that any source has begun.",
            gauge,
            Some(Value::Number(number(gauges.newest_epoch))),
        ),
        of_run(
            "millstream_epoch_committed",
            "The last epoch that is kept.",
            gauge,
            gauges
                .committed_epoch
                .map(|epoch| Value::Number(number(epoch))),
        ),
        of_run(
            "millstream_room_taken_bytes",
            "What is on its way between workers, about.",
            gauge,
            size(gauges.room_taken),
        ),
        of_run(
            "millstream_room_limit_bytes",
            "What may be on its way between workers until sources wait.",
            gauge,
            size(gauges.room_limit),
        ),
        of_all(
            "millstream_transport_sent_bytes_total",
            "What went to another process.",
            Kind::Counter,
            peers(|traffic| traffic.sent),
        ),
        of_all(
            "millstream_transport_received_bytes_total",
            "What came from another process.",
            Kind::Counter,
            peers(|traffic| traffic.received),
        ),
    ]
}

/// How far event time has come in streams that have one watermark.
fn watermarks(steps: &[StepFigures], wall: i64) -> Vec<Family> {
    vec![
        of_steps(
            "millstream_watermark_seconds",
            "The watermark of a stream, in seconds since 1970.",
            Kind::Gauge,
            steps,
            |step| Some(Value::Number(seconds(step.watermark?))),
        ),
        of_steps(
            "millstream_watermark_lag_seconds",
            "How far the watermark of a stream is behind the system time.",
            Kind::Gauge,
            steps,
            |step| Some(Value::Number(seconds(wall.saturating_sub(step.watermark?)))),
        ),
    ]
}

type Labels = Vec<(&'static str, String)>;

fn of_all(
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: impl Iterator<Item = (Labels, Value)>,
) -> Family {
    let samples = samples.map(|(labels, value)| Sample { labels, value });
    Family {
        name,
        help,
        kind,
        samples: samples.collect(),
    }
}

fn of_run(name: &'static str, help: &'static str, kind: Kind, value: Option<Value>) -> Family {
    of_all(
        name,
        help,
        kind,
        value.into_iter().map(|value| (Vec::new(), value)),
    )
}

fn of_steps(
    name: &'static str,
    help: &'static str,
    kind: Kind,
    steps: &[StepFigures],
    value: impl Fn(&StepFigures) -> Option<Value>,
) -> Family {
    let samples = steps.iter().filter_map(|step| {
        let labels = vec![
            ("step_id", step.step.clone()),
            ("worker_index", step.worker.to_string()),
        ];
        Some((labels, value(step)?))
    });
    of_all(name, help, kind, samples)
}

fn distribution(durations: &metrics::Distribution) -> Value {
    let bounds = metrics::Distribution::bounds();
    Value::Distribution(Distribution {
        bounds: bounds.map(|bound| Duration::as_secs_f64(&bound)).collect(),
        counts: durations.counts.clone(),
        sum: durations.sum.as_secs_f64(),
    })
}

/// A number as Prometheus has them.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody reads figures of more than fifteen digits to the last"
)]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
fn seconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1e6
}
