"""The figures as a chart."""

from __future__ import annotations

import importlib
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.report import ENGINES, engines_of, summary

COLOURS = dict(
    zip(
        ENGINES,
        (
            "#1b7837",
            "#a6dba0",
            "#4393c3",
            "#d6604d",
            "#f4a582",
            "#b2182b",
            "#878787",
            "#bababa",
            "#2d2d2d",
        ),
        strict=True,
    )
)
WIDTH, BAR = 10, 0.17
"""Inches."""


def draw(rows: list[Row], path: Path) -> None:
    """A group of bars for each workload, on a logarithmic scale."""
    lines, engines = summary(rows), engines_of(rows)
    present = [
        [engine for engine in engines if engine in line.nanoseconds] for line in lines
    ]
    starts = [sum(map(len, present[:number])) + number for number in range(len(lines))]
    tall = 1 + BAR * (starts[-1] + len(present[-1]))
    figure_module = importlib.import_module("matplotlib.figure")
    figure = figure_module.Figure(figsize=(WIDTH, tall), layout="constrained")
    axes = figure.subplots()
    for engine in engines:
        places, values = [], []
        for start, line, group in zip(starts, lines, present, strict=True):
            if engine in group:
                places.append(start + group.index(engine))
                values.append(line.nanoseconds[engine])
        bars = axes.barh(places, values, 0.9, color=COLOURS[engine], label=engine)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.1, y=0.01)
    middles = [
        start + (len(group) - 1) / 2
        for start, group in zip(starts, present, strict=True)
    ]
    axes.set_yticks(middles, [line.title for line in lines])
    axes.invert_yaxis()
    axes.set_xlabel("CPU nanoseconds an item (less is better)")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(engines), frameon=False)
    figure.savefig(path, dpi=110)
