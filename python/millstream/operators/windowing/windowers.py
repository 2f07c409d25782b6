"""Windowers: which windows a timestamp belongs to, and when they close.

There is a windower for each key. Windows have ids, which mean something to their
windower only. A window is open from its first value until the watermark, up to which
all values are believed to have arrived, has passed its end.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Generic, TypeAlias

from millstream.operators.windowing._grid import Grid
from millstream.operators.windowing._micros import (
    THE_END,
    check_duration,
    check_moment,
    datetime_of,
    duration_of,
    micros_of,
)
from millstream.operators.windowing._sessions import Session, Sessions
from millstream.operators.windowing._types import (
    LATE_SESSION_ID,
    SW,
    WindowMetadata,
)

__all__ = [
    "KeepingWindowerLogic",
    "SessionWindower",
    "SlidingWindower",
    "TumblingWindower",
    "Windower",
    "WindowerLogic",
    "build_windower",
]


class WindowerLogic(ABC, Generic[SW]):
    """The windows of one key. All moments are aware datetimes."""

    @abstractmethod
    def open_for(self, timestamp: datetime) -> Iterable[int]:
        """A value is about to be put into windows.

        Args:
            timestamp: Its timestamp.

        Returns:
            The ids of the windows to put it into. Those that aren't open open now.
        """

    @abstractmethod
    def late_for(self, timestamp: datetime) -> Iterable[int]:
        """A value is late. No window opens.

        Args:
            timestamp: Its timestamp.

        Returns:
            The ids of the windows that it would have been put into.
        """

    @abstractmethod
    def merged(self) -> Iterable[tuple[int, int]]:
        """Which windows have become part of others, after a value was put in.

        Returns:
            Pairs of the id of such a window, which is no longer open, and the id of
            the window that it is a part of now. Each is returned only once.
        """

    @abstractmethod
    def close_for(self, watermark: datetime) -> Iterable[tuple[int, WindowMetadata]]:
        """The watermark may have moved on.

        Args:
            watermark: Where it is now. `UTC_MAX` means the end of the input, for
                which all windows should close.

        Returns:
            The ids of the windows that close, and what there is to know about them,
            in the order in which they were opened.
        """

    @abstractmethod
    def notify_at(self) -> datetime | None:
        """At which watermark the next window closes.

        Returns:
            The watermark, or None if no window is open.
        """

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether this object may be forgotten.

        Returns:
            True if a new object could take its place: no window is open, and nothing
            else must be remembered.
        """

    @abstractmethod
    def snapshot(self) -> SW:
        """The state, for `Windower.build` to start from when the dataflow resumes.

        Must not change later: return a copy of whatever is mutable.
        """


class Windower(ABC, Generic[SW]):
    """A way to divide time into windows.

    Examples:
        A single window, for all values:

        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> class ForeverLogic(win.WindowerLogic):
        ...     def __init__(self, is_open):
        ...         self.is_open = is_open
        ...
        ...     def open_for(self, timestamp):
        ...         self.is_open = True
        ...         return [0]
        ...
        ...     def late_for(self, timestamp):
        ...         return [0]
        ...
        ...     def merged(self):
        ...         return []
        ...
        ...     def close_for(self, watermark):
        ...         if not self.is_open or watermark < win.UTC_MAX:
        ...             return []
        ...         self.is_open = False
        ...         return [(0, win.WindowMetadata(win.UTC_MIN, win.UTC_MAX))]
        ...
        ...     def notify_at(self):
        ...         return None
        ...
        ...     def is_empty(self):
        ...         return not self.is_open
        ...
        ...     def snapshot(self):
        ...         return self.is_open
        >>> class Forever(win.Windower):
        ...     def build(self, resume_state):
        ...         return ForeverLogic(resume_state or False)
        >>> flow = Dataflow("windower_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 3)])
        >>> numbers = op.input("numbers", flow, source)
        >>> lists = win.collect_window("all", numbers, win.SystemClock(), Forever())
        >>> out = []
        >>> op.output("out", lists.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, [1, 3])), ('b', (0, [2]))]
    """

    @abstractmethod
    def build(self, resume_state: SW | None) -> WindowerLogic[SW]:
        """Make the windower of a key.

        Args:
            resume_state: What `WindowerLogic.snapshot` returned, or None for a new
                key.

        Returns:
            The windower, with a state of its own.
        """


class KeepingWindowerLogic(WindowerLogic[SW]):
    """A windower that can tell which windows are due without closing them.

    With allowed lateness, a window is kept after it is due; it closes, here, when its
    driver is done with it. Moments are in microseconds.
    """

    @abstractmethod
    def due_for(self, watermark: int) -> Iterable[tuple[int, WindowMetadata]]:
        """As `close_for`, but the windows stay."""

    @abstractmethod
    def next_due(self, watermark: int) -> int | None:
        """At which watermark, later than this one, the next window is due."""


