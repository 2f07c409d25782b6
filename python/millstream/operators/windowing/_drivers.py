"""What tells the windows of keys how far event time has come.

With a watermark for each key, a key has a `KeyDriver`, which is the logic of
`stateful_batch` for it. With one for the whole stream, all keys have one
`StreamDriver`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeAlias

from millstream.operators.stateful_batch import StatefulBatchLogic
from millstream.operators.windowing._key_windows import Event, KeyState, KeyWindows
from millstream.operators.windowing._micros import check_moment, micros_of
from millstream.operators.windowing._types import UTC_MIN, S, V
from millstream.operators.windowing.clocks import ClockLogic

__all__ = ["DriverState", "KeyDriver", "StreamDriver", "StreamState"]


_FEW = 64
"""So many entries of a queue may be untrue, however few are true."""


@dataclass(frozen=True)
class DriverState(Generic[V, S]):
    """The state of a key that has a clock of its own."""

    clock: Any
    key: KeyState[V, S]


@dataclass(frozen=True)
class StreamState(Generic[V, S]):
    """The state of a stream that has one clock, and of the keys that hold something."""

    clock: Any
    keys: dict[str, KeyState[V, S]]


class _Watermark(Generic[V]):
    """A clock, of which we make sure that it keeps the rules."""

    def __init__(self, step_id: str, clock: ClockLogic[V, Any]) -> None:
        self._step_id = step_id
        self.clock = clock
        self.now = UTC_MIN

    def before_batch(self) -> None:
        self.clock.before_batch()

    def on_item(self, value: V) -> datetime:
        """Take a value; returns its timestamp."""
        timestamp, watermark = self.clock.on_item(value)
        check_moment(f"the timestamp of a value in step `{self._step_id}`", timestamp)
        self._advance(watermark)
        return timestamp

    def on_notify(self) -> None:
        self._advance(self.clock.on_notify())

    def on_eof(self) -> None:
        self._advance(self.clock.on_eof())

    def _advance(self, watermark: datetime) -> None:
        check_moment(f"the watermark in step `{self._step_id}`", watermark)
        if micros_of(watermark) < micros_of(self.now):
            msg = (
                f"the watermark in step `{self._step_id}` must not go back; its clock "
                f"returned {watermark.isoformat()} after {self.now.isoformat()}"
            )
            raise ValueError(msg)
        self.now = watermark


class KeyDriver(StatefulBatchLogic[V, Event, DriverState[V, S]]):
    """One key, with a watermark of its own."""

    def __init__(
        self, step_id: str, clock: ClockLogic[V, Any], windows: KeyWindows[V, Any, S]
    ) -> None:
        self._watermark = _Watermark(step_id, clock)
        self._windows = windows

    def on_batch(self, values: list[V]) -> tuple[Iterable[Event], bool]:
        events: list[Event] = []
        self._watermark.before_batch()
        for value in values:
            timestamp = self._watermark.on_item(value)
            self._windows.receive(value, timestamp, self._watermark.now, events)
        return self._catch_up(events)

    def on_notify(self) -> tuple[Iterable[Event], bool]:
        self._watermark.on_notify()
        return self._catch_up([])

    def on_eof(self) -> tuple[Iterable[Event], bool]:
        self._watermark.on_eof()
        return self._catch_up([])

    def _catch_up(self, events: list[Event]) -> tuple[Iterable[Event], bool]:
        self._windows.catch_up(self._watermark.now, events)
        # The clock must outlive the windows, or they could open again.
        return events, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        due = self._windows.due_at(self._watermark.now)
        return None if due is None else self._watermark.clock.to_system_utc(due)

    def snapshot(self) -> DriverState[V, S]:
        return DriverState(self._watermark.clock.snapshot(), self._windows.snapshot())


_KeyEvent: TypeAlias = tuple[str, Event]


class StreamDriver(
    StatefulBatchLogic[tuple[str, V], _KeyEvent, StreamState[V, S]],
    Generic[V, S],
):
    """All keys of a stream, with one watermark; forgets those that hold nothing.

    In each turn, first the keys that got values catch up with the watermark, in the
    order of their text; then the others that are due.
    """

    def __init__(
        self,
        step_id: str,
        clock: ClockLogic[V, Any],
        build_key: Callable[[KeyState[V, S] | None], KeyWindows[V, Any, S]],
        states: dict[str, KeyState[V, S]],
    ) -> None:
        self._watermark = _Watermark(step_id, clock)
        self._build_key = build_key
        self._keys = {key: build_key(state) for key, state in states.items()}
        # When each key is due. The queue holds entries that are no longer true.
        self._dues: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        for key in self._keys:
            self._set_due(key)

    def on_batch(self, values: list[tuple[str, V]]) -> tuple[Iterable[_KeyEvent], bool]:
        events: dict[str, list[Event]] = {}
        self._watermark.before_batch()
        for key, value in values:
            timestamp = self._watermark.on_item(value)
            windows = self._keys.get(key)
            if windows is None:
                windows = self._keys[key] = self._build_key(None)
            of_key = events.setdefault(key, [])
            windows.receive(value, timestamp, self._watermark.now, of_key)
        emits: list[_KeyEvent] = []
        for key in sorted(events):
            self._catch_up(key, events[key], emits)
        self._catch_up_due(emits)
        return emits, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[_KeyEvent], bool]:
        self._watermark.on_notify()
        emits: list[_KeyEvent] = []
        self._catch_up_due(emits)
        return emits, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[_KeyEvent], bool]:
        self._watermark.on_eof()
        emits: list[_KeyEvent] = []
        for key in sorted(self._keys):
            self._catch_up(key, [], emits)
        return emits, StatefulBatchLogic.RETAIN

    def _catch_up_due(self, emits: list[_KeyEvent]) -> None:
        now = micros_of(self._watermark.now)
        due: set[str] = set()
        while self._queue and self._queue[0][0] <= now:
            at, key = heappop(self._queue)
            if self._dues.get(key) == at:
                due.add(key)
                del self._dues[key]
        for key in sorted(due):
            self._catch_up(key, [], emits)

    def _catch_up(self, key: str, events: list[Event], emits: list[_KeyEvent]) -> None:
        windows = self._keys[key]
        windows.catch_up(self._watermark.now, events)
        emits.extend((key, event) for event in events)
        if windows.is_idle():
            del self._keys[key]
            self._dues.pop(key, None)
        else:
            self._set_due(key)

    def _set_due(self, key: str) -> None:
        due = self._keys[key].due_at(self._watermark.now)
        if due is None:
            self._dues.pop(key, None)
            return
        micros = micros_of(due)
        if self._dues.get(key) != micros:
            self._dues[key] = micros
            heappush(self._queue, (micros, key))
        if len(self._queue) > 2 * len(self._dues) + _FEW:
            self._queue = [(at, key) for key, at in self._dues.items()]
            heapify(self._queue)

    def notify_at(self) -> datetime | None:
        while self._queue and self._dues.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
        if not self._queue:
            return None
        due = self._keys[self._queue[0][1]].due_at(self._watermark.now)
        return None if due is None else self._watermark.clock.to_system_utc(due)

    def snapshot(self) -> StreamState[V, S]:
        keys = {key: windows.snapshot() for key, windows in self._keys.items()}
        return StreamState(self._watermark.clock.snapshot(), keys)
