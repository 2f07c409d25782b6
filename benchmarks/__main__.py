"""Runs all measurements, and writes them down as JSON, as a page and as a chart.

``python -m benchmarks [--rounds N] [--only NAME ...] [--scale F]``; ``make bench``
installs what they are compared with first.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.catalogue import WORKLOADS
from benchmarks.measure import Row, compare, is_installed, watch

REPORTS = Path(__file__).parent / "reports"
WATCHED = {"backpressure": 5, "idle": 5}
"""How many seconds each of these lasts."""


def measure(names: list[str], rounds: int, scale: float) -> list[Row]:
    """Measure what is named."""
    rows: list[Row] = []
    for name in names:
        if name in WATCHED:
            rows += watch(name, WATCHED[name])
        else:
            rows += compare(name, WORKLOADS[name], rounds, scale)
    return rows


def write(rows: list[Row], command: str, directory: Path) -> None:
    """Write the report."""
    directory.mkdir(parents=True, exist_ok=True)
    chart = "benchmarks.png" if is_installed("matplotlib") else None
    if chart is not None:
        report.draw(rows, directory / chart)
    page = report.page(rows, command, chart)
    (directory / "benchmarks.md").write_text(page)
    figures = {
        "command": command,
        "versions": report.versions(),
        "rows": [vars(row) for row in rows],
    }
    (directory / "benchmarks.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(page)


def main() -> None:
    """Measure, and report."""
    names = [*WORKLOADS, *WATCHED]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--scale", type=float, default=1.0, help="of items, below 1")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="a directory")
    arguments = parser.parse_args()
    rows = measure(arguments.only, arguments.rounds, arguments.scale)
    write(
        rows,
        shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        arguments.reports,
    )


if __name__ == "__main__":
    main()
