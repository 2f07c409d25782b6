"""W9: two partitions in two processes, and a keyed exchange between them.

Run as ``python -m benchmarks.studies.processes WORKLOAD ENGINE PROCESSES ITEMS``. The
data is made before the clock runs, which is from when the processes begin to join until
the last has ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import FLOWS, Engine, load
from benchmarks.measure import SLOW, check_equal, run_once
from benchmarks.meters import Figures, print_figures
from benchmarks.studies import Table, engines
from benchmarks.studies.split import (
    SPLIT,
    reading,
    reading_lines,
    source_of,
    split_keys,
    write_lines,
)
from benchmarks.targets import Target
from benchmarks.workload import Count, in_batches

TITLE = "W9 processes: two partitions in two, and a keyed exchange"
NOTE = (
    "The same input in two partitions, read by one process, or by two with a worker "
    "each. `words` and `tumbling` are W2 and W4, whose items are there already; "
    "`lines` is W4, too, but its events are read and parsed from two files of JSON "
    "Lines. `exchange` folds items by key, of 100 keys: half of them go to the other "
    "process, one by one. One and two processes took turns, five each, or one if that "
    "was slow; these are medians, and the speed-up is of wall-clock time, joining "
    "included."
)
ITEMS = {
    "words": 9_000_000,
    "tumbling": 4_000_000,
    "lines": 2_000_000,
    "exchange": 10_000_000,
}
TITLES = {
    "words": WORKLOADS["words"].title,
    "tumbling": WORKLOADS["tumbling"].title,
    "lines": f"{WORKLOADS['tumbling'].title}, of JSON Lines",
}
PORTS = (41_761, 41_762)
ROUNDS = 5

Build = Callable[[Engine, Any], Any]
"""Makes the steps whose results are counted, for an engine and its flow."""


def at_hand(name: str, items: int, _directory: Path) -> Build:
    """W2 or W4, of items that are there already."""
    workload = WORKLOADS[name]
    parts = SPLIT[name](workload.make(items))
    return lambda engine, flow: workload.flow(reading(engine, parts), flow, [])


def lines(_items: int, directory: Path) -> Build:
    """W4, of the files that `write_lines` has made."""
    return lambda engine, flow: WORKLOADS["tumbling"].flow(
        reading_lines(engine, directory), flow, []
    )


def exchange(items: int, _directory: Path) -> Build:
    """Pairs of a hundred keys, in two partitions."""
    block = [(f"key-{number % 100}", number) for number in range(100_000)]
    pairs = block * (items // 2 // len(block))
    parts = [in_batches(pairs), in_batches(pairs)]

    def build(engine: Engine, flow: Any) -> Any:
        stream = engine.op.input("in", flow, source_of(engine, parts))
        return engine.op.fold_final("fold", stream, int, latest)

    return build


def latest(_known: int, number: int) -> int:
    """A folder that does next to nothing."""
    return number


MAKE: dict[str, Callable[[int, Path], Build]] = {
    "words": partial(at_hand, "words"),
    "tumbling": partial(at_hand, "tumbling"),
    "lines": lines,
    "exchange": exchange,
}


def run_process(engine_name: str, build: Build, process: int, hosts: list[str]) -> int:
    """Run one of the processes; gives how many items came out there."""
    engine, sink = load(engine_name), Count()
    flow = engine.dataflow.Dataflow("processes")
    engine.write("out", build(engine, flow), sink.write)
    engine.testing.cluster_main(flow, hosts, process)
    return int(sink.result())


def run_engine(
    name: str, engine: str, processes: int, items: int, data: Path | None
) -> None:
    """Run in so many processes, and print what it took."""
    with TemporaryDirectory() as directory:
        if name == "lines" and data is None:
            data = Path(directory)
            make_lines(items, data)
        hosts = hosts_of(engine, processes, directory)
        command = [sys.executable, "-m", "benchmarks.studies.processes"]
        command += [name, engine, str(processes), str(items)]
        command += ["--data", str(data or directory)]
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


def make_lines(items: int, directory: Path) -> None:
    """Make the files that `lines` reads."""
    write_lines(split_keys(WORKLOADS["tumbling"].make(items)), directory)


def run_child(
    engine: str, make: Callable[[], Build], process: int, hosts: list[str]
) -> None:
    """Make the data, wait for the others, run, and print what this process took."""
    # Before there is data, which the collector would look at while modules are loaded.
    load(engine)
    build = make()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    result = run_process(engine, build, process, hosts)
    print_figures({"cpu": time.process_time() - cpu, "result": result})


def take_turns(name: str, engine: str, items: int, data: Path) -> dict[int, Figures]:
    """One process and two, in turns, but once if slow; gives the medians of both."""
    runs: dict[int, list[Figures]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for processes, done in runs.items():
            case = (name, engine, processes, items, "--data", data)
            done.append(run_once("studies.processes", *case))
        if max(done[0]["wall"] for done in runs.values()) > SLOW:
            break
    return {
        processes: {
            "cpu": median(run["cpu"] for run in done),
            "wall": median(run["wall"] for run in done),
            "result": only({run["result"] for run in done}),
        }
        for processes, done in runs.items()
    }


def only(results: set[str]) -> str:
    """The one result of several runs."""
    (result,) = results
    return result


def study(scale: float) -> Table:
    """Measure all on one process and on two."""
    rows: list[list[str | int | float]] = []
    targets = []
    for name, most in ITEMS.items():
        items = int(most * scale)
        results: dict[str, str] = {}
        with TemporaryDirectory() as directory:
            if name == "lines":
                make_lines(items, Path(directory))
            for engine in engines():
                runs = take_turns(name, engine, items, Path(directory))
                for processes, run in runs.items():
                    results[f"{engine} in {processes}"] = run["result"]
                    speed_up = runs[1]["wall"] / run["wall"]
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
    what = f"W9 {TITLES[name]} in two processes against one"
    return Target(what, speed_up, 1.7, at_least=True)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=ITEMS)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("processes", type=int)
    parser.add_argument("items", type=int)
    parser.add_argument("--data", type=Path, help="where the files of `lines` are")
    parser.add_argument("--process", type=int, help="run only this one")
    parser.add_argument("--hosts", nargs="*")
    arguments = parser.parse_args()
    name, items, data = arguments.workload, arguments.items, arguments.data
    if arguments.process is None:
        run_engine(name, arguments.engine, arguments.processes, items, data)
    else:
        make = partial(MAKE[name], items, data)
        run_child(arguments.engine, make, arguments.process, arguments.hosts)


if __name__ == "__main__":
    main()
