"""`window`: state for each window of each key.

All operators on windows are compositions of this one. It is `stateful_batch` with an
object for each key that asks the clock for the time, and the windower for windows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Generic, Literal, TypeAlias

from millstream.dataflow import operator
from millstream.operators._types import (
    KeyedStream,
    a_type,
    is_iterable,
    written_id,
    wrong_return,
)
from millstream.operators.filter_map import filter_map_value
from millstream.operators.stateful_batch import StatefulBatchLogic, stateful_batch
from millstream.operators.windowing._micros import (
    FIRST,
    THE_END,
    check_moment,
    datetime_of,
    duration_of,
    micros_of,
)
from millstream.operators.windowing._types import (
    UTC_MIN,
    ZERO_TD,
    S,
    V,
    W,
    WindowMetadata,
    WindowOut,
)
from millstream.operators.windowing.clocks import Clock, ClockLogic
from millstream.operators.windowing.windowers import (
    KeepingWindowerLogic,
    SessionWindower,
    SlidingWindower,
    TumblingWindower,
    Windower,
    WindowerLogic,
)

__all__ = ["WindowLogic", "check_clock_and_windower", "window"]


class WindowLogic(ABC, Generic[V, W, S]):
    """What `window` does for one window; it has one such object for each open one.

    Each callback returns the values to emit, any iterable.
    """

    @abstractmethod
    def on_value(self, value: V) -> Iterable[W]:
        """Take a value that belongs to this window.

        Args:
            value: The value.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def on_merge(self, original: Any) -> Iterable[W]:
        """Take over another window, which has become part of this one.

        Args:
            original: The object of that window, of the same class; nothing else
                will be done with it.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def on_close(self) -> Iterable[W]:
        """This window has closed.

        This object is forgotten, unless the clock allows lateness: then it is kept for
        so long, gets values that are late, and is called here again after them.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def snapshot(self) -> S:
        """The state, for the builder to start from when the dataflow resumes.

        Must not change later: return a copy of whatever is mutable.
        """


_Output: TypeAlias = Literal["down", "late", "meta"]

_Event: TypeAlias = tuple[_Output, int, Any]
"""What the object of a key emits: to which output, for which window, and what."""


class _Queue(Generic[V]):
    """Values that wait for the watermark to reach them, or only for their turn.

    In order, they come out by timestamp, and those with the same one as they
    arrived. Otherwise all come out at once as they arrived.
    """

    def __init__(self, *, ordered: bool, waiting: Iterable[tuple[datetime, V]]) -> None:
        self._ordered = ordered
        self._heap: list[tuple[int, int, datetime, V]] = []
        self._arrivals = 0
        for timestamp, value in waiting:
            self.push(timestamp, value)

    def push(self, timestamp: datetime, value: V) -> None:
        due = micros_of(timestamp) if self._ordered else FIRST
        heappush(self._heap, (due, self._arrivals, timestamp, value))
        self._arrivals += 1

    def take_due(self, watermark: datetime) -> Iterator[tuple[datetime, V]]:
        micros = micros_of(watermark)
        while self._heap and self._heap[0][0] <= micros:
            _, _, timestamp, value = heappop(self._heap)
            yield timestamp, value

    def next_due(self) -> datetime | None:
        return self._heap[0][2] if self._heap else None

    def waiting(self) -> list[tuple[datetime, V]]:
        return [(timestamp, value) for _, _, timestamp, value in sorted(self._heap)]


@dataclass(frozen=True)
class _State(Generic[V, S]):
    """The state of a key. Once its windows have closed, little is left of it."""

    clock: Any
    windower: Any
    windows: dict[int, S]
    queue: list[tuple[datetime, V]]
    closed: frozenset[int] = frozenset()
    """The windows that have closed, and have not changed since."""


