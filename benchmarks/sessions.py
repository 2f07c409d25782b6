"""W6: how many events are in each session of a key.

It is the window step that finds the key, among the rest of an event.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from benchmarks import events
from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, flatten

WAIT = timedelta(seconds=10)
GAP = timedelta(seconds=30)

Row = tuple[str, datetime, float]

row_key: Callable[[Row], str] = itemgetter(0)
"""The user's key of a row."""

row_time: Callable[[Row], datetime] = itemgetter(1)
"""The user's getter of timestamps."""


def make(items: int) -> Batches:
    """The events of the other window workloads, as flat rows."""
    return [[(key, *event) for key, event in batch] for batch in events.make(items)]


def flow(engine: Engine, flow: Any, batches: Batches) -> Any:
    """The steps."""
    windowing = engine.windowing
    rows = engine.read("in", flow, batches)
    clock = windowing.EventClock(row_time, WAIT)
    windower = windowing.SessionWindower(gap=GAP)
    return windowing.count_window("count", rows, clock, windower, row_key).down


def plain(batches: Batches, write: Write) -> None:
    """Not for a stream: sort everything first, then count in one pass."""
    rows = [row for batch in batches for row in batch]
    rows.sort(key=row_time)
    last: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    results: list[Any] = []
    for row in rows:
        key, time = row_key(row), row_time(row)
        if key in last and time - last[key] > GAP:
            results.append((key, (0, counts[key])))
            counts[key] = 0
        counts[key] = counts.get(key, 0) + 1
        last[key] = time
    results += [(key, (0, count)) for key, count in counts.items()]
    write(results)


def without_id(result: Any) -> tuple[Any, ...]:
    """Key and count: engines number the sessions of a key each their own way."""
    key, _, count = flatten(result)
    return (key, count)


WORKLOAD = Workload(
    "W6 session windows, count",
    items=1_000_000,
    make=make,
    flow=flow,
    plain=plain,
    fewer={"composed": 200_000},
    compared=without_id,
    faster={"bytewax": 50, "plain": 1},
)
