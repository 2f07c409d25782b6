"""Polars: all of the data at once, in columns, on one thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import json_lines, sessions, windows
from benchmarks.engines import Batches, Write
from benchmarks.events import START
from benchmarks.join import Sides
from benchmarks.peers import Job, Prepare

Frame = Any
"""A Polars data frame; the package may not be installed."""


def frame(batches: Batches, columns: list[str]) -> Frame:
    """Rows as columns."""
    polars = importlib.import_module("polars")
    rows = list(chain.from_iterable(batches))
    return polars.DataFrame(rows, schema=columns, orient="row")


def events(batches: Batches) -> Frame:
    """Keyed events as three columns."""
    rows = [[(key, *event) for key, event in batch] for batch in batches]
    return frame(rows, ["key", "time", "value"])


def lines(batches: Batches) -> Frame:
    """Lines as one column."""
    polars = importlib.import_module("polars")
    return polars.DataFrame({"line": list(chain.from_iterable(batches))})


def job(compute: Callable[[], Frame], write: Write) -> Job:
    """Compute a frame; making rows of it is not timed."""
    frames: list[Frame] = []
    return Job(
        run=lambda: frames.append(compute()),
        results=lambda: write(frames[0].rows()),
    )


def words(batches: Batches, write: Write) -> Job:
    """Split and count a column of lines."""
    polars = importlib.import_module("polars")
    text = lines(batches)
    each = polars.col("line").str.split(" ").explode().alias("word")
    return job(lambda: text.select(each).group_by("word").agg(polars.len()), write)


def running_average(batches: Batches, write: Write) -> Job:
    """Running sums and counts, over the sensor."""
    polars = importlib.import_module("polars")
    readings = frame(batches, ["sensor", "reading"])
    total = polars.col("reading").cum_sum().over("sensor")
    count = polars.col("reading").cum_count().over("sensor")
    return job(lambda: readings.select("sensor", total / count), write)


def window_sums(offset: timedelta, batches: Batches, write: Write) -> Job:
    """Sum up slices as long as the offset, then the slices of each window."""
    polars = importlib.import_module("polars")
    rows = events(batches)
    start = polars.lit(START).cast(rows.schema["time"])
    since = (polars.col("time") - start).dt.total_microseconds()
    number = since // (offset // timedelta(microseconds=1))

    def compute() -> Frame:
        slices = rows.group_by("key", id=number).agg(
            count=polars.len(), total=polars.col("value").sum()
        )
        if offset == windows.LENGTH:
            return slices
        copies = [
            slices.with_columns(id=polars.col("id") - back)
            for back in range(windows.LENGTH // offset)
        ]
        sums = polars.col("count").sum(), polars.col("total").sum()
        return polars.concat(copies).group_by("key", "id").agg(*sums)

    return job(compute, write)


def session_counts(batches: Batches, write: Write) -> Job:
    """Sort, number the sessions of each key, count."""
    polars = importlib.import_module("polars")
    rows = frame(batches, ["key", "time", "value"])
    starts = (polars.col("time").diff() > sessions.GAP).fill_null(value=False)
    session = starts.cum_sum().over("key")
    return job(
        lambda: rows.sort("key", "time").group_by("key", id=session).agg(polars.len()),
        write,
    )


def join(sides: Sides, write: Write) -> Job:
    """An inner join."""
    left, right = (
        frame(side, ["key", value])
        for side, value in zip(sides, ("left", "right"), strict=True)
    )
    return job(lambda: left.join(right, on="key"), write)


def project_lines(path: Path, write: Write) -> Job:
    """A lazy query from file to file."""
    polars = importlib.import_module("polars")
    target = json_lines.written(path)

    def run() -> None:
        kept = polars.col("kind") == json_lines.KEPT
        records = polars.scan_ndjson(path).filter(kept)
        records.select(json_lines.FIELDS).sink_ndjson(target)

    return Job(run, lambda: write(target.read_text().splitlines()))


JOBS: dict[str, Prepare] = {
    "words": words,
    "running_average": running_average,
    "tumbling": partial(window_sums, windows.LENGTH),
    "aggregates": partial(window_sums, windows.LENGTH),
    "sliding": partial(window_sums, windows.OFFSET),
    "sessions": session_counts,
    "join": join,
    "json_lines": project_lines,
}
