"""`aggregate_window`: counts, sums and the like of each window of each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from millstream.dataflow import operator
from millstream.operators._aggregation import Aggregation, State
from millstream.operators._types import KeyedStream, written_id
from millstream.operators.aggregators import Aggregator
from millstream.operators.map import map_value
from millstream.operators.windowing._micros import micros_of
from millstream.operators.windowing._types import ZERO_TD, V, WindowOut
from millstream.operators.windowing.clocks import Clock, EventClock
from millstream.operators.windowing.fold_window import fold_window
from millstream.operators.windowing.windowers import Windower

__all__ = ["aggregate_window"]


def _time_of(clock: Clock[V, Any]) -> Callable[[V], int] | None:
    """How to tell the order of values, if not all are taken in order."""
    if not isinstance(clock, EventClock) or clock.allowed_lateness == ZERO_TD:
        return None
    ts_getter: Callable[[V], datetime] = clock.ts_getter
    return lambda value: micros_of(ts_getter(value))


@operator
def aggregate_window(  # noqa: PLR0917
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    aggregators: Mapping[str, Aggregator[V, Any]],
    ordered: bool = True,  # noqa: FBT001, FBT002
) -> WindowOut[V, dict[str, Any]]:
    """Count, add up, or compare the values in each window, in several ways at once.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        aggregators: What to make of the values, each with a name for the result.
            `millstream.operators.aggregators` has them.
        ordered: Whether to take values in the order of their timestamps. It takes
            less time and memory not to, if the results are the same.

    Returns:
        A dictionary of the results of each window, when it closes, in the order of
        `aggregators`; late values; and the times of windows.

    Raises:
        TypeError: If `clock` or `windower` has another type, or `aggregators` isn't
            a mapping of names to aggregators.
        ValueError: If `aggregators` is empty.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("aggregate_window_example")
        >>> source = TestingSource([("a", 7), ("a", 1), ("a", 12), ("a", 4)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(minutes=1),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> by_time = win.aggregate_window(
        ...     "by_time",
        ...     seconds,
        ...     clock,
        ...     windower,
        ...     {"n": agg.count(), "mean": agg.mean(), "first": agg.first()},
        ... )
        >>> by_arrival = win.aggregate_window(
        ...     "by_arrival",
        ...     seconds,
        ...     clock,
        ...     windower,
        ...     {"first": agg.first(), "last": agg.last()},
        ...     ordered=False,
        ... )
        >>> timed, arrived = [], []
        >>> op.output("timed", by_time.down, TestingSink(timed))
        >>> op.output("arrived", by_arrival.down, TestingSink(arrived))
        >>> run_main(flow)
        >>> for item in timed:
        ...     print(item)
        ('a', (0, {'n': 3, 'mean': 4.0, 'first': 1}))
        ('a', (1, {'n': 1, 'mean': 12.0, 'first': 12}))
        >>> for item in arrived:
        ...     print(item)
        ('a', (0, {'first': 7, 'last': 4}))
        ('a', (1, {'first': 12, 'last': 12}))
    """
    time = _time_of(clock) if ordered else None
    aggregation = Aggregation(written_id(up), aggregators, time)

    def finish(closed: tuple[int, State]) -> tuple[int, dict[str, Any]]:
        window_id, state = closed
        return window_id, aggregation.finish(state)

    folded = fold_window(
        "fold_window",
        up,
        clock,
        windower,
        tuple,
        aggregation.fold,
        aggregation.merge,
        ordered,
    )
    down = map_value("finish", folded.down, finish)
    return WindowOut(down=down, late=folded.late, meta=folded.meta)
