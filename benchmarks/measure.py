"""Runs engines in processes of their own: first for equality, then against time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from benchmarks import data, limit, peers
from benchmarks.engines import FLOWS
from benchmarks.meters import Figures
from benchmarks.peers import is_installed
from benchmarks.workload import Workload

METERS = ("cpu", "wall", "memory", "grown")
ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "PATHWAY_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""All have one core, as a dataflow on one worker has."""

CHECKED = 50_000
"""At most so many items are enough to find out that results differ."""

SLOW = 5.0
"""Who takes more seconds than this is timed once: noise is small beside it."""


@dataclass(frozen=True)
class Row:
    """The medians of one engine on one workload.

    Args:
        workload: Its name.
        engine: Its name.
        items: How many items there were.
        runs: How many times it was run.
        cpu: CPU seconds.
        wall: Wall-clock seconds.
        memory: Peak memory of the process, in bytes.
        grown: How much of it the work added to the data and the modules.
        result: How many results there were.
    """

    workload: str
    engine: str
    items: int
    runs: int
    cpu: float
    wall: float
    memory: float
    grown: float
    result: str

    @property
    def nanoseconds(self) -> float:
        """CPU time an item."""
        return self.cpu / self.items * 1e9


def flow_engines() -> list[str]:
    """The engines for dataflows that are installed."""
    return [name for name in FLOWS if name == "composed" or is_installed(name)]


def engines_of(name: str, workload: Workload) -> list[str]:
    """The engines that do a workload, and that are here."""
    flows = [engine for engine in flow_engines() if engine not in workload.without]
    rust = ["rust"] if limit.is_able(name) else []
    return [*flows, "plain", *peers.able(name), *rust]


def run_once(module: str, *arguments: object) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=os.environ | ENVIRONMENT
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def medians(runs: list[Figures]) -> dict[str, Any]:
    """The medians of all meters, and the result, which must be one."""
    results = {str(run["result"]) for run in runs}
    if len(results) > 1:
        msg = f"one engine came to several results in its runs: {sorted(results)}"
        raise RuntimeError(msg)
    return {
        "runs": len(runs),
        **{meter: statistics.median(run[meter] for run in runs) for meter in METERS},
        "result": results.pop(),
    }


def check_equal(results: dict[str, str], what: str) -> None:
    """Figures of different results are not compared."""
    if len(set(results.values())) > 1:
        msg = f"engines disagree on {what}: {results}"
        raise RuntimeError(msg)


def check_digests(name: str, items: dict[str, int]) -> None:
    """Run all engines on the same items; all results must be equal."""
    count = min(CHECKED, *items.values())
    digests = {
        engine: run_once("run", name, engine, count, "--digest")["result"]
        for engine in items
    }
    check_equal(digests, f"the results of `{name}`")


def take_turns(name: str, items: dict[str, int], rounds: int) -> list[Row]:
    """Let the engines run in turns, the slow ones once, and take medians."""
    runs: dict[str, list[Figures]] = {engine: [] for engine in items}
    for _ in range(rounds):
        for engine, count in items.items():
            if not runs[engine] or runs[engine][0]["wall"] < SLOW:
                runs[engine].append(run_once("run", name, engine, count))
    return [
        Row(name, engine, items[engine], **medians(figures))
        for engine, figures in runs.items()
    ]


def compare(name: str, workload: Workload, rounds: int, scale: float) -> list[Row]:
    """Check that the engines agree, then measure them."""
    items = {
        engine: workload.items_of(engine, scale)
        for engine in engines_of(name, workload)
    }
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        os.environ[data.DIRECTORY] = directory
        check_digests(name, items)
        rows = take_turns(name, items, rounds)
    for size in set(items.values()):
        counts = {row.engine: row.result for row in rows if row.items == size}
        check_equal(counts, f"how many results of `{name}` there are")
    for row in rows:
        print(f"{name:16} {row.engine:11} {row.nanoseconds:9.1f} ns/item", flush=True)
    return rows
