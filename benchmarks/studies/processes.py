"""W9: two partitions in two processes, and a keyed exchange between them.

Run as ``python -m benchmarks.studies.processes WORKLOAD ENGINE PROCESSES ITEMS``. Each
process makes the data; the clock runs from when they begin to join until the last has
ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, Batches, load
from benchmarks.measure import check_equal, run_once
from benchmarks.meters import print_figures
from benchmarks.studies import Table, engines
from benchmarks.studies.split import SPLIT, reading, source_of
from benchmarks.targets import Target
from benchmarks.workload import Count, in_batches

TITLE = "W9 processes: two partitions in two, and a keyed exchange"
NOTE = (
    "The same input in two partitions, read by one process, or by two with a worker "
    "each. `exchange` folds items by key, of 100 keys: half of them go to the other "
    "process, one by one. The speed-up is of wall-clock time, joining included."
)
ITEMS = {"words": 9_000_000, "tumbling": 4_000_000, "exchange": 10_000_000}
PORTS = (41_761, 41_762)


def exchanged(items: int) -> list[Batches]:
    """Pairs of a hundred keys, in two partitions."""
    block = [(f"key-{number % 100}", number) for number in range(100_000)]
    pairs = block * (items // 2 // len(block))
    return [in_batches(pairs), in_batches(pairs)]


def latest(_known: int, number: int) -> int:
    """A folder that does next to nothing."""
    return number


def parts_of(name: str, items: int) -> list[Batches]:
    """The data of a workload."""
    if name == "exchange":
        return exchanged(items)
    return SPLIT[name](WORKLOADS[name].make(items))


def run_process(
    name: str, engine_name: str, parts: list[Batches], process: int, hosts: list[str]
) -> int:
    """Run one of the processes; gives how many items came out there."""
    engine, sink = load(engine_name), Count()
    flow = engine.dataflow.Dataflow("processes")
    if name == "exchange":
        pairs = engine.op.input("in", flow, source_of(engine, parts))
        stream = engine.op.fold_final("fold", pairs, int, latest)
    else:
        stream = WORKLOADS[name].flow(reading(engine, parts), flow, [])
    engine.write("out", stream, sink.write)
    engine.testing.cluster_main(flow, hosts, process)
    return int(sink.result())


def run_engine(name: str, engine: str, processes: int, items: int) -> None:
    """Run in so many processes, and print what it took."""
    with TemporaryDirectory() as directory:
        hosts = hosts_of(engine, processes, directory)
        command = [sys.executable, "-m", "benchmarks.studies.processes"]
        command += [name, engine, str(processes), str(items)]
        children = [
            subprocess.Popen(
                [*command, "--process", str(process), "--hosts", *hosts],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for process in range(processes)
        ]
        # Each says that its data is made, and begins when all have.
        for child in children:
            _line_of(child)
        begun = time.perf_counter()
        for child in children:
            print("go", file=child.stdin, flush=True)
        figures = [json.loads(_line_of(child)) for child in children]
        wall = time.perf_counter() - begun
        for child in children:
            child.communicate()
    cpu = sum(each["cpu"] for each in figures)
    result = sum(int(each["result"]) for each in figures)
    print_figures({"cpu": cpu, "wall": wall, "result": str(result)})


def _line_of(child: subprocess.Popen[str]) -> str:
    """What a process says next; not what an engine says of its connections."""
    for line in child.stdout or ():
        if line.startswith(("ready", "{")):
            return line
    msg = f"a process has ended with status {child.wait()}"
    raise RuntimeError(msg)


def hosts_of(engine: str, processes: int, directory: str) -> list[str]:
    """Where each process listens; a single one does not."""
    if processes == 1:
        return []
    if engine == "millstream":
        return [f"unix:{directory}/{number}" for number in range(processes)]
    return [f"localhost:{port}" for port in PORTS[:processes]]


def run_child(
    name: str, engine: str, items: int, process: int, hosts: list[str]
) -> None:
    """Make the data, wait for the others, run, and print what this process took."""
    # Before there is data, which the collector would look at while modules are loaded.
    load(engine)
    parts = parts_of(name, items)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    result = run_process(name, engine, parts, process, hosts)
    print_figures({"cpu": time.process_time() - cpu, "result": result})


def study(scale: float) -> Table:
    """Measure all on one process and on two."""
    rows: list[list[str | int | float]] = []
    targets = []
    for name, most in ITEMS.items():
        items = int(most * scale)
        results: dict[str, str] = {}
        for engine in engines():
            alone = 0.0
            for processes in (1, 2):
                run = run_once("studies.processes", name, engine, processes, items)
                results[f"{engine} in {processes}"] = run["result"]
                alone = alone or run["wall"]
                speed_up = alone / run["wall"]
                rate = items / run["wall"]
                row = [name, engine, processes, items, run["cpu"], run["wall"]]
                rows.append([*row, speed_up, rate])
                if engine == "millstream" and processes > 1:
                    targets.append(_target(name, speed_up, rate))
        check_equal(results, f"how many results of `{name}` in processes there are")
    columns = ["workload", "engine", "processes", "items", "CPU s", "wall s"]
    columns += ["speed-up", "items a second"]
    return Table(TITLE, NOTE, columns, rows, targets)


def _target(name: str, speed_up: float, rate: float) -> Target:
    if name == "exchange":
        what = "W9 a keyed exchange of two processes, items a second"
        return Target(what, rate / 1e6, 1.5, at_least=True, unit=" M")
    what = f"W9 {WORKLOADS[name].title} in two processes against one"
    return Target(what, speed_up, 1.7, at_least=True)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=ITEMS)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("processes", type=int)
    parser.add_argument("items", type=int)
    parser.add_argument("--process", type=int, help="run only this one")
    parser.add_argument("--hosts", nargs="*")
    arguments = parser.parse_args()
    what = (arguments.workload, arguments.engine)
    if arguments.process is None:
        run_engine(*what, arguments.processes, arguments.items)
    else:
        run_child(*what, arguments.items, arguments.process, arguments.hosts)


if __name__ == "__main__":
    main()
