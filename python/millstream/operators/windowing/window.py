"""`window`: state for each window of each key.

All operators on windows are compositions of this one. It is `stateful_batch` with an
object that asks the clock for the time, and the windower for windows: one for each key
or, where the stream has one watermark, one for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.dataflow import operator
from millstream.operators._types import KeyedStream, a_type, written_id
from millstream.operators.filter_map import filter_map_value
from millstream.operators.key import key_on, key_rm
from millstream.operators.stateful_batch import StatefulBatchLogic, stateful_batch
from millstream.operators.windowing._drivers import (
    DriverState,
    KeyDriver,
    StreamDriver,
    StreamState,
)
from millstream.operators.windowing._key_windows import (
    Event,
    KeyState,
    KeyWindows,
    Output,
    cannot_keep,
)
from millstream.operators.windowing._logic import WindowLogic
from millstream.operators.windowing._types import ZERO_TD, S, V, W, WindowOut
from millstream.operators.windowing.clocks import Clock
from millstream.operators.windowing.windowers import (
    SessionWindower,
    SlidingWindower,
    TumblingWindower,
    Windower,
    build_windower,
)

__all__ = ["WindowLogic", "check_clock_and_windower", "window"]


def check_clock_and_windower(step_id: str, clock: object, windower: object) -> None:
    """Refuse what an operator on windows can't use, before anything runs.

    Args:
        step_id: The step, as its author wrote it.
        clock: Its parameter of this name.
        windower: Its parameter of this name.

    Raises:
        TypeError: If one is not an object of the class that it must be of.
    """
    if not isinstance(clock, Clock):
        msg = f"`clock` of step `{step_id}` must be a `Clock`; got {a_type(clock)}"
        raise TypeError(msg)
    if not isinstance(windower, Windower):
        msg = (
            f"`windower` of step `{step_id}` must be a `Windower`; "
            f"got {a_type(windower)}"
        )
        raise TypeError(msg)
    keeping = (TumblingWindower, SlidingWindower, SessionWindower)
    if clock.allowed_lateness > ZERO_TD and not isinstance(windower, keeping):
        raise TypeError(cannot_keep(step_id, windower))


def _unwrap(output: Output) -> Callable[[Event], tuple[int, Any] | None]:
    def unwrap(event: Event) -> tuple[int, Any] | None:
        goes_to, window_id, value = event
        return (window_id, value) if goes_to == output else None

    return unwrap


@operator
def window(  # noqa: PLR0917
    step_id: str,
    up: KeyedStream[V],
    clock: Clock[V, Any],
    windower: Windower[Any],
    builder: Callable[[S | None], WindowLogic[V, W, S]],
    ordered: bool = True,  # noqa: FBT001, FBT002
) -> WindowOut[V, W]:
    """Keep state for each window of each key, in an object that takes its values.

    `fold_window` and the other operators on windows are simpler, and enough for most
    purposes.

    Each key has windows of its own, and a watermark of its own unless the clock says
    otherwise. A value with a timestamp before
    the watermark, by more than the clock allows, is late; no window takes it. A window
    that has closed doesn't open again; if it takes a value within the allowed lateness,
    it closes once more. At the end of the input, all windows close.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        clock: Which time each value has, and how far time has come.
        windower: Which windows a timestamp belongs to, and when they close.
        builder: Called for each new window with None, or with the state to resume
            from. Returns the object for that window.
        ordered: Whether windows take values in the order of their timestamps. Each
            value then waits for the watermark to reach it. Values with the same
            timestamp stay in the order of their arrival.

    Returns:
        Three streams. ``down``: what the callbacks emitted. ``late``: late values.
        ``meta``: the times of windows that closed. For each key and in each of
        them, the windows that close together are in the order of their opening.

    Raises:
        TypeError: If `clock` or `windower` has another type.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> class RunningTotal(win.WindowLogic):
        ...     def __init__(self, resume_state):
        ...         self.total = resume_state or 0
        ...
        ...     def on_value(self, value):
        ...         self.total += value
        ...         return [self.total]
        ...
        ...     def on_merge(self, original):
        ...         self.total += original.total
        ...         return [self.total]
        ...
        ...     def on_close(self):
        ...         return ["closed"]
        ...
        ...     def snapshot(self):
        ...         return self.total
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("window_example")
        >>> source = TestingSource([("a", 1), ("a", 7), ("a", 12), ("a", 3)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ...     now_getter=lambda: START,
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> totals = win.window("totals", seconds, clock, windower, RunningTotal)
        >>> down, late = [], []
        >>> op.output("down", totals.down, TestingSink(down))
        >>> op.output("late", totals.late, TestingSink(late))
        >>> run_main(flow)
        >>> for item in down:
        ...     print(item)
        ('a', (0, 1))
        ('a', (0, 8))
        ('a', (1, 12))
        ('a', (0, 'closed'))
        ('a', (1, 'closed'))
        >>> late
        [('a', (0, 3))]
    """
    written = written_id(up)
    check_clock_and_windower(written, clock, windower)
    is_stream_wide = clock.scope == "stream"

    def build_key(state: KeyState[V, S] | None) -> KeyWindows[V, W, S]:
        state = state or KeyState(None, {}, [])
        return KeyWindows(
            written,
            build_windower(windower, state.windower, forgets_keys=is_stream_wide),
            builder,
            state,
            ordered=ordered,
            allowed_lateness=clock.allowed_lateness,
        )

    def build(
        resume_state: DriverState[V, S] | None,
    ) -> StatefulBatchLogic[V, Event, DriverState[V, S]]:
        state = resume_state or DriverState(None, KeyState(None, {}, []))
        return KeyDriver(written, clock.build(state.clock), build_key(state.key))

    def build_for_all(
        resume_state: StreamState[V, S] | None,
    ) -> StatefulBatchLogic[tuple[str, V], tuple[str, Event], StreamState[V, S]]:
        state = resume_state or StreamState(None, {})
        clock_logic = clock.build(state.clock)
        return StreamDriver(written, clock_logic, build_key, state.keys)

    if is_stream_wide:
        whole = key_on("whole_stream", up, lambda _item: "")
        all_events = stateful_batch("stateful_batch", whole, build_for_all)
        events = key_rm("by_key", all_events)
    else:
        events = stateful_batch("stateful_batch", up, build)
    return WindowOut(
        down=filter_map_value("unwrap_down", events, _unwrap("down")),
        late=filter_map_value("unwrap_late", events, _unwrap("late")),
        meta=filter_map_value("unwrap_meta", events, _unwrap("meta")),
    )
