"""W9: a source of two partitions, on one worker and on two threads.

Run as ``python -m benchmarks.studies.partitions WORKLOAD ENGINE WORKERS ITEMS``. Each
key is in one partition, so that no partition is late for being read later.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, Batches, load
from benchmarks.measure import check_equal, run_once
from benchmarks.meters import measured
from benchmarks.studies import Table, engines
from benchmarks.workload import Count, in_batches

TITLE = "W9 two partitions"
NOTE = (
    "The same input in two partitions, read by one worker, or by two that are threads "
    "of one process. The speed-up is of wall-clock time."
)
ITEMS = {"words": 2_000_000, "tumbling": 300_000}
WORKERS = (1, 2)


def split_lines(batches: Batches) -> list[Batches]:
    """Every other batch of lines."""
    return [batches[0::2], batches[1::2]]


def split_keys(batches: Batches) -> list[Batches]:
    """The even and the odd keys."""
    pairs = [pair for batch in batches for pair in batch]
    return [
        in_batches([pair for pair in pairs if int(pair[0][-1]) % 2 == parity])
        for parity in (0, 1)
    ]


SPLIT: dict[str, Callable[[Batches], list[Batches]]] = {
    "words": split_lines,
    "tumbling": split_keys,
}


def run_engine(workload_name: str, name: str, workers: int, items: int) -> None:
    """Run on so many workers."""
    engine, sink, workload = load(name), Count(), WORKLOADS[workload_name]
    parts = SPLIT[workload_name](workload.make(items))

    class Partition(engine.inputs.StatefulSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self, batches: Batches) -> None:
            self._batches = iter(batches)

        def next_batch(self) -> list[Any]:
            return next(self._batches)

        def snapshot(self) -> None:
            return None

    class Source(engine.inputs.FixedPartitionedSource):  # type: ignore[misc,name-defined]
        def list_parts(self) -> list[str]:
            return [str(number) for number in range(len(parts))]

        def build_part(self, _step_id: str, part: str, _state: None) -> Partition:
            return Partition(parts[int(part)])

    class Parts(type(engine)):  # type: ignore[misc]
        def read(self, step_id: str, flow: Any, _batches: object) -> Any:
            return self.op.input(step_id, flow, Source())

    flow = engine.dataflow.Dataflow("partitions")
    stream = workload.flow(Parts(**vars(engine)), flow, [])
    engine.write("out", stream, sink.write)
    measured(lambda: engine.run(flow, workers), sink.result)


def study(scale: float) -> Table:
    """Measure both workloads on one worker and on two."""
    rows: list[list[str | int | float]] = []
    for name, most in ITEMS.items():
        items = int(most * scale)
        results: dict[str, str] = {}
        for engine in engines():
            alone = 0.0
            for workers in WORKERS:
                run = run_once("studies.partitions", name, engine, workers, items)
                results[f"{engine} on {workers}"] = run["result"]
                alone = alone or run["wall"]
                rows.append(
                    [
                        WORKLOADS[name].title,
                        engine,
                        workers,
                        items,
                        run["cpu"],
                        run["wall"],
                        alone / run["wall"],
                        run["grown"] / 1e6,
                    ]
                )
        check_equal(results, f"how many results of `{name}` in partitions there are")
    columns = ["workload", "engine", "workers", "items", "CPU s", "wall s", "speed-up"]
    return Table(TITLE, NOTE, [*columns, "MB grown"], rows)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=ITEMS)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("workers", type=int)
    parser.add_argument("items", type=int)
    arguments = parser.parse_args()
    run_engine(arguments.workload, arguments.engine, arguments.workers, arguments.items)


if __name__ == "__main__":
    main()
