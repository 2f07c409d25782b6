"""A source far faster than its sink: how much memory is in flight.

Two workers with a `redistribute` between them, and an epoch that outlasts the run.
The source is on the first worker; on the second the sink is slow, at less than a
hundredth of what the source could do.
Run as ``python -m benchmarks.studies.backpressure ENGINE SECONDS``.
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta

from benchmarks.engines import FLOWS, load
from benchmarks.measure import run_once
from benchmarks.meters import measured
from benchmarks.studies import Table, engines

TITLE = "Memory in flight"
NOTE = (
    "For some seconds a source over 100 times as fast as the sink of one of two "
    "workers, a `redistribute` between them, an epoch interval of 60 s. Items are "
    "those that were taken."
)
SECONDS = 5
BATCH = 1_000
WORKERS = 2
EPOCH = timedelta(seconds=60)
ITEM_BYTES = 200
"""Each item is a string of its own, of this size, so that every one counts."""

SINK_RATE = 5_000
"""Items a second that the slow sink takes."""


def run_engine(name: str, seconds: float) -> None:
    """Emit for some seconds; the result is the number of items taken."""
    engine = load(name)
    taken = 0
    begun = time.monotonic()

    class Partition(engine.inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self, worker: int) -> None:
            self._until = begun + (seconds if worker == 0 else 0)
            self._next = 0

        def next_batch(self) -> list[str]:
            if time.monotonic() > self._until:
                raise StopIteration
            first, self._next = self._next, self._next + BATCH
            return [f"{n:0{ITEM_BYTES}}" for n in range(first, self._next)]

    class Source(engine.inputs.DynamicSource):  # type: ignore[misc,name-defined]
        def build(self, _step_id: str, worker: int, _workers: int) -> Partition:
            return Partition(worker)

    class Writer(engine.outputs.StatelessSinkPartition):  # type: ignore[misc,name-defined]
        def __init__(self, worker: int) -> None:
            self._slow_until = begun + (seconds if worker == 1 else 0)

        def write_batch(self, items: list[str]) -> None:
            nonlocal taken
            if time.monotonic() < self._slow_until:
                time.sleep(len(items) / SINK_RATE)
            taken += len(items)

    class Sink(engine.outputs.DynamicSink):  # type: ignore[misc,name-defined]
        def build(self, _step_id: str, worker: int, _workers: int) -> Writer:
            return Writer(worker)

    flow = engine.dataflow.Dataflow("backpressure")
    stream = engine.op.input("in", flow, Source())
    stream = engine.op.redistribute("spread", stream)
    engine.op.output("out", stream, Sink())
    measured(
        lambda: engine.testing.cluster_main(
            flow, [], 0, worker_count_per_proc=WORKERS, epoch_interval=EPOCH
        ),
        lambda: taken,
    )


def study(_scale: float) -> Table:
    """Measure each engine."""
    rows: list[list[str | int | float]] = []
    for engine in engines():
        run = run_once("studies.backpressure", engine, SECONDS)
        rows.append([engine, int(run["result"]), run["cpu"], run["grown"] / 1e6])
    return Table(TITLE, NOTE, ["engine", "items", "CPU s", "MB grown"], rows)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    run_engine(arguments.engine, arguments.seconds)


if __name__ == "__main__":
    main()
