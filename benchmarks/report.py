"""The figures as a page and as a chart."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

from benchmarks import maps
from benchmarks.catalogue import WORKLOADS
from benchmarks.measure import Row, is_installed

ENGINES = ("millstream", "bytewax", "plain", "composed", "polars")
COLOURS = ("#1b7837", "#d6604d", "#4393c3", "#a6dba0", "#999999")
TIMES = "×"  # noqa: RUF001
PACKAGES = ("millstream", "bytewax", "polars")

FEWEST_MAPS, MOST_MAPS = (
    f"maps-{count}" for count in (maps.COUNTS[0], maps.COUNTS[-1])
)


@dataclass(frozen=True)
class Line:
    """One workload on all engines: CPU time an item, and how fast it should be."""

    title: str
    nanoseconds: dict[str, float]
    faster_than_peer: float | None
    faster_than_plain: float | None

    def times(self, engine: str, target: float | None) -> str:
        """How many times as fast as another engine Millstream is, and should be."""
        if engine not in self.nanoseconds:
            return ""
        times = self.nanoseconds[engine] / self.nanoseconds["millstream"]
        if target is None:
            return f"{times:.1f}{TIMES}"
        missed = "" if times >= target else ", missed"
        return f"{times:.1f}{TIMES} (≥ {target:g}{TIMES}{missed})"


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
    return [Line("each further map", costs, 2, 1)]


def summary(rows: list[Row]) -> list[Line]:
    """A line for each workload that was run."""
    return map_line(rows) + [
        Line(
            workload.title,
            nanoseconds(rows, name),
            workload.faster_than_peer,
            workload.faster_than_plain,
        )
        for name, workload in WORKLOADS.items()
        if not name.startswith("maps-") and nanoseconds(rows, name)
    ]


def summary_table(lines: list[Line]) -> list[str]:
    """Time an item by engine, and how many times as fast Millstream is."""
    table = [
        (
            "| workload | millstream | bytewax | millstream is faster (target) "
            "| plain loop | millstream is faster (target) | composed | polars |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for line in lines:
        own, peer, plain, composed, columns = (
            f"{line.nanoseconds[engine]:,.0f}" if engine in line.nanoseconds else ""
            for engine in ENGINES
        )
        than_peer = line.times("bytewax", line.faster_than_peer)
        than_plain = line.times("plain", line.faster_than_plain)
        table.append(
            f"| {line.title} | {own} | {peer} | {than_peer} | {plain} | {than_plain} "
            f"| {composed} | {columns} |"
        )
    return table


def details_table(rows: list[Row]) -> list[str]:
    """All rows, with memory."""
    table = [
        "| run | engine | items | results | CPU s | wall s | peak MB | of it grown |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    return table + [
        f"| {row.workload} | {row.engine} | {row.items:,} | {int(row.result):,} "
        f"| {row.cpu:.3f} | {row.wall:.3f} "
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


def page(rows: list[Row], command: str, chart: str | None) -> str:
    """The page."""
    picture = [f"![CPU time an item, by workload and engine]({chart})", ""]
    lines = [
        "# Benchmarks",
        "",
        f"`{command}`: {versions()}.",
        "",
        (
            "CPU nanoseconds an item on one worker: medians of runs in turns, each "
            "its own process, after all engines came to equal results. The plain "
            "loop calls the same functions as the flow; that of W6 sorts all of its "
            "input first. Composed is Millstream without its native operators. "
            "Polars has all data at once, in columns, on one thread. Making the data "
            "is not timed. Engines that are slow get fewer items, which favours them "
            "where state grows."
        ),
        "",
        *summary_table(summary(rows)),
        "",
        *(picture if chart is not None else []),
        "## All runs",
        "",
        (
            "The peak, from the start of the work on, includes the data and the "
            "modules; grown is what came on top of them."
        ),
        "",
        *details_table(rows),
        "",
        (
            "`backpressure`: for some seconds a source over 100 times as fast as the "
            "sink of one of 2 workers, a `redistribute` between them, epoch interval "
            "60 s; items are those that were taken."
        ),
        "",
        (
            "`idle`: one item a second; CPU seconds over wall seconds is the part of "
            "a core in use."
        ),
        "",
    ]
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """The chart: a group of bars for each workload, on a logarithmic scale."""
    lines = summary(rows)
    figure_module = importlib.import_module("matplotlib.figure")
    figure = figure_module.Figure(
        figsize=(9, 1 + 1.1 * len(lines)), layout="constrained"
    )
    axes = figure.subplots()
    height = 0.85 / len(ENGINES)
    for position, (engine, colour) in enumerate(zip(ENGINES, COLOURS, strict=True)):
        places = [
            number + (position - (len(ENGINES) - 1) / 2) * height
            for number, line in enumerate(lines)
            if engine in line.nanoseconds
        ]
        values = [
            line.nanoseconds[engine] for line in lines if engine in line.nanoseconds
        ]
        bars = axes.barh(places, values, height * 0.9, color=colour, label=engine)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.01)
    axes.set_yticks(range(len(lines)), [line.title for line in lines])
    axes.invert_yaxis()
    axes.set_xlabel("CPU nanoseconds an item (less is better)")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(ENGINES), frameon=False)
    figure.savefig(path, dpi=120)
