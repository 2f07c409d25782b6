"""Clocks: which time each value has, and how far time has come.

A clock gives each value a *timestamp*, and says up to which timestamp all values
are believed to have arrived: the *watermark*. A value with a timestamp before the
watermark is late. There is a clock for each key, which knows the values of this key; or
one for the whole stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic

from millstream.dataflow import f_repr
from millstream.operators.windowing._micros import (
    FIRST,
    LAST,
    THE_END,
    check_duration,
    check_moment,
    datetime_of,
    duration_of,
    is_moment,
    micros_of,
    utc_now,
)
from millstream.operators.windowing._types import (
    SC,
    UTC_MAX,
    ZERO_TD,
    Scope,
    V,
    V_contra,
)

__all__ = ["Clock", "ClockLogic", "EventClock", "SystemClock"]


_IDLE_TIMEOUT = timedelta(minutes=1)
"""For how long a partition may hold back a stream without bringing anything."""


class ClockLogic(ABC, Generic[V_contra, SC]):
    """The clock of one key, or of a stream.

    All moments are aware datetimes. The watermark may stand still, but must never go
    back from one call to the next.
    """

    def before_batch(self) -> None:
        """Values are about to arrive: read the time once for all of them."""

    @abstractmethod
    def on_item(self, value: V_contra) -> tuple[datetime, datetime]:
        """Take a value that has arrived for this key.

        Args:
            value: The value.

        Returns:
            Its timestamp, and the watermark now that it has arrived.
        """

    @abstractmethod
    def on_notify(self) -> datetime:
        """A time that `to_system_utc` named has come.

        Returns:
            The watermark by now.
        """

    @abstractmethod
    def on_eof(self) -> datetime:
        """No more values will come.

        A resumed execution may bring more, so this should not change the state.

        Returns:
            The watermark for this end: `UTC_MAX` closes all windows.
        """

    def to_system_utc(self, timestamp: datetime) -> datetime | None:  # noqa: ARG002
        """When, as a wall clock shows it, the watermark gets to a timestamp.

        Args:
            timestamp: When something is due, such as the end of a window.

        Returns:
            When to call `on_notify` if no value comes before. None, the default,
            means that only values move this clock.
        """
        return None

    @abstractmethod
    def snapshot(self) -> SC:
        """The state, for `Clock.build` to start from when the dataflow resumes.

        Must not change later: return a copy of whatever is mutable.
        """


class Clock(ABC, Generic[V_contra, SC]):
    """A sort of clock. `EventClock` and `SystemClock` serve most purposes.

    Examples:
        A clock that counts: the timestamp of a value is how many came before.

        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators.windowing as win
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> class CountingLogic(win.ClockLogic):
        ...     def __init__(self, count):
        ...         self.count = count
        ...
        ...     def now(self):
        ...         return START + timedelta(seconds=self.count)
        ...
        ...     def on_item(self, value):
        ...         now = self.now()
        ...         self.count += 1
        ...         return now, now
        ...
        ...     def on_notify(self):
        ...         return self.now()
        ...
        ...     def on_eof(self):
        ...         return win.UTC_MAX
        ...
        ...     def snapshot(self):
        ...         return self.count
        >>> class CountingClock(win.Clock):
        ...     def build(self, resume_state):
        ...         return CountingLogic(resume_state or 0)
        >>> flow = Dataflow("clock_example")
        >>> source = TestingSource([("a", x) for x in "vwxyz"])
        >>> letters = op.input("letters", flow, source)
        >>> two_each = win.TumblingWindower(timedelta(seconds=2), START)
        >>> pairs = win.collect_window("pairs", letters, CountingClock(), two_each)
        >>> out = []
        >>> op.output("out", pairs.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, ['v', 'w'])), ('a', (1, ['x', 'y'])), ('a', (2, ['z']))]
    """

    allowed_lateness: timedelta = ZERO_TD
    """How far behind the watermark a value may be and still go into its windows."""

    scope: Scope = "key"
    """Whether each key has a clock of its own, or the whole stream has one."""

    @abstractmethod
    def build(self, resume_state: SC | None) -> ClockLogic[V_contra, SC]:
        """Make the clock of a key, or of the stream.

        Args:
            resume_state: What `ClockLogic.snapshot` returned, or None for a new one.

        Returns:
            The clock, with a state of its own.
        """


def _read(now_getter: Callable[[], datetime]) -> int:
    name = f"return value of `now_getter` {f_repr(now_getter)}"
    return micros_of(check_moment(name, now_getter()))


class _SystemClockLogic(ClockLogic[object, datetime]):
    def __init__(
        self, now_getter: Callable[[], datetime], resume_state: datetime | None
    ) -> None:
        self._now_getter = now_getter
        self._now = FIRST if resume_state is None else micros_of(resume_state)

    def before_batch(self) -> None:
        self._now = max(self._now, min(_read(self._now_getter), LAST))

    def on_item(self, value: object) -> tuple[datetime, datetime]:  # noqa: ARG002
        now = datetime_of(self._now)
        return now, now

    def on_notify(self) -> datetime:
        self.before_batch()
        return datetime_of(self._now)

    def on_eof(self) -> datetime:
        return UTC_MAX

    def to_system_utc(self, timestamp: datetime) -> datetime | None:
        return timestamp

    def snapshot(self) -> datetime:
        return datetime_of(self._now)


@dataclass
class SystemClock(Clock[object, datetime]):
    """The time of a value is when it arrives, so that no value is ever late.

    The values of a batch arrive at the same time. If the clock of the machine is
    set back, time stands still until it gets to where it was.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("system_clock_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 3)])
        >>> numbers = op.input("numbers", flow, source)
        >>> century = win.TumblingWindower(
        ...     length=timedelta(days=36525),
        ...     align_to=datetime(2000, 1, 1, tzinfo=timezone.utc),
        ... )
        >>> lists = win.collect_window("collect", numbers, win.SystemClock(), century)
        >>> out = []
        >>> op.output("out", lists.down, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', (0, [1, 3])), ('b', (0, [2]))]
    """

    def build(self, resume_state: datetime | None) -> ClockLogic[object, datetime]:
        """See `Clock.build`."""
        return _SystemClockLogic(utc_now, resume_state)


class _EventClockLogic(ClockLogic[V, datetime]):
    """A watermark that was at `base` when the system time was `sys_at_base`.

    It moves on with the system time, and jumps ahead when a value says so.
    """

    def __init__(self, clock: EventClock[V], watermark: datetime | None) -> None:
        self._ts_getter = clock.ts_getter
        self._now_getter = clock.now_getter
        self._to_system_utc = clock.to_system_utc
        self._wait = duration_of(clock.wait_for_system_duration)
        self._base = FIRST if watermark is None else micros_of(watermark)
        self._now = self._sys_at_base = _read(self._now_getter)

    def _watermark(self) -> int:
        return min(self._base + self._now - self._sys_at_base, LAST)

    def before_batch(self) -> None:
        self._now = max(self._now, _read(self._now_getter))

    def on_item(self, value: V) -> tuple[datetime, datetime]:
        timestamp = self._ts_getter(value)
        # Whatever else it is gets refused by our caller, which knows the step.
        if is_moment(timestamp):
            self._raise_to(micros_of(timestamp) - self._wait)
        return timestamp, datetime_of(self._watermark())

    def _raise_to(self, candidate: int) -> None:
        if candidate > self._watermark():
            self._base = candidate
            self._sys_at_base = self._now

    def on_notify(self) -> datetime:
        self.before_batch()
        return datetime_of(self._watermark())

    def on_eof(self) -> datetime:
        return UTC_MAX

    def to_system_utc(self, timestamp: datetime) -> datetime | None:
        if self._to_system_utc is not None:
            return self._to_system_utc(timestamp)
        micros = micros_of(timestamp)
        due = self._sys_at_base + micros - self._base
        return None if micros > LAST or due > THE_END else datetime_of(due)

    def snapshot(self) -> datetime:
        # Without the system time: while the dataflow is down, no time passes here.
        return datetime_of(self._watermark())


@dataclass
class EventClock(Clock[V, datetime]):
    """The time of a value is in the value.

    The watermark of a key stays `wait_for_system_duration` behind its latest
    timestamp, and moves on as the system time does: a value is late if it arrives
    that long after it was expected. While the dataflow doesn't run, the watermark
    stands still.

    With `allowed_lateness`, a value that is late by no more than that goes into its
    windows all the same, as soon as it arrives. If one of them has closed, its result
    comes out again, with all values so far, and so do its metadata.

    With ``scope="stream"``, all keys have one watermark: that of the partition of the
    source which has come least far. So the windows of a key close although it has no
    more values, as long as other keys do; and a key without open windows is forgotten
    and costs nothing. It suits sources that are about in order; with keys whose values
    arrive hours apart, such as from devices that were offline, most would be late.

    Args:
        ts_getter: Called with a value; returns its timestamp, an aware datetime.
        wait_for_system_duration: How long to wait for values that are out of order.
            With `timedelta.max`, no value is late, and windows close at the end of
            the input.
        now_getter: Returns the system time, an aware datetime.
        to_system_utc: Called with a timestamp; returns the system time at which to
            look again if something is due then, or None for never. By default, it is
            when the watermark gets there.
        allowed_lateness: How far behind the watermark a value may be and still count.
            A window is kept for so long after it has closed.
        scope: ``"key"`` for a watermark for each key, ``"stream"`` for one for the
            whole stream.
        idle_timeout: With ``scope="stream"``: a partition of the source that brings
            nothing for so long, by the system time, doesn't hold back the watermark.
            A minute, unless you say otherwise.

    Raises:
        TypeError: If a duration is not a `timedelta`.
        ValueError: If a duration is negative, `idle_timeout` is not positive or given
            without ``scope="stream"``, or `scope` is neither of the two.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> def at(second):
        ...     return START + timedelta(seconds=second)
        >>> flow = Dataflow("event_clock_example")
        >>> source = TestingSource([("a", 3), ("a", 1), ("a", 14), ("a", 2)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=at,
        ...     wait_for_system_duration=timedelta(seconds=10),
        ...     now_getter=lambda: START,
        ... )
        >>> windower = win.TumblingWindower(timedelta(minutes=1), align_to=START)
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> down, late = [], []
        >>> op.output("down", lists.down, TestingSink(down))
        >>> op.output("late", lists.late, TestingSink(late))
        >>> run_main(flow)
        >>> down
        [('a', (0, [1, 3, 14]))]
        >>> late
        [('a', (0, 2))]

        The same, with allowed lateness. The window closes at 60, and again after a
        value that is late:

        >>> flow = Dataflow("allowed_lateness_example")
        >>> source = TestingSource([("a", 3), ("a", 75), ("a", 59), ("a", 29)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=at,
        ...     wait_for_system_duration=timedelta(seconds=10),
        ...     now_getter=lambda: START,
        ...     allowed_lateness=timedelta(seconds=30),
        ... )
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> down, late = [], []
        >>> op.output("down", lists.down, TestingSink(down))
        >>> op.output("late", lists.late, TestingSink(late))
        >>> run_main(flow)
        >>> down
        [('a', (0, [3])), ('a', (0, [3, 59])), ('a', (1, [75]))]
        >>> late
        [('a', (0, 29))]

        With one watermark for the stream, the window of `a` closes because of `b`:

        >>> flow = Dataflow("stream_scope_example")
        >>> source = TestingSource([("a", 3), ("b", 75), ("a", 76)])
        >>> seconds = op.input("seconds", flow, source)
        >>> clock = win.EventClock(
        ...     ts_getter=at,
        ...     wait_for_system_duration=timedelta(seconds=10),
        ...     now_getter=lambda: START,
        ...     scope="stream",
        ... )
        >>> lists = win.collect_window("collect", seconds, clock, windower)
        >>> down = []
        >>> op.output("down", lists.down, TestingSink(down))
        >>> run_main(flow)
        >>> down
        [('a', (0, [3])), ('a', (1, [76])), ('b', (1, [75]))]
    """

    ts_getter: Callable[[V], datetime]
    wait_for_system_duration: timedelta
    now_getter: Callable[[], datetime] = utc_now
    to_system_utc: Callable[[datetime], datetime | None] | None = None
    allowed_lateness: timedelta = field(default=ZERO_TD, kw_only=True)
    scope: Scope = field(default="key", kw_only=True)
    idle_timeout: timedelta | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        owner = "of an `EventClock`"
        for name in ("wait_for_system_duration", "allowed_lateness"):
            check_duration(f"`{name}` {owner}", getattr(self, name), positive=False)
        if self.scope not in {"key", "stream"}:
            msg = f'`scope` {owner} must be "key" or "stream"; got {self.scope!r}'
            raise ValueError(msg)
        if self.idle_timeout is None:
            return
        check_duration(f"`idle_timeout` {owner}", self.idle_timeout, positive=True)
        if self.scope == "key":
            msg = (
                f"`idle_timeout` {owner} is for one watermark of several partitions; "
                'give it `scope="stream"` as well'
            )
            raise ValueError(msg)

    @property
    def _idle_timeout(self) -> timedelta:
        return _IDLE_TIMEOUT if self.idle_timeout is None else self.idle_timeout

    def build(self, resume_state: datetime | None) -> ClockLogic[V, datetime]:
        """See `Clock.build`."""
        return _EventClockLogic(self, resume_state)