class _Windows(Generic[V, W, S]):
    """The objects of the windows of one key; turns what they emit into events."""

    def __init__(
        self,
        step_id: str,
        builder: Callable[[S | None], WindowLogic[V, W, S]],
        resume_states: dict[int, S],
        closed: Iterable[int] = (),
    ) -> None:
        self._step_id = step_id
        self._builder = builder
        self._logics = {
            window_id: self._build(state) for window_id, state in resume_states.items()
        }
        self._closed = set(closed)

    def _build(self, resume_state: S | None) -> WindowLogic[V, W, S]:
        logic = self._builder(resume_state)
        if not isinstance(logic, WindowLogic):
            raise wrong_return(
                self._step_id, "builder", self._builder, "a `WindowLogic`", logic
            )
        return logic

    def insert(self, window_id: int, value: V) -> Iterator[_Event]:
        logic = self._change(window_id)
        return self._events(window_id, logic.on_value, logic.on_value(value))

    def merge(self, original_id: int, target_id: int) -> Iterator[_Event]:
        original = self.remove(original_id)
        logic = self._change(target_id)
        return self._events(target_id, logic.on_merge, logic.on_merge(original))

    def close(self, window_id: int, metadata: WindowMetadata) -> list[_Event]:
        """Close a window, unless nothing has changed since it closed."""
        if window_id in self._closed:
            return []
        logic = self._find(window_id)
        self._closed.add(window_id)
        events = list(self._events(window_id, logic.on_close, logic.on_close()))
        return [*events, ("meta", window_id, metadata)]

    def remove(self, window_id: int) -> WindowLogic[V, W, S]:
        logic = self._find(window_id)
        del self._logics[window_id]
        self._closed.discard(window_id)
        return logic

    def _change(self, window_id: int) -> WindowLogic[V, W, S]:
        self._closed.discard(window_id)
        logic = self._logics.get(window_id)
        if logic is None:
            logic = self._logics[window_id] = self._build(None)
        return logic

    def _find(self, window_id: int) -> WindowLogic[V, W, S]:
        logic = self._logics.get(window_id)
        if logic is None:
            msg = (
                f"the windower of step `{self._step_id}` closed or merged window "
                f"{window_id}, which isn't open"
            )
            raise ValueError(msg)
        return logic

    def _events(
        self, window_id: int, callback: Callable[..., Any], emits: Iterable[W]
    ) -> Iterator[_Event]:
        if isinstance(emits, str) or not is_iterable(emits):
            raise wrong_return(
                self._step_id,
                callback.__name__,
                getattr(callback, "__func__", callback),
                "an iterable of values to emit",
                emits,
            )
        values = iter(emits)
        return (("down", window_id, value) for value in values)

    def snapshot(self) -> dict[int, S]:
        return {
            window_id: logic.snapshot() for window_id, logic in self._logics.items()
        }

    def closed(self) -> frozenset[int]:
        return frozenset(self._closed)


def _cannot_keep(step_id: str, windower: object) -> str:
    return (
        f"`windower` of step `{step_id}` must be a `TumblingWindower`, "
        "`SlidingWindower` or `SessionWindower`, since its clock has an "
        f"`allowed_lateness`; got {a_type(windower)}"
    )


