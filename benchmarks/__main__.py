"""Runs all measurements, and writes them down as JSON and as a page.

``python -m benchmarks [--rounds N]``; ``make bench`` installs the peer first.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPORTS = Path(__file__).parent / "reports"
MAPS = (0, 1, 5)
MAP_ITEMS = 2_000_000
BACKPRESSURE_SECONDS = 10
IDLE_SECONDS = 10

Figures = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """The medians of one workload on one engine."""

    workload: str
    engine: str
    cpu: float
    wall: float
    memory: float
    result: object


def run_once(module: str, *arguments: object) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def median(runs: list[Figures], meter: str) -> float:
    """The median of one meter over some runs."""
    return float(statistics.median(run[meter] for run in runs))


def compare(
    module: str, engines: list[str], rounds: int, *arguments: object
) -> list[Row]:
    """Let engines take turns, after a warm-up, and take medians."""
    runs: dict[str, list[Figures]] = {engine: [] for engine in engines}
    for round_number in range(rounds + 1):
        for engine in engines:
            figures = run_once(module, engine, *arguments)
            if round_number > 0:
                runs[engine].append(figures)
    workload = " ".join([module, *map(str, arguments)])
    rows = [
        Row(
            workload,
            engine,
            cpu=median(runs[engine], "cpu"),
            wall=median(runs[engine], "wall"),
            memory=median(runs[engine], "memory"),
            result=runs[engine][-1]["result"],
        )
        for engine in engines
    ]
    for row in rows:
        print(f"{row.workload:16} {row.engine:11} {row.cpu:7.3f} CPU-s", flush=True)
    return rows


def check_equal(rows: list[Row]) -> None:
    """Figures of different results are not compared."""
    results = {row.result for row in rows}
    if len(results) > 1:
        msg = f"engines disagree on {rows[0].workload}: {results}"
        raise RuntimeError(msg)


def cost_of_a_map(rows: list[Row], engine: str) -> float:
    """Nanoseconds that each further map costs an item."""
    cpu = {row.workload: row.cpu for row in rows if row.engine == engine}
    spread = cpu[f"maps {MAPS[-1]}"] - cpu[f"maps {MAPS[0]}"]
    return spread / MAP_ITEMS / (MAPS[-1] - MAPS[0]) * 1e9


def table(rows: list[Row]) -> list[str]:
    """The rows in Markdown."""
    head = ["| workload | engine | CPU s | wall s | peak MB | result |"]
    head += ["|---|---|---:|---:|---:|---:|"]
    return head + [
        f"| {row.workload} | {row.engine} | {row.cpu:.3f} | {row.wall:.3f} "
        f"| {row.memory / 1e6:.1f} | {row.result} |"
        for row in rows
    ]


def report(rows: list[Row], engines: list[str], rounds: int) -> str:
    """The page."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in engines
        if name != "plain"
    )
    lines = [
        "# Overhead of the engine",
        "",
        (
            f"`python -m benchmarks --rounds {rounds}`: medians of {rounds} runs, in "
            f"turns, after a warm-up; {versions}; CPython {platform.python_version()}, "
            f"{platform.system()} {platform.machine()}."
        ),
        "",
        *table(rows),
        "",
        "What each further map costs an item:",
        "",
    ]
    lines += [f"- {e}: {cost_of_a_map(rows, e):.0f} ns" for e in engines]
    lines += [
        "",
        (
            f"`backpressure {BACKPRESSURE_SECONDS}`: a source over 100 times faster "
            "than the sink of one of 2 workers, a `redistribute` between them, epoch "
            "interval 60 s; the result is how many items were taken."
        ),
        "",
        (
            f"`idle {IDLE_SECONDS}`: one item a second; CPU seconds over wall seconds "
            "is the part of a core in use."
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    has_peer = importlib.util.find_spec("bytewax") is not None
    flows = ["millstream", "bytewax"] if has_peer else ["millstream"]
    engines = [*flows, "plain"]

    rows: list[Row] = []
    for maps in MAPS:
        compared = compare("maps", engines, rounds, maps)
        check_equal(compared)
        rows += compared
    rows += compare("backpressure", flows, 1, BACKPRESSURE_SECONDS)
    idle = compare("idle", flows, 1, IDLE_SECONDS)
    check_equal(idle)
    rows += idle

    REPORTS.mkdir(exist_ok=True)
    page = report(rows, engines, rounds)
    (REPORTS / "overhead.md").write_text(page)
    (REPORTS / "overhead.json").write_text(
        json.dumps([vars(row) for row in rows], indent=2) + "\n"
    )
    print(page)


if __name__ == "__main__":
    main()
