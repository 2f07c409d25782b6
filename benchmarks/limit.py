"""The limit: a program in Rust that does the workloads by hand, on native data.

It gets its rows as text, which it reads before its clock starts; ``make limit`` builds
it. What it prints has the form of all other runs.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.engines import Batches
from benchmarks.events import Event
from benchmarks.join import Sides
from benchmarks.meters import Figures
from benchmarks.workload import Digest, Sink

PROGRAM = Path(__file__).parent / "limit" / "target" / "release" / "limit"
MICROSECOND = timedelta(microseconds=1)

Fields = Iterable[object]


def of_items(batches: Batches) -> Iterator[Fields]:
    """Items without parts."""
    return ((item,) for batch in batches for item in batch)


def of_pairs(batches: Batches) -> Iterator[Fields]:
    """Pairs of key and value."""
    return (pair for batch in batches for pair in batch)


def microseconds(time: datetime) -> int:
    """A timestamp, in UTC, as a number."""
    return (time - datetime.fromtimestamp(0, time.tzinfo)) // MICROSECOND


def of_events(batches: Batches) -> Iterator[Fields]:
    """Keyed events."""
    pairs: Iterator[tuple[str, Event]] = (pair for batch in batches for pair in batch)
    return ((key, microseconds(time), value) for key, (time, value) in pairs)


def of_rows(batches: Batches) -> Iterator[Fields]:
    """Flat events."""
    rows: Iterator[tuple[str, datetime, float]] = (
        row for batch in batches for row in batch
    )
    return ((key, microseconds(time), value) for key, time, value in rows)


def of_sides(sides: Sides) -> Iterator[Fields]:
    """Both sides of a join."""
    for name, side in zip(("left", "right"), sides, strict=True):
        yield from ((name, *pair) for pair in of_pairs(side))


WORKLOADS: dict[str, tuple[Callable[[Any], Iterator[Fields]], tuple[type, ...]]] = {
    "map_filter": (of_items, (int,)),
    "words": (of_items, (str, int)),
    "running_average": (of_pairs, (str, float)),
    "tumbling": (of_events, (str, int, int, float)),
    "aggregates": (of_events, (str, int, int, float)),
    "sliding": (of_events, (str, int, int, float)),
    "sessions": (of_rows, (str, int, int)),
    "join": (of_sides, (str, int, int)),
}
"""How rows of each workload are told, and the types of its results."""


def is_able(workload: str) -> bool:
    """Whether the program is built, and does a workload."""
    return PROGRAM.exists() and workload in WORKLOADS


def write_rows(rows: Iterator[Fields], path: Path) -> None:
    """Write rows as the program reads them."""
    with path.open("w") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)


def read_results(path: Path, types: tuple[type, ...]) -> list[tuple[Any, ...]]:
    """Read results as the program writes them."""
    with path.open() as file:
        return [
            tuple(
                kind(field)
                for kind, field in zip(
                    types, line.rstrip("\n").split("\t"), strict=True
                )
            )
            for line in file
        ]


def run(workload: str, items: int, load: Callable[[], Any], sink: Sink) -> Figures:
    """Run the program once; it counts, and a digest is made of what it wrote."""
    to_fields, types = WORKLOADS[workload]
    directory = data.directory()
    rows, results = directory / f"{workload}-{items}.tsv", directory / "results.tsv"
    if not rows.exists():
        write_rows(to_fields(load()), rows)
    digested = isinstance(sink, Digest)
    output = [results] if digested else []
    command: list[str | Path] = [PROGRAM, workload, rows, *output]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: Figures = json.loads(done.stdout)
    if digested:
        sink.write(read_results(results, types))
        figures["result"] = sink.result()
    return figures