class _WindowDriver(StatefulBatchLogic[V, _Event, _State[V, S]]):
    """Brings values of one key into their windows, when the clock says so."""

    def __init__(
        self,
        step_id: str,
        clock: ClockLogic[V, Any],
        windower: WindowerLogic[Any],
        windows: _Windows[V, Any, S],
        queue: _Queue[V],
        *,
        allowed_lateness: timedelta,
    ) -> None:
        self._step_id = step_id
        self._lateness = duration_of(allowed_lateness)
        self._clock = clock
        self._windower = windower
        # What keeps windows that have closed, if they may change then.
        self._keeper: KeepingWindowerLogic[Any] | None = None
        if allowed_lateness > ZERO_TD:
            if not isinstance(windower, KeepingWindowerLogic):
                raise TypeError(_cannot_keep(step_id, windower))
            self._keeper = windower
        self._windows = windows
        self._queue = queue
        self._watermark = UTC_MIN

    def on_batch(self, values: list[V]) -> tuple[Iterable[_Event], bool]:
        events: list[_Event] = []
        self._clock.before_batch()
        for value in values:
            timestamp, watermark = self._clock.on_item(value)
            self._check_timestamp(timestamp)
            self._advance(watermark)
            if micros_of(timestamp) < micros_of(self._watermark) - self._lateness:
                window_ids = self._windower.late_for(timestamp)
                events.extend(("late", each, value) for each in window_ids)
            else:
                self._queue.push(timestamp, value)
        self._flush(events)
        return events, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[_Event], bool]:
        return self._catch_up(self._clock.on_notify())

    def on_eof(self) -> tuple[Iterable[_Event], bool]:
        return self._catch_up(self._clock.on_eof())

    def _catch_up(self, watermark: datetime) -> tuple[Iterable[_Event], bool]:
        events: list[_Event] = []
        self._advance(watermark)
        self._flush(events)
        # The clock must outlive the windows, or they could open again.
        return events, StatefulBatchLogic.RETAIN

    def _check_timestamp(self, timestamp: datetime) -> None:
        check_moment(f"the timestamp of a value in step `{self._step_id}`", timestamp)

    def _advance(self, watermark: datetime) -> None:
        check_moment(f"the watermark in step `{self._step_id}`", watermark)
        if micros_of(watermark) < micros_of(self._watermark):
            msg = (
                f"the watermark in step `{self._step_id}` must not go back; its clock "
                f"returned {watermark.isoformat()} after {self._watermark.isoformat()}"
            )
            raise ValueError(msg)
        self._watermark = watermark

    def _flush(self, events: list[_Event]) -> None:
        for timestamp, value in self._queue.take_due(self._watermark):
            for window_id in self._windower.open_for(timestamp):
                events.extend(self._windows.insert(window_id, value))
            for original_id, target_id in self._windower.merged():
                events.extend(self._windows.merge(original_id, target_id))
        if self._keeper is not None:
            self._close_and_keep(self._keeper, events)
            return
        for window_id, metadata in self._windower.close_for(self._watermark):
            events.extend(self._windows.close(window_id, metadata))
            self._windows.remove(window_id)

    def _close_and_keep(
        self, keeper: KeepingWindowerLogic[Any], events: list[_Event]
    ) -> None:
        watermark = micros_of(self._watermark)
        for window_id, metadata in keeper.due_for(watermark):
            events.extend(self._windows.close(window_id, metadata))
        freed = watermark if watermark == THE_END else watermark - self._lateness
        for window_id, _ in keeper.close_for(datetime_of(freed)):
            self._windows.remove(window_id)

    def notify_at(self) -> datetime | None:
        dues = [each for each in self._dues() if each is not None]
        return self._clock.to_system_utc(min(dues, key=micros_of)) if dues else None

    def _dues(self) -> Iterator[datetime | None]:
        """When values go into windows, and when these close and are freed."""
        yield self._queue.next_due()
        first = self._windower.notify_at()
        if self._keeper is None or first is None:
            yield first
            return
        yield datetime_of(micros_of(first) + self._lateness)
        closes = self._keeper.next_due(micros_of(self._watermark))
        yield None if closes is None else datetime_of(closes)

    def snapshot(self) -> _State[V, S]:
        is_empty = self._windower.is_empty()
        return _State(
            self._clock.snapshot(),
            None if is_empty else self._windower.snapshot(),
            self._windows.snapshot(),
            self._queue.waiting(),
            self._windows.closed(),
        )


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
        raise TypeError(_cannot_keep(step_id, windower))


def _unwrap(output: _Output) -> Callable[[_Event], tuple[int, Any] | None]:
    def unwrap(event: _Event) -> tuple[int, Any] | None:
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

    Each key has a watermark and windows of its own. A value with a timestamp before
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

    def build(
        resume_state: _State[V, S] | None,
    ) -> StatefulBatchLogic[V, _Event, _State[V, S]]:
        state = resume_state or _State(None, None, {}, [])
        return _WindowDriver(
            written,
            clock.build(state.clock),
            windower.build(state.windower),
            _Windows(written, builder, state.windows, state.closed),
            _Queue(ordered=ordered, waiting=state.queue),
            allowed_lateness=clock.allowed_lateness,
        )

    events = stateful_batch("stateful_batch", up, build)
    return WindowOut(
        down=filter_map_value("unwrap_down", events, _unwrap("down")),
        late=filter_map_value("unwrap_late", events, _unwrap("late")),
        meta=filter_map_value("unwrap_meta", events, _unwrap("meta")),
    )