class _GridWindowerLogic(KeepingWindowerLogic[list[int]]):
    """The open windows of a grid. Its state is their ids, as they were opened."""

    def __init__(self, grid: Grid, resume_state: list[int] | None) -> None:
        self._grid = grid
        self._opened = {each: i for i, each in enumerate(resume_state or ())}
        self._count = len(self._opened)
        # Windows end in the order of their ids.
        self._to_close = list(self._opened)
        heapify(self._to_close)

    def open_for(self, timestamp: datetime) -> Iterable[int]:
        window_ids = self._grid.ids_at(micros_of(timestamp))
        for window_id in window_ids:
            if window_id not in self._opened:
                self._opened[window_id] = self._count
                self._count += 1
                heappush(self._to_close, window_id)
        return window_ids

    def late_for(self, timestamp: datetime) -> Iterable[int]:
        return self._grid.ids_at(micros_of(timestamp))

    def merged(self) -> Iterable[tuple[int, int]]:
        return ()

    def close_for(self, watermark: datetime) -> Iterable[tuple[int, WindowMetadata]]:
        micros = micros_of(watermark)
        closed: list[int] = []
        while self._to_close and (
            self._grid.close_time(self._to_close[0]) <= micros or micros == THE_END
        ):
            closed.append(heappop(self._to_close))
        closed.sort(key=self._opened.__getitem__)
        for window_id in closed:
            del self._opened[window_id]
        return [(each, self._metadata(each)) for each in closed]

    def due_for(self, watermark: int) -> Iterable[tuple[int, WindowMetadata]]:
        return [
            (each, self._metadata(each))
            for each in self._opened
            if self._grid.close_time(each) <= watermark or watermark == THE_END
        ]

    def next_due(self, watermark: int) -> int | None:
        close_times = map(self._grid.close_time, self._opened)
        return min((each for each in close_times if each > watermark), default=None)

    def _metadata(self, window_id: int) -> WindowMetadata:
        return WindowMetadata(
            datetime_of(self._grid.open_time(window_id)),
            datetime_of(self._grid.close_time(window_id)),
        )

    def notify_at(self) -> datetime | None:
        if not self._to_close:
            return None
        return datetime_of(self._grid.close_time(self._to_close[0]))

    def is_empty(self) -> bool:
        return not self._opened

    def snapshot(self) -> list[int]:
        return list(self._opened)


@dataclass
class SlidingWindower(Windower[list[int]]):
    """Windows of one length, which begin at regular intervals and may overlap.

    Window 0 opens at `align_to`; those after it have the ids 1, 2, …, and those
    before it -1, -2, …. The time at which a window closes is no longer part of it.

    Args:
        length: How long each window is.
        offset: How long after one window the next one opens: `length`, or less for
            windows that overlap.
        align_to: When window 0 opens, as an aware datetime.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If `length` or `offset` is not positive, if `offset` is longer
            than `length`, or if `align_to` is naive.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("sliding_example")
        >>> source = TestingSource([("a", 1), ("a", 7), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.SlidingWindower(
        ...     length=timedelta(seconds=10),
        ...     offset=timedelta(seconds=5),
        ...     align_to=START,
        ... )
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> out = []
        >>> op.output("out", lists.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (-1, [1])), ('a', (0, [1, 7])), ('a', (1, [7, 12])), ('a', (2, [12]))]
    """

    length: timedelta
    offset: timedelta
    align_to: datetime

    def __post_init__(self) -> None:
        owner = "of a `SlidingWindower`"
        check_duration(f"`length` {owner}", self.length, positive=True)
        check_duration(f"`offset` {owner}", self.offset, positive=True)
        check_moment(f"`align_to` {owner}", self.align_to)
        if self.offset > self.length:
            msg = (
                f"`offset` {owner} must not be longer than its `length`, or values "
                f"between windows would get lost; got `{self.offset!r}`, which is "
                f"longer than `{self.length!r}`"
            )
            raise ValueError(msg)

    def build(self, resume_state: list[int] | None) -> WindowerLogic[list[int]]:
        """See `Windower.build`."""
        grid = Grid(
            duration_of(self.length),
            duration_of(self.offset),
            micros_of(self.align_to),
        )
        return _GridWindowerLogic(grid, resume_state)


@dataclass
class TumblingWindower(Windower[list[int]]):
    """Windows of one length, one after another, without gaps and without overlap.

    Window 0 opens at `align_to`; those after it have the ids 1, 2, …, and those
    before it -1, -2, …. The time at which a window closes is part of the next one.

    Args:
        length: How long each window is.
        align_to: When window 0 opens, as an aware datetime.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If `length` is not positive, or `align_to` is naive.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("tumbling_example")
        >>> source = TestingSource([("a", 1), ("a", 7), ("a", 12)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.TumblingWindower(
        ...     length=timedelta(seconds=10), align_to=START
        ... )
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> out = []
        >>> op.output("out", lists.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, [1, 7])), ('a', (1, [12]))]
    """

    length: timedelta
    align_to: datetime

    def __post_init__(self) -> None:
        owner = "of a `TumblingWindower`"
        check_duration(f"`length` {owner}", self.length, positive=True)
        check_moment(f"`align_to` {owner}", self.align_to)

    def build(self, resume_state: list[int] | None) -> WindowerLogic[list[int]]:
        """See `Windower.build`."""
        length = duration_of(self.length)
        grid = Grid(length, length, micros_of(self.align_to))
        return _GridWindowerLogic(grid, resume_state)


