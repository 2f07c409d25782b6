"""W9: a source of two partitions, on one worker and on two threads.

Run as ``python -m benchmarks.studies.partitions WORKLOAD ENGINE WORKERS ITEMS``.
"""

from __future__ import annotations

import argparse

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, load
from benchmarks.measure import check_equal, run_once
from benchmarks.meters import measured
from benchmarks.studies import Table, engines
from benchmarks.studies.split import SPLIT, reading
from benchmarks.workload import Count

TITLE = "W9 two partitions"
NOTE = (
    "The same input in two partitions, read by one worker, or by two that are threads "
    "of one process. The speed-up is of wall-clock time."
)
ITEMS = {"words": 2_000_000, "tumbling": 300_000}
WORKERS = (1, 2)


def run_engine(workload_name: str, name: str, workers: int, items: int) -> None:
    """Run on so many workers."""
    engine, sink, workload = load(name), Count(), WORKLOADS[workload_name]
    parts = SPLIT[workload_name](workload.make(items))

    flow = engine.dataflow.Dataflow("partitions")
    stream = workload.flow(reading(engine, parts), flow, [])
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
