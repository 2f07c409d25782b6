"""The figures as a page."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from benchmarks import maps
from benchmarks.catalogue import WORKLOADS
from benchmarks.measure import Row
from benchmarks.peers import is_installed
from benchmarks.studies import Table
from benchmarks.targets import Target

ENGINES = (
    "millstream",
    "composed",
    "plain",
    "bytewax",
    "pathway",
    "quixstreams",
    "polars",
    "duckdb",
    "rust",
)
NAMES = {"plain": "the plain loop"}
PACKAGES = ("millstream", "bytewax", "pathway", "quixstreams", "polars", "duckdb")
FEWEST_MAPS, MOST_MAPS = (
    f"maps-{count}" for count in (maps.COUNTS[0], maps.COUNTS[-1])
)
MAP_TITLE = "each further map"
MAP_NANOSECONDS = 32
"""What a further map may cost at most."""

TIMED = (
    "CPU nanoseconds an item on one worker: medians of runs in turns, each its own "
    "process, after all engines came to equal results. Making the data is not timed; "
    "reading the file of W8 is. The plain loop calls the same functions as "
    "the flow; that of W6 sorts all of its input first. Composed is Millstream without "
    "its native operators. Pathway computes with expressions of its own. "
    "Quix Streams runs without Kafka, so without serialising and committing. "
    "Polars and DuckDB have all data at once, in columns, on one thread; rust is a "
    "program by hand, without Python objects: neither is a stream processor. "
    "A star marks engines that got fewer items, since more would take minutes; below "
    "it says how many."
)


@dataclass(frozen=True)
class Line:
    """One workload on all engines."""

    title: str
    nanoseconds: dict[str, float]
    faster: dict[str, float]
    fewer: frozenset[str] = frozenset()


def nanoseconds(rows: list[Row], workload: str) -> dict[str, float]:
    """CPU time an item, by engine."""
    return {row.engine: row.nanoseconds for row in rows if row.workload == workload}


def map_line(rows: list[Row]) -> list[Line]:
    """What each further map costs an item, if flows with and without were run."""
    fewest, most = nanoseconds(rows, FEWEST_MAPS), nanoseconds(rows, MOST_MAPS)
    if not fewest or not most:
        return []
    count = maps.COUNTS[-1] - maps.COUNTS[0]
    costs = {engine: (most[engine] - fewest[engine]) / count for engine in most}
    return [Line(MAP_TITLE, costs, {"bytewax": 2})]


def summary(rows: list[Row]) -> list[Line]:
    """A line for each workload that was run."""
    return map_line(rows) + [
        Line(
            workload.title,
            nanoseconds(rows, name),
            workload.faster,
            frozenset(workload.fewer),
        )
        for name, workload in WORKLOADS.items()
        if not name.startswith("maps-") and nanoseconds(rows, name)
    ]


def targets(rows: list[Row], studies: list[Table]) -> list[Target]:
    """All targets whose figures are there."""
    found = []
    for line in summary(rows):
        own = line.nanoseconds["millstream"]
        found += [
            Target(
                f"{line.title}: times as fast as {NAMES.get(other, other)}",
                line.nanoseconds[other] / own,
                bound,
                at_least=True,
            )
            for other, bound in line.faster.items()
            if other in line.nanoseconds
        ]
        if line.title == MAP_TITLE:
            found.append(
                Target(MAP_TITLE, own, MAP_NANOSECONDS, at_least=False, unit=" ns")
            )
    return found + [target for table in studies for target in table.targets]


def targets_table(found: list[Target]) -> list[str]:
    """What should be, and what is."""
    if not found:
        return []
    head = ["| figure | is | should be | |", "|---|---:|---:|---|"]
    return ["## Targets", "", *head, *(target.row() for target in found), ""]


def engines_of(rows: list[Row]) -> list[str]:
    """The engines that took part, in the order of columns."""
    present = {row.engine for row in rows}
    return [engine for engine in ENGINES if engine in present]


def summary_table(lines: list[Line], engines: list[str]) -> list[str]:
    """CPU time an item, by workload and engine."""
    table = [
        "| workload | " + " | ".join(engines) + " |",
        "|---|" + "---:|" * len(engines),
    ]
    for line in lines:
        cells = [
            f"{line.nanoseconds[engine]:,.0f}{'*' * (engine in line.fewer)}"
            if engine in line.nanoseconds
            else ""
            for engine in engines
        ]
        table.append(f"| {line.title} | " + " | ".join(cells) + " |")
    return table


def memory_table(rows: list[Row], engines: list[str]) -> list[str]:
    """How many megabytes the work added, by workload and engine."""
    table = [
        "| workload | " + " | ".join(engines) + " |",
        "|---|" + "---:|" * len(engines),
    ]
    for name, workload in WORKLOADS.items():
        grown = {row.engine: row.grown / 1e6 for row in rows if row.workload == name}
        if grown:
            cells = [
                f"{grown[engine]:,.0f}{'*' * (engine in workload.fewer)}"
                if engine in grown
                else ""
                for engine in engines
            ]
            table.append(f"| {workload.title} | " + " | ".join(cells) + " |")
    return table


def details_table(rows: list[Row]) -> list[str]:
    """All rows."""
    table = [
        (
            "| run | engine | items | runs | results | CPU s | wall s "
            "| peak MB | of it grown |"
        ),
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return table + [
        f"| {row.workload} | {row.engine} | {row.items:,} | {row.runs} "
        f"| {int(row.result):,} | {row.cpu:.3f} | {row.wall:.3f} "
        f"| {row.memory / 1e6:.0f} | {row.grown / 1e6:.0f} |"
        for row in rows
    ]


def versions() -> str:
    """What was measured, on what."""
    packages = [
        f"{name} {importlib.metadata.version(name)}"
        for name in PACKAGES
        if is_installed(name)
    ]
    python = f"CPython {platform.python_version()}"
    return ", ".join([*packages, python, f"{platform.system()} {platform.machine()}"])


def workloads_part(rows: list[Row], chart: str | None) -> list[str]:
    """The tables of workloads."""
    if not rows:
        return []
    engines = engines_of(rows)
    picture = [f"![CPU time an item, by workload and engine]({chart})", ""]
    return [
        "## Time",
        "",
        TIMED,
        "",
        *summary_table(summary(rows), engines),
        "",
        *(picture if chart is not None else []),
        "## Memory",
        "",
        "Megabytes that the work added, at its peak, to the data and the modules.",
        "",
        *memory_table(rows, engines),
        "",
    ]


def page(rows: list[Row], studies: list[Table], command: str, chart: str | None) -> str:
    """The page."""
    details = [
        "## All runs",
        "",
        "Peak memory, from the start of the work on, with the data and the modules.",
        "",
        *details_table(rows),
        "",
    ]
    lines = [
        "# Benchmarks",
        "",
        f"`{command}`: {versions()}.",
        "",
        *targets_table(targets(rows, studies)),
        *workloads_part(rows, chart),
        *(line for table in studies for line in table.markdown()),
        *(details if rows else []),
        (
            "W12, the recursive function in Python, in Rust, and in Rust from "
            "Python, is an example of its own: `make fibonacci`."
        ),
        "",
    ]
    return "\n".join(lines)
