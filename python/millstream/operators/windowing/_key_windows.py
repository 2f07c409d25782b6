"""The windows of one key: which there are, what is in them, and what waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Generic, Literal, TypeAlias

from millstream.operators._types import a_type, is_iterable, wrong_return
from millstream.operators.windowing._logic import WindowLogic
from millstream.operators.windowing._micros import (
    FIRST,
    THE_END,
    datetime_of,
    duration_of,
    micros_of,
)
from millstream.operators.windowing._types import ZERO_TD, S, V, W, WindowMetadata
from millstream.operators.windowing.windowers import (
    KeepingWindowerLogic,
    WindowerLogic,
)

__all__ = ["Event", "KeyState", "KeyWindows", "Output", "cannot_keep"]

Output: TypeAlias = Literal["down", "late", "meta"]

Event: TypeAlias = tuple[Output, int, Any]
"""What a key emits: to which output, for which window, and what."""


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
class KeyState(Generic[V, S]):
    """The state of a key. Once its windows have closed, little is left of it."""

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

    def insert(self, window_id: int, value: V) -> Iterator[Event]:
        logic = self._change(window_id)
        return self._events(window_id, logic.on_value, logic.on_value(value))

    def merge(self, original_id: int, target_id: int) -> Iterator[Event]:
        original = self.remove(original_id)
        logic = self._change(target_id)
        return self._events(target_id, logic.on_merge, logic.on_merge(original))

    def close(self, window_id: int, metadata: WindowMetadata) -> list[Event]:
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
    ) -> Iterator[Event]:
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


def cannot_keep(step_id: str, windower: object) -> str:
    """Why a step whose clock allows lateness can't use a windower."""
    return (
        f"`windower` of step `{step_id}` must be a `TumblingWindower`, "
        "`SlidingWindower` or `SessionWindower`, since its clock has an "
        f"`allowed_lateness`; got {a_type(windower)}"
    )


class KeyWindows(Generic[V, W, S]):
    """Brings the values of one key into its windows, as the watermark says."""

    def __init__(
        self,
        step_id: str,
        windower: WindowerLogic[Any],
        builder: Callable[[S | None], WindowLogic[V, W, S]],
        state: KeyState[V, S],
        *,
        ordered: bool,
        allowed_lateness: timedelta,
    ) -> None:
        self._lateness = duration_of(allowed_lateness)
        self._windower = windower
        # What keeps windows that have closed, if they may change then.
        self._keeper: KeepingWindowerLogic[Any] | None = None
        if allowed_lateness > ZERO_TD:
            if not isinstance(windower, KeepingWindowerLogic):
                raise TypeError(cannot_keep(step_id, windower))
            self._keeper = windower
        self._windows = _Windows(step_id, builder, state.windows, state.closed)
        self._queue = _Queue[V](ordered=ordered, waiting=state.queue)

    def receive(
        self, value: V, timestamp: datetime, watermark: datetime, events: list[Event]
    ) -> None:
        """A value has come, and the watermark is there by now."""
        if micros_of(timestamp) < micros_of(watermark) - self._lateness:
            window_ids = self._windower.late_for(timestamp)
            events.extend(("late", each, value) for each in window_ids)
        else:
            self._queue.push(timestamp, value)

    def catch_up(self, watermark: datetime, events: list[Event]) -> None:
        """Put what is due into windows; then close those that end."""
        for timestamp, value in self._queue.take_due(watermark):
            for window_id in self._windower.open_for(timestamp):
                events.extend(self._windows.insert(window_id, value))
            for original_id, target_id in self._windower.merged():
                events.extend(self._windows.merge(original_id, target_id))
        if self._keeper is not None:
            self._close_and_keep(self._keeper, micros_of(watermark), events)
            return
        for window_id, metadata in self._windower.close_for(watermark):
            events.extend(self._windows.close(window_id, metadata))
            self._windows.remove(window_id)

    def _close_and_keep(
        self, keeper: KeepingWindowerLogic[Any], watermark: int, events: list[Event]
    ) -> None:
        for window_id, metadata in keeper.due_for(watermark):
            events.extend(self._windows.close(window_id, metadata))
        freed = watermark if watermark == THE_END else watermark - self._lateness
        for window_id, _ in keeper.close_for(datetime_of(freed)):
            self._windows.remove(window_id)

    def due_at(self, watermark: datetime) -> datetime | None:
        """The next watermark at which there is something to do."""
        dues = [each for each in self._dues(watermark) if each is not None]
        return min(dues, key=micros_of) if dues else None

    def _dues(self, watermark: datetime) -> Iterator[datetime | None]:
        """When values go into windows, and when these close and are freed."""
        yield self._queue.next_due()
        first = self._windower.notify_at()
        if self._keeper is None or first is None:
            yield first
            return
        yield datetime_of(micros_of(first) + self._lateness)
        closes = self._keeper.next_due(micros_of(watermark))
        yield None if closes is None else datetime_of(closes)

    def is_idle(self) -> bool:
        """Whether nothing is there that a new key lacks."""
        return self._windower.is_empty() and self._queue.next_due() is None

    def snapshot(self) -> KeyState[V, S]:
        """What there is, to resume from."""
        is_empty = self._windower.is_empty()
        return KeyState(
            None if is_empty else self._windower.snapshot(),
            self._windows.snapshot(),
            self._queue.waiting(),
            self._windows.closed(),
        )
