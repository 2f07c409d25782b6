"""Runs all measurements, and writes them down as JSON, as a page and as a chart.

``python -m benchmarks [--rounds N] [--only NAME ...] [--scale F]``; ``make bench``
installs what they are compared with first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
import time
from pathlib import Path

from benchmarks import chart, report
from benchmarks.catalogue import STUDIES, WORKLOADS
from benchmarks.measure import Row, compare
from benchmarks.peers import is_installed
from benchmarks.studies import Table

REPORTS = Path(__file__).parent / "reports"


def measure(
    names: list[str], rounds: int, scale: float
) -> tuple[list[Row], dict[str, Table]]:
    """Measure what is named."""
    rows: list[Row] = []
    studies: dict[str, Table] = {}
    for name in names:
        started = time.monotonic()
        if name in WORKLOADS:
            rows += compare(name, WORKLOADS[name], rounds, scale)
        else:
            module = importlib.import_module(f"benchmarks.studies.{name}")
            studies[name] = module.study(scale)
            print("\n".join(studies[name].markdown()), flush=True)
        print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
    return rows, studies


def write(
    rows: list[Row], studies: dict[str, Table], command: str, directory: Path
) -> None:
    """Write the report."""
    directory.mkdir(parents=True, exist_ok=True)
    tables = list(studies.values())
    picture = "benchmarks.png" if rows and is_installed("matplotlib") else None
    if picture is not None:
        chart.draw(rows, directory / picture)
    page = report.page(rows, tables, command, picture)
    (directory / "benchmarks.md").write_text(page)
    figures = {
        "command": command,
        "versions": report.versions(),
        "targets": [
            vars(target) | {"met": target.is_met}
            for target in report.targets(rows, tables)
        ],
        "rows": [vars(row) for row in rows],
        "studies": {
            name: {"title": table.title, "columns": table.columns, "rows": table.rows}
            for name, table in studies.items()
        },
    }
    (directory / "benchmarks.json").write_text(json.dumps(figures, indent=2) + "\n")


def main() -> None:
    """Measure, and report; a part of the measurements is only shown."""
    names = [*WORKLOADS, *STUDIES]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--scale", type=float, default=1.0, help="of items, below 1")
    parser.add_argument(
        "--reports",
        type=Path,
        help=f"where to write (default: {REPORTS}, if everything is measured in full)",
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    rows, studies = measure(arguments.only, arguments.rounds, arguments.scale)
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    is_full = arguments.only == names and arguments.scale >= 1
    directory = arguments.reports or (REPORTS if is_full else None)
    if directory is not None:
        write(rows, studies, command, directory)
    print(report.page(rows, list(studies.values()), command, None))
    print(f"took {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
