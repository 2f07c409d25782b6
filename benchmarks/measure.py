"""Runs engines in processes of their own: first for equality, then against time."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.engines import FLOWS
from benchmarks.workload import Workload

METERS = ("cpu", "wall", "memory", "grown")
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
"""All have one core, as a dataflow on one worker has."""

CHECKED = 200_000
"""At most so many items are enough to find out that results differ."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """The medians of one engine on one workload.

    Args:
        workload: Its name.
        engine: Its name.
        items: How many items there were.
        cpu: CPU seconds.
        wall: Wall-clock seconds.
        memory: Peak memory of the process, in bytes.
        grown: How much of it the work added to the data and the modules.
        result: How many results there were.
    """

    workload: str
    engine: str
    items: int
    cpu: float
    wall: float
    memory: float
    grown: float
    result: str

    @property
    def nanoseconds(self) -> float:
        """CPU time an item."""
        return self.cpu / self.items * 1e9


def is_installed(package: str) -> bool:
    """Whether Python finds a package."""
    return importlib.util.find_spec(package) is not None


def flow_engines() -> list[str]:
    """The engines for dataflows that are installed."""
    return [name for name in FLOWS if name == "composed" or is_installed(name)]


def engines_of(workload: Workload) -> list[str]:
    """The engines that a workload is written for and that are installed."""
    columns = workload.columns is not None and is_installed("polars")
    return [*flow_engines(), "plain", *(["polars"] if columns else [])]


def run_once(module: str, *arguments: object) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=os.environ | ONE_THREAD
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def medians(runs: list[Figures]) -> Figures:
    """The medians of all meters, and the result, which must be one."""
    results = {str(run["result"]) for run in runs}
    if len(results) > 1:
        msg = f"one engine came to several results in its runs: {sorted(results)}"
        raise RuntimeError(msg)
    return {
        **{meter: statistics.median(run[meter] for run in runs) for meter in METERS},
        "result": results.pop(),
    }


def check_equal(results: dict[str, str], what: str) -> None:
    """Figures of different results are not compared."""
    if len(set(results.values())) > 1:
        msg = f"engines disagree on {what}: {results}"
        raise RuntimeError(msg)


def check_digests(name: str, workload: Workload, scale: float) -> None:
    """Run all engines on the same items; all results must be equal."""
    engines = engines_of(workload)
    items = min(CHECKED, *(workload.items_of(engine, scale) for engine in engines))
    digests = {
        engine: run_once("run", name, engine, items, "--digest")["result"]
        for engine in engines
    }
    check_equal(digests, f"the results of `{name}`")


def compare(name: str, workload: Workload, rounds: int, scale: float) -> list[Row]:
    """Let the engines take turns, and take medians."""
    check_digests(name, workload, scale)
    items = {
        engine: workload.items_of(engine, scale) for engine in engines_of(workload)
    }
    runs: dict[str, list[Figures]] = {engine: [] for engine in items}
    for _ in range(rounds):
        for engine, count in items.items():
            runs[engine].append(run_once("run", name, engine, count))
    rows = [
        Row(name, engine, items[engine], **medians(figures))
        for engine, figures in runs.items()
    ]
    for size in set(items.values()):
        counts = {row.engine: row.result for row in rows if row.items == size}
        check_equal(counts, f"how many results of `{name}` there are")
    for row in rows:
        print(f"{name:16} {row.engine:11} {row.nanoseconds:9.1f} ns/item", flush=True)
    return rows


def watch(module: str, seconds: int) -> list[Row]:
    """Run something that lasts some seconds of wall-clock time, once an engine."""
    rows = []
    for engine in flow_engines():
        if engine == "composed":
            continue
        figures = medians([run_once(module, engine, seconds)])
        row = Row(module, engine, int(figures["result"]), **figures)
        print(f"{module:16} {engine:11} {row.cpu:9.3f} CPU-s", flush=True)
        rows.append(row)
    return rows
