"""DuckDB: SQL over tables in memory, on one thread."""

from __future__ import annotations

import importlib
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import json_lines, sessions, windows
from benchmarks.engines import Batches, Write
from benchmarks.events import START
from benchmarks.join import Sides
from benchmarks.peers import Job, Prepare
from benchmarks.peers import polars as columns

MICROSECOND = timedelta(microseconds=1)


def connect(**tables: Any) -> Any:
    """A database in memory, with copies of data frames as tables."""
    database = importlib.import_module("duckdb").connect()
    database.execute("set threads to 1")
    database.execute("set preserve_insertion_order to false")
    for name, frame in tables.items():
        database.register("frame", frame.to_arrow())
        database.execute(f"create table {name} as select * from frame")  # noqa: S608
        database.unregister("frame")
    return database


def job(database: Any, query: str, write: Write) -> Job:
    """Put the rows of a query into a table; fetching them is not timed."""
    return Job(
        run=lambda: database.execute(f"create table results as {query}"),
        results=lambda: write(database.table("results").fetchall()),
    )


def words(batches: Batches, write: Write) -> Job:
    """Split and count a column of lines."""
    return job(
        connect(lines=columns.lines(batches)),
        """
        select word, count(*) from (
            select unnest(string_split(line, ' ')) as word from lines
        ) group by word
        """,
        write,
    )


def running_average(batches: Batches, write: Write) -> Job:
    """Running sums and counts, over the sensor."""
    frame = columns.frame(batches, ["sensor", "reading"]).with_row_index("position")
    return job(
        connect(readings=frame),
        """
        select sensor, sum(reading) over running / count(*) over running from readings
        window running as (
            partition by sensor order by position rows unbounded preceding
        )
        """,
        write,
    )


def number_of(offset: timedelta) -> str:
    """The number of the slice of time, of so long, that an event is in."""
    start = int(START.timestamp()) * 1_000_000
    return f"floor((epoch_us(time) - {start}) / {offset // MICROSECOND})::bigint"


def window_sums(offset: timedelta, batches: Batches, write: Write) -> Job:
    """Sum up slices as long as the offset, then the slices of each window."""
    slices = f"""
        select key, {number_of(offset)} as id, count(*) as count, sum(value) as total
        from events group by all
        """  # noqa: S608 - numbers of our own
    windowed = f"""
        select key, id - back as id, sum(count)::bigint, sum(total)
        from ({slices}), range({windows.LENGTH // offset}) as copies(back) group by all
        """  # noqa: S608
    query = slices if offset == windows.LENGTH else windowed
    return job(connect(events=columns.events(batches)), query, write)


def session_counts(batches: Batches, write: Write) -> Job:
    """Mark where sessions start, number them, count."""
    return job(
        connect(events=columns.frame(batches, ["key", "time", "value"])),
        f"""
        select key, id, count(*) from (
            select key, sum(starts) over (
                partition by key order by time rows unbounded preceding
            ) as id from (
                select key, time, coalesce(epoch_us(time) - epoch_us(lag(time) over (
                    partition by key order by time
                )) > {sessions.GAP // MICROSECOND}, false)::integer as starts
                from events
            )
        ) group by all
        """,  # noqa: S608
        write,
    )


def join(sides: Sides, write: Write) -> Job:
    """An inner join."""
    left, right = (
        columns.frame(side, ["key", value])
        for side, value in zip(sides, ("left_value", "right_value"), strict=True)
    )
    return job(
        connect(left_side=left, right_side=right),
        """
        select key, left_value, right_value
        from left_side join right_side using (key)
        """,
        write,
    )


def project_lines(path: Path, write: Write) -> Job:
    """A query from file to file."""
    database, target = connect(), json_lines.written(path)
    fields = ", ".join(f'"{field}"' for field in json_lines.FIELDS)
    query = f"""
        copy (
            select {fields} from read_json('{path}', format = 'newline_delimited')
            where kind = '{json_lines.KEPT}'
        ) to '{target}' (format json)
        """  # noqa: S608
    return Job(
        run=lambda: database.execute(query),
        results=lambda: write(target.read_text().splitlines()),
    )


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