_SessionState: TypeAlias = tuple[int, list[Session]]
"""How many sessions were opened so far, and the open ones."""


def _up_to(watermark: int) -> float:
    """Which sessions are due: at the end of the input, all of them."""
    return inf if watermark == THE_END else watermark


def _with_metadata(sessions: Iterable[Session]) -> list[tuple[int, WindowMetadata]]:
    return [
        (
            session.window_id,
            WindowMetadata(
                datetime_of(session.open_time),
                datetime_of(session.close_time),
                set(session.merged_ids),
            ),
        )
        for session in sessions
    ]


class _SessionWindowerLogic(KeepingWindowerLogic[_SessionState]):
    """The open sessions, and which have merged since the last value was put in."""

    def __init__(
        self,
        gap: int,
        resume_state: _SessionState | None,
        *,
        has_times_as_ids: bool = False,
    ) -> None:
        opened, sessions = resume_state or (0, [])
        self._sessions = Sessions(gap, opened, sessions, has_times_as_ids)
        self._merged: list[tuple[int, int]] = []

    def open_for(self, timestamp: datetime) -> Iterable[int]:
        session, merged = self._sessions.place(micros_of(timestamp))
        if merged is not None:
            self._merged.append((merged.window_id, session.window_id))
        return (session.window_id,)

    def late_for(self, timestamp: datetime) -> Iterable[int]:  # noqa: ARG002
        return (LATE_SESSION_ID,)

    def merged(self) -> Iterable[tuple[int, int]]:
        merged, self._merged = self._merged, []
        return merged

    def close_for(self, watermark: datetime) -> Iterable[tuple[int, WindowMetadata]]:
        micros = micros_of(watermark)
        return _with_metadata(self._sessions.take_closed(_up_to(micros)))

    def due_for(self, watermark: int) -> Iterable[tuple[int, WindowMetadata]]:
        return _with_metadata(self._sessions.closed(_up_to(watermark)))

    def next_due(self, watermark: int) -> int | None:
        due = map(self._sessions.closes_at, self._sessions.open)
        return next((each for each in due if each > watermark), None)

    def notify_at(self) -> datetime | None:
        if not self._sessions.open:
            return None
        return datetime_of(self._sessions.closes_at(self._sessions.open[0]))

    def is_empty(self) -> bool:
        if self._sessions.has_times_as_ids:
            return not self._sessions.open
        # The id of the next session must be remembered.
        return self._sessions.opened == 0

    def snapshot(self) -> _SessionState:
        return self._sessions.opened, copy.deepcopy(self._sessions.open)


@dataclass
class SessionWindower(Windower[_SessionState]):
    """Windows that go on for as long as values keep coming.

    A value belongs to a session if it is at most `gap` away from another value of
    it. A value between two sessions can make one of them; it has the id of the
    session that began first, and the other's id is in `WindowMetadata.merged_ids`.
    The sessions of a key have the ids 0, 1, 2, …, in the order of their opening;
    with a clock of ``scope="stream"``, the id is the timestamp of the value that opened
    the session, in microseconds since 1970 in UTC.

    Args:
        gap: How much time between two values there may be at most.

    Raises:
        TypeError: If `gap` is not a `timedelta`.
        ValueError: If `gap` is negative.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("session_example")
        >>> source = TestingSource([("a", 1), ("a", 4), ("a", 8), ("a", 13)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(0),
        ... )
        >>> windower = win.SessionWindower(gap=timedelta(seconds=4))
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> out = []
        >>> op.output("out", lists.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, [1, 4, 8])), ('a', (1, [13]))]
    """

    gap: timedelta

    def __post_init__(self) -> None:
        check_duration("`gap` of a `SessionWindower`", self.gap, positive=False)

    def build(self, resume_state: _SessionState | None) -> WindowerLogic[_SessionState]:
        """See `Windower.build`."""
        return _SessionWindowerLogic(duration_of(self.gap), resume_state)


def build_windower(
    windower: Windower[Any], resume_state: Any, *, forgets_keys: bool
) -> WindowerLogic[Any]:
    """Make the windower of a key.

    Args:
        windower: What to make it of.
        resume_state: The state to resume from, if any.
        forgets_keys: Whether the key will be forgotten when it has no windows. Our
            sessions are then named by times, as nobody counts them.
    """
    # A subclass may build something else.
    if forgets_keys and type(windower) is SessionWindower:
        gap = duration_of(windower.gap)
        return _SessionWindowerLogic(gap, resume_state, has_times_as_ids=True)
    return windower.build(resume_state)
