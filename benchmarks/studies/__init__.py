"""Measurements of something other than a workload's time an item; each has a module.

A module has ``TITLE``, ``NOTE``, and ``study``, which runs the module in processes of
their own, once for each engine and case, and makes a `Table` of what they print.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.peers import is_installed
from benchmarks.targets import Target

ENGINES = ("millstream", "bytewax")


@dataclass(frozen=True)
class Table:
    """What came of a study.

    Args:
        title: Its heading.
        note: What was done.
        columns: What the columns are; the first are words, those in `rows` say which.
        rows: The figures.
        targets: What some of them should be.
    """

    title: str
    note: str
    columns: list[str]
    rows: list[list[str | int | float]]
    targets: list[Target] = field(default_factory=list)

    def markdown(self) -> list[str]:
        """The table, with its heading and its note."""
        words = [isinstance(cell, str) for cell in self.rows[0]]
        return [
            f"## {self.title}",
            "",
            self.note,
            "",
            "| " + " | ".join(self.columns) + " |",
            "|" + "|".join("---" if word else "---:" for word in words) + "|",
            *("| " + " | ".join(map(shown, row)) + " |" for row in self.rows),
            "",
        ]


def shown(cell: str | float) -> str:
    """A cell as text: fractions to three digits, whole numbers with separators."""
    if isinstance(cell, str):
        return cell
    large = 100
    if isinstance(cell, int) or abs(cell) >= large:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def engines() -> list[str]:
    """The engines of studies that are installed."""
    return [name for name in ENGINES if is_installed(name)]
