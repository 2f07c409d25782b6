"""One run of one workload on one engine, in this process.

Run as ``python -m benchmarks.run WORKLOAD ENGINE ITEMS [--digest]``; the engine is
``millstream``, ``composed`` (Millstream without its native operators), ``bytewax``,
``plain`` (a loop without any) or ``polars`` (on columns, all at once). With
``--digest`` it digests all results instead of counting them, and its times count for
nothing.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, load
from benchmarks.workload import Count, Digest, Workload, measured


def run_flow(name: str, workload: Workload, items: int, sink: Count | Digest) -> None:
    """Run the dataflow."""
    engine = load(name)
    data = workload.make(items)
    flow = engine.dataflow.Dataflow("benchmark")
    engine.write("out", workload.flow(engine, flow, data), sink.write)
    measured(lambda: engine.run(flow), sink.result)


def run_plain(workload: Workload, items: int, sink: Count | Digest) -> None:
    """Run the loop."""
    data = workload.make(items)
    measured(lambda: workload.plain(data, sink.write), sink.result)


def run_columns(workload: Workload, items: int, sink: Count | Digest) -> None:
    """Run on columns; making them, and rows of the results, is not timed."""
    if workload.columns is None:
        msg = f"{workload.title} is not written for columns"
        raise ValueError(msg)
    compute = workload.columns(workload.make(items))
    frames: list[Any] = []

    def result() -> str:
        for frame in frames:
            sink.write(frame.rows())
        return sink.result()

    measured(lambda: frames.append(compute()), result)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("engine", choices=[*FLOWS, "plain", "polars"])
    parser.add_argument("items", type=int)
    parser.add_argument("--digest", action="store_true")
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.workload]
    sink = Digest(workload.compared) if arguments.digest else Count()
    if arguments.engine == "plain":
        run_plain(workload, arguments.items, sink)
    elif arguments.engine == "polars":
        run_columns(workload, arguments.items, sink)
    else:
        run_flow(arguments.engine, workload, arguments.items, sink)


if __name__ == "__main__":
    main()
