"""One run of one workload on one engine, in this process.

Run as ``python -m benchmarks.run WORKLOAD ENGINE ITEMS [--digest]``; the engine is
``millstream``, ``composed`` (Millstream without its native operators), ``bytewax``,
``plain`` (a loop without any), a module of `benchmarks.peers`, or ``rust`` (a program
without Python, in a process of its own). With ``--digest`` it digests all results
instead of counting them, and its times count for nothing.
"""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks import data, limit
from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, load
from benchmarks.meters import measured, print_figures
from benchmarks.peers import PEERS, jobs
from benchmarks.workload import Count, Digest, Sink


def run_flow(engine_name: str, name: str, items: int, sink: Sink) -> None:
    """Run the dataflow."""
    engine, workload = load(engine_name), WORKLOADS[name]
    rows = data.load(name, items, workload.make)
    flow = engine.dataflow.Dataflow("benchmark")
    engine.write("out", workload.flow(engine, flow, rows), sink.write)
    measured(lambda: engine.run(flow), sink.result)


def run_plain(name: str, items: int, sink: Sink) -> None:
    """Run the loop."""
    workload = WORKLOADS[name]
    rows = data.load(name, items, workload.make)
    measured(lambda: workload.plain(rows, sink.write), sink.result)


def run_peer(peer: str, name: str, items: int, sink: Sink) -> None:
    """Run a peer; its results may still be in it when the clock stops."""
    rows = data.load(name, items, WORKLOADS[name].make)
    job = jobs(peer)[name](rows, sink.write)
    del rows

    def result() -> str:
        job.results()
        return sink.result()

    measured(job.run, result)


def run_limit(name: str, items: int, sink: Sink) -> None:
    """Run the program in Rust, which measures itself."""
    make = WORKLOADS[name].make
    load_rows = partial(data.load, name, items, make)
    print_figures(limit.run(name, items, load_rows, sink))


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("engine", choices=[*FLOWS, "plain", *PEERS, "rust"])
    parser.add_argument("items", type=int)
    parser.add_argument("--digest", action="store_true")
    arguments = parser.parse_args()
    name, engine, items = arguments.workload, arguments.engine, arguments.items
    sink = Digest(WORKLOADS[name].compared) if arguments.digest else Count()
    if engine in FLOWS:
        run_flow(engine, name, items, sink)
    elif engine == "plain":
        run_plain(name, items, sink)
    elif engine == "rust":
        run_limit(name, items, sink)
    else:
        run_peer(engine, name, items, sink)


if __name__ == "__main__":
    main()
