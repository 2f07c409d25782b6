"""W4, W5: tumbling and sliding windows in event time, as they come by default.

W4 is there twice: with a fold of the user's own, and with named aggregators, which
the engine knows itself.

The clock waits for 10 s, so that nothing is late; values are applied in the order of
their timestamps. What comes out are counts and sums, which are a mean in two parts.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.events import START, Event, make
from benchmarks.workload import Workload

WAIT = timedelta(seconds=10)
LENGTH = timedelta(seconds=60)
OFFSET = timedelta(seconds=10)
END = datetime.max.replace(tzinfo=timezone.utc)

Accumulator = tuple[int, float]

event_time: Callable[[Event], datetime] = itemgetter(0)
"""The user's getter of timestamps."""

event_value: Callable[[Event], float] = itemgetter(1)
"""The user's getter of values."""


def empty() -> Accumulator:
    """The user's builder: count and sum of a new window."""
    return (0, 0.0)


def add(accumulator: Accumulator, event: Event) -> Accumulator:
    """The user's folder: one more event in a window."""
    return (accumulator[0] + 1, accumulator[1] + event[1])


def combine(one: Accumulator, other: Accumulator) -> Accumulator:
    """The user's merger: two windows become one."""
    return (one[0] + other[0], one[1] + other[1])


def tumbling(windowing: Any) -> Any:
    """Windows side by side."""
    return windowing.TumblingWindower(length=LENGTH, align_to=START)


def sliding(windowing: Any) -> Any:
    """Windows that overlap: every event is in six."""
    return windowing.SlidingWindower(length=LENGTH, offset=OFFSET, align_to=START)


def flow(
    windower: Callable[[Any], Any], engine: Engine, flow: Any, batches: Batches
) -> Any:
    """The steps."""
    windowing = engine.windowing
    events = engine.read("in", flow, batches)
    clock = windowing.EventClock(event_time, WAIT)
    return windowing.fold_window(
        "fold", events, clock, windower(windowing), empty, add, combine
    ).down


def aggregate(engine: Engine, flow: Any, batches: Batches) -> Any:
    """The steps, without a function of the user's but those that get at a value."""
    windowing = engine.windowing
    aggregators = importlib.import_module("millstream.operators.aggregators")
    events = engine.read("in", flow, batches)
    return windowing.aggregate_window(
        "aggregate",
        events,
        windowing.EventClock(event_time, WAIT),
        tumbling(windowing),
        {"count": aggregators.count(), "total": aggregators.sum(event_value)},
        ordered=False,
    ).down


@dataclass
class Key:
    """What the loop keeps of a key."""

    watermark: datetime
    next_close: datetime = END
    queue: list[tuple[datetime, int, Event]] = field(default_factory=list)
    windows: dict[int, Accumulator] = field(default_factory=dict)


def plain(offset: timedelta, batches: Batches, write: Write) -> None:
    """The loop: a heap of what is not due yet, and the open windows, by key."""
    keys: dict[str, Key] = {}
    number = 0
    for batch in batches:
        results: list[Any] = []
        for name, event in batch:
            time = event_time(event)
            key = keys.get(name)
            if key is None:
                key = keys[name] = Key(time - WAIT)
            elif time < key.watermark:
                continue
            number += 1
            heappush(key.queue, (time, number, event))
            if time - WAIT > key.watermark:
                key.watermark = time - WAIT
                if key.queue[0][0] <= key.watermark:
                    apply_due(key, offset)
                if key.next_close <= key.watermark:
                    close_passed(name, key, offset, results)
        write(results)
    for name, key in keys.items():
        key.watermark = END
        apply_due(key, offset)
        write([(name, window) for window in key.windows.items()])


def apply_due(key: Key, offset: timedelta) -> None:
    """Apply values in the order of their timestamps, up to the watermark."""
    queue, windows, watermark = key.queue, key.windows, key.watermark
    while queue and queue[0][0] <= watermark:
        time, _, event = heappop(queue)
        last = (time - START) // offset
        for window in range(last + 1 - LENGTH // offset, last + 1):
            if window in windows:
                windows[window] = add(windows[window], event)
            else:
                windows[window] = add(empty(), event)
                key.next_close = min(key.next_close, START + window * offset + LENGTH)


def close_passed(name: str, key: Key, offset: timedelta, results: list[Any]) -> None:
    """Emit the windows that have ended by the watermark, the oldest first."""
    last = (key.watermark - START - LENGTH) // offset
    passed = sorted(window for window in key.windows if window <= last)
    results += [(name, (window, key.windows.pop(window))) for window in passed]
    key.next_close = START + min(key.windows) * offset + LENGTH if key.windows else END


TUMBLING = Workload(
    "W4 tumbling windows, mean",
    items=1_000_000,
    make=make,
    flow=partial(flow, tumbling),
    plain=partial(plain, LENGTH),
    fewer={"composed": 200_000, "pathway": 500_000, "quixstreams": 100_000},
    faster={"bytewax": 60, "plain": 4},
)
AGGREGATES = Workload(
    "W4 with named aggregators",
    items=1_000_000,
    make=make,
    flow=aggregate,
    plain=partial(plain, LENGTH),
    fewer={"composed": 200_000},
    without=("bytewax",),
    faster={"polars": 0.5},
)
SLIDING = Workload(
    "W5 sliding windows, mean",
    items=1_000_000,
    make=make,
    flow=partial(flow, sliding),
    plain=partial(plain, OFFSET),
    fewer={"composed": 200_000, "pathway": 200_000, "quixstreams": 50_000},
    faster={"bytewax": 40, "plain": 4},
)
