"""Pathway: tables that change, fed row by row from Python, on one worker.

Its expressions are its own, not calls of Python functions, but for the split of a line;
so it does less than engines that call the user's. Rows come out through a
Python callback, as changes; a table of sums is told when its input has ended. Timed is
the whole run, with the thread that feeds it.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from benchmarks import windows
from benchmarks.engines import Batches, Write
from benchmarks.events import START
from benchmarks.join import Sides
from benchmarks.peers import Job, Prepare

Table = Any
"""A Pathway table; the package may not be installed."""

Fields = dict[str, Any]


def pathway() -> Any:
    """The package, without its log."""
    logging.disable(logging.WARNING)
    return importlib.import_module("pathway")


def read(rows: Iterable[Fields], **types: Any) -> Table:
    """A table that a Python loop fills."""
    api = pathway()

    class Subject(api.io.python.ConnectorSubject):  # type: ignore[misc,name-defined]
        deletions_enabled = False

        def run(self) -> None:
            for row in rows:
                self.next(**row)

    return api.io.python.read(Subject(), schema=api.schema_from_types(**types))


def job(result: Table, to_result: Callable[[Fields], Any], write: Write) -> Job:
    """Collect the rows that are in a table in the end."""
    api = pathway()
    rows: dict[Any, Any] = {}

    def change(key: Any, row: Fields, time: int, is_addition: bool) -> None:  # noqa: ARG001, FBT001
        if is_addition:
            rows[key] = row
        elif rows.get(key) == row:
            del rows[key]

    api.io.subscribe(result, change)
    return Job(
        run=lambda: api.run(monitoring_level=api.MonitoringLevel.NONE),
        results=lambda: write([to_result(row) for row in rows.values()]),
    )


def named(names: tuple[str, ...], batches: Batches) -> Iterator[Fields]:
    """Tuples as rows with names."""
    return (dict(zip(names, item, strict=True)) for batch in batches for item in batch)


def map_filter(batches: Batches, write: Write) -> Job:
    """A column computed, and a condition."""
    numbers = ({"number": number} for batch in batches for number in batch)
    table = read(numbers, number=int)
    doubled = table.select(doubled=table.number * 2)
    kept = doubled.filter(doubled.doubled % 3 == 0)
    return job(kept, lambda row: row["doubled"], write)


def words(batches: Batches, write: Write) -> Job:
    """Split, flatten, group."""
    api = pathway()
    lines = read(({"line": line} for batch in batches for line in batch), line=str)
    split = lines.select(word=api.apply_with_type(str.split, list[str], lines.line))
    each = split.flatten(split.word)
    counts = each.groupby(each.word).reduce(each.word, count=api.reducers.count())
    return job(counts, lambda row: (row["word"], row["count"]), write)


def window_sums(name: str, batches: Batches, write: Write) -> Job:
    """Windows that are emitted once, when time has passed them by the wait."""
    api = pathway()
    # None starts before the origin, so it is before the first event.
    origin = START - 2 * windows.LENGTH
    window, offset = {
        "tumbling": (
            api.temporal.tumbling(windows.LENGTH, origin=origin),
            windows.LENGTH,
        ),
        "sliding": (
            api.temporal.sliding(windows.OFFSET, windows.LENGTH, origin=origin),
            windows.OFFSET,
        ),
    }[name]
    names = ("key", "time", "value")
    rows = named(names, [[(key, *event) for key, event in batch] for batch in batches])
    table = read(rows, key=str, time=api.DateTimeUtc, value=float)
    behaviour = api.temporal.exactly_once_behavior(shift=windows.WAIT)
    sums = table.windowby(
        table.time, window=window, instance=table.key, behavior=behaviour
    ).reduce(
        key=api.this._pw_instance,  # noqa: SLF001 - its documented name
        start=api.this._pw_window_start,  # noqa: SLF001
        count=api.reducers.count(),
        total=api.reducers.sum(api.this.value),
    )

    def to_result(row: Fields) -> tuple[Any, ...]:
        number = (row["start"].to_pydatetime() - START) // offset
        return (row["key"], number, row["count"], row["total"])

    return job(sums, to_result, write)


def join(sides: Sides, write: Write) -> Job:
    """An inner join."""
    left, right = (
        read(named(("key", "value"), side), key=str, value=int) for side in sides
    )
    joined = left.join(right, left.key == right.key).select(
        left.key, one=left.value, other=right.value
    )
    return job(joined, lambda row: (row["key"], row["one"], row["other"]), write)


JOBS: dict[str, Prepare] = {
    "map_filter": map_filter,
    "words": words,
    "tumbling": partial(window_sums, "tumbling"),
    "sliding": partial(window_sums, "sliding"),
    "join": join,
}
