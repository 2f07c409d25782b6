"""A source a hundred times faster than its sink: how much memory is in flight.

Two workers with a `redistribute` between them, and an epoch that outlasts the run.
Run as ``python -m benchmarks.backpressure ENGINE SECONDS``.
"""

from __future__ import annotations

import argparse
import importlib
import time
from datetime import timedelta

from benchmarks.workload import measured

BATCH = 1_000
WORKERS = 2
EPOCH = timedelta(seconds=60)
ITEM_BYTES = 200
"""Each item is a string of its own, of this size, so that every one counts."""

SOURCE_RATE = 500_000
SINK_RATE = SOURCE_RATE // 100
"""Items a second: the source could do about this; each sink is held to that."""


def run_engine(engine: str, seconds: float) -> None:
    """Run for some seconds, then abort; the result is the number of items taken."""
    dataflow = importlib.import_module(f"{engine}.dataflow")
    inputs = importlib.import_module(f"{engine}.inputs")
    outputs = importlib.import_module(f"{engine}.outputs")
    op = importlib.import_module(f"{engine}.operators")
    testing = importlib.import_module(f"{engine}.testing")
    taken = 0
    begun = time.monotonic()

    class Partition(inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self._next = 0

        def next_batch(self) -> list[str]:
            if time.monotonic() - begun > seconds:
                raise StopIteration
            first, self._next = self._next, self._next + BATCH
            return [f"{n:0{ITEM_BYTES}}" for n in range(first, self._next)]

    class Source(inputs.DynamicSource):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Partition:
            return Partition()

    class Slow(outputs.StatelessSinkPartition):  # type: ignore[misc,name-defined]
        def write_batch(self, items: list[str]) -> None:
            nonlocal taken
            if time.monotonic() - begun < seconds:
                time.sleep(len(items) / SINK_RATE)
            taken += len(items)

    class Sink(outputs.DynamicSink):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Slow:
            return Slow()

    flow = dataflow.Dataflow("backpressure")
    stream = op.input("in", flow, Source())
    stream = op.redistribute("spread", stream)
    op.output("out", stream, Sink())
    measured(
        lambda: testing.cluster_main(
            flow, [], 0, worker_count_per_proc=WORKERS, epoch_interval=EPOCH
        ),
        lambda: taken,
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["millstream", "bytewax"])
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    run_engine(arguments.engine, arguments.seconds)


if __name__ == "__main__":
    main()
