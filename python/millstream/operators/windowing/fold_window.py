"""`fold_window` and what is made of it: one result for each window of each key."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from operator import add
from typing import Any, TypeAlias, overload

from millstream.dataflow import Stream, operator
from millstream.operators._types import DK, DV, KeyedStream, X, written_id
from millstream.operators.key import key_on
from millstream.operators.windowing._containers import container_of
from millstream.operators.windowing._types import ZERO_TD, S, V, WindowOut
from millstream.operators.windowing.clocks import Clock
from millstream.operators.windowing.window import WindowLogic, window
from millstream.operators.windowing.windowers import Windower

__all__ = [
    "collect_window",
    "count_window",
    "fold_window",
    "max_window",
    "min_window",
    "reduce_window",
]

_Snapshot: TypeAlias = tuple[S]
"""A state that may be None, told from the None that means no state."""


class _FoldWindowLogic(WindowLogic[V, S, _Snapshot[S]]):
    """The accumulator of one window."""

    def __init__(
        self,
        folder: Callable[[S, V], S],
        merger: Callable[[S, S], S],
        state: S,
        *,
        copies: bool,
    ) -> None:
        self._folder = folder
        self._merger = merger
        self._state = state
        self._copies = copies

    def on_value(self, value: V) -> Iterable[S]:
        self._state = self._folder(self._state, value)
        return ()

    def on_merge(self, original: _FoldWindowLogic[V, S]) -> Iterable[S]:
        self._state = self._merger(self._state, original._state)
        return ()

    def on_close(self) -> Iterable[S]:
        # A late value may yet change the state, and what was emitted should not.
        return (copy.deepcopy(self._state) if self._copies else self._state,)

    def snapshot(self) -> _Snapshot[S]:
        return (copy.deepcopy(self._state),)


@operator
def fold_window(  # noqa: PLR0917
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    builder: Callable[[], S],
    folder: Callable[[S, V], S],
    merger: Callable[[S, S], S],
    ordered: bool = True,  # noqa: FBT001, FBT002
) -> WindowOut[V, S]:
    """Fold the values in each window into an accumulator.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        builder: Called for each new window; returns the accumulator to start with.
        folder: Called with the accumulator and a value; returns the new
            accumulator, which may be the same object, and may be None.
        merger: Called with the accumulators of two windows that become one, the
            earlier window first; returns the new accumulator, which may be the first
            object. Only sessions merge.
        ordered: Whether to fold values in the order of their timestamps. It takes
            less time and memory not to, if the result is the same.

    Returns:
        The accumulator of each window, when it closes; late values; and the times
        of windows. With allowed lateness, it is a copy, by `copy.deepcopy`, since
        late values may be folded into the accumulator later.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("fold_window_example")
        >>> source = TestingSource([("a", 1), ("a", 7), ("b", 3), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> sums = win.fold_window(
        ...     "sum",
        ...     seconds,
        ...     clock,
        ...     windower,
        ...     builder=lambda: 0,
        ...     folder=lambda total, value: total + value,
        ...     merger=lambda total, other: total + other,
        ...     ordered=False,
        ... )
        >>> out = []
        >>> op.output("out", sums.down, TestingSink(out))
        >>> run_main(flow)
        >>> sorted(out)
        [('a', (0, 8)), ('a', (1, 12)), ('b', (0, 3))]
    """
    copies = isinstance(clock, Clock) and clock.allowed_lateness > ZERO_TD

    def build(resume_state: _Snapshot[S] | None) -> WindowLogic[V, S, _Snapshot[S]]:
        state = builder() if resume_state is None else resume_state[0]
        return _FoldWindowLogic(folder, merger, state, copies=copies)

    return window("window", up, clock, windower, build, ordered)


@overload
def collect_window(
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    into: type[list[Any]] = ...,
    ordered: bool = ...,  # noqa: FBT001
) -> WindowOut[V, list[V]]: ...


@overload
def collect_window(
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    into: type[set[Any]],
    ordered: bool = ...,  # noqa: FBT001
) -> WindowOut[V, set[V]]: ...


@overload
def collect_window(
    step_id: str,
    up: KeyedStream[tuple[DK, DV]],
    clock: Clock[tuple[DK, DV], Any],
    windower: Windower[Any],
    into: type[dict[Any, Any]],
    ordered: bool = ...,  # noqa: FBT001
) -> WindowOut[tuple[DK, DV], dict[DK, DV]]: ...


@operator
def collect_window(  # noqa: PLR0917
    step_id: str,
    up: KeyedStream[Any],
    clock: Clock[Any, Any],
    windower: Windower[Any],
    into: type[Any] = list,
    ordered: bool = True,  # noqa: FBT001, FBT002
) -> WindowOut[Any, Any]:
    """Gather the values in each window into a container.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        into: The class of the container: `list`, `set` or `dict`. A class derived
            from one of them stands for it. For `dict`, each value must be a 2-tuple
            of a key and a value of the dictionary; the last value for a key stays.
        ordered: Whether to gather values in the order of their timestamps.

    Returns:
        The container of each window, when it closes; late values; and the times of
        windows.

    Raises:
        TypeError: If `clock`, `windower` or `into` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("collect_window_example")
        >>> source = TestingSource([("a", 7), ("a", 1), ("a", 12), ("a", 7)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(minutes=1),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> lists = win.collect_window("lists", seconds, clock, windower)
        >>> sets = win.collect_window(
        ...     "sets", seconds, clock, windower, into=set, ordered=False
        ... )
        >>> in_order, different = [], []
        >>> op.output("in_order", lists.down, TestingSink(in_order))
        >>> op.output("different", sets.down, TestingSink(different))
        >>> run_main(flow)
        >>> in_order
        [('a', (0, [1, 7, 7])), ('a', (1, [12]))]
        >>> different
        [('a', (0, {1, 7})), ('a', (1, {12}))]
    """
    container = container_of(written_id(up), into)
    return fold_window(
        "fold_window",
        up,
        clock,
        windower,
        container.builder,
        container.folder,
        container.merger,
        ordered,
    )


@operator
def count_window(
    step_id: str,
    up: Stream[X],
    clock: Clock[X, Any],
    windower: Windower[Any],
    key: Callable[[X], str],
) -> WindowOut[X, int]:
    """Count items by key in each window.

    Args:
        step_id: The id of this step.
        up: The items.
        clock: Which time each item has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        key: Called with each item; returns the key to count it under, a `str`.

    Returns:
        The number of items in each window of each key, when it closes; late items;
        and the times of windows.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("count_window_example")
        >>> source = TestingSource([1, 7, 3, 4, 12])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(minutes=1),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> counts = win.count_window(
        ...     "count",
        ...     seconds,
        ...     clock,
        ...     windower,
        ...     key=lambda second: "odd" if second % 2 else "even",
        ... )
        >>> out = []
        >>> op.output("out", counts.down, TestingSink(out))
        >>> run_main(flow)
        >>> sorted(out)
        [('even', (0, 1)), ('even', (1, 1)), ('odd', (0, 3))]
    """

    def count_one(count: int, x: X) -> int:
        return count + 1

    keyed = key_on("keyed", up, key)
    return fold_window(
        "sum", keyed, clock, windower, int, count_one, add, ordered=False
    )


class _Nothing(Enum):
    """The accumulator of `reduce_window` before the first value, which may be None."""

    YET = "yet"


@operator
def reduce_window(
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    reducer: Callable[[V, V], V],
) -> WindowOut[V, V]:
    """Combine the values in each window into one.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        reducer: Called with the combination of earlier values and a further value,
            or a combination of further values; returns the new combination. It is
            not called for a single value. None is a value as any other. Values come
            in the order of their arrival.

    Returns:
        The combination of all values of each window, when it closes; late values;
        and the times of windows.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("reduce_window_example")
        >>> source = TestingSource([("a", 2), ("a", 7), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> products = win.reduce_window(
        ...     "products", seconds, clock, windower, lambda x, y: x * y
        ... )
        >>> out = []
        >>> op.output("out", products.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, 14)), ('a', (1, 12))]
    """

    def nothing_yet() -> Any:
        return _Nothing.YET

    def reduce(reduced: V | _Nothing, value: V) -> V:
        return value if isinstance(reduced, _Nothing) else reducer(reduced, value)

    return fold_window(
        "fold_window", up, clock, windower, nothing_yet, reduce, reduce, ordered=False
    )


def _identity(x: X) -> X:
    return x


def _comparer(choose: Callable[..., V], by: Callable[[V], Any]) -> Callable[[V, V], V]:
    """Make a reducer of `max` or `min`, both of which keep the earlier of equals."""
    return choose if by is _identity else partial(choose, key=by)


@operator
def max_window(
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    by: Callable[[V], Any] = _identity,
) -> WindowOut[V, V]:
    """Find the greatest value in each window.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        by: Called with a value; returns what to compare it by. The default is the
            value itself.

    Returns:
        The greatest value of each window, when it closes; late values; and the times
        of windows. If several values are equal, it is the first of them to arrive.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("max_window_example")
        >>> source = TestingSource([("a", 2), ("a", 7), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> greatest = win.max_window("max", seconds, clock, windower)
        >>> evenest = win.max_window(
        ...     "evenest", seconds, clock, windower, by=lambda second: second % 2 == 0
        ... )
        >>> out, even = [], []
        >>> op.output("out", greatest.down, TestingSink(out))
        >>> op.output("even", evenest.down, TestingSink(even))
        >>> run_main(flow)
        >>> out
        [('a', (0, 7)), ('a', (1, 12))]
        >>> even
        [('a', (0, 2)), ('a', (1, 12))]
    """
    return reduce_window("reduce_window", up, clock, windower, _comparer(max, by))


@operator
def min_window(
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    by: Callable[[V], Any] = _identity,
) -> WindowOut[V, V]:
    """Find the least value in each window.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        by: Called with a value; returns what to compare it by. The default is the
            value itself.

    Returns:
        The least value of each window, when it closes; late values; and the times
        of windows. If several values are equal, it is the first of them to arrive.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("min_window_example")
        >>> source = TestingSource([("a", 2), ("a", 7), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> least = win.min_window("min", seconds, clock, windower)
        >>> oddest = win.min_window(
        ...     "oddest", seconds, clock, windower, by=lambda second: second % 2 == 0
        ... )
        >>> out, odd = [], []
        >>> op.output("out", least.down, TestingSink(out))
        >>> op.output("odd", oddest.down, TestingSink(odd))
        >>> run_main(flow)
        >>> out
        [('a', (0, 2)), ('a', (1, 12))]
        >>> odd
        [('a', (0, 7)), ('a', (1, 12))]
    """
    return reduce_window("reduce_window", up, clock, windower, _comparer(min, by))
