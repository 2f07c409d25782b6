"""The operators agree with an evaluation of all values at once, in plain Python.

The reference knows the whole list of values; it has no watermark that moves, no
queue, no window that opens or closes, and no worker.
"""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import NamedTuple

import millstream.operators as op
import millstream.operators.aggregators as agg
import millstream.operators.windowing as win
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.operators.windowing import WindowMetadata
from millstream.testing import (
    TestingSink,
    TestingSource,
    TimeTestingGetter,
    cluster_main,
)

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

# `driver` builds anew for each example.
with_driver = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Value(NamedTuple):
    """A value, and the system time at which it arrives."""

    number: int
    timestamp: datetime
    now: datetime = NOW


class Expected(NamedTuple):
    """What must come out for one key. Windows are in the order of their opening."""

    down: list[tuple[int, list[Value]]]
    late: list[tuple[int, Value]]
    meta: list[tuple[int, WindowMetadata]]

    def sorted(self) -> Expected:
        """By window: when windows close together depends on batches."""
        return Expected(
            sorted(self.down, key=lambda each: each[0]),
            self.late,
            sorted(self.meta, key=lambda each: each[0]),
        )


def micros(moment):
    return (moment - START) // MICROSECOND


FIRST, THE_END = micros(win.UTC_MIN), micros(win.UTC_MAX)
SINCE_1970 = -micros(datetime(1970, 1, 1, tzinfo=timezone.utc))


def moment(at):
    return START + min(max(at, FIRST), THE_END) * MICROSECOND


def ts(value):
    return min(max(micros(value.timestamp), FIRST), THE_END)


def is_late(values, index, wait, lateness=timedelta()):
    """Whether the watermark is beyond what a value may be, now that it has arrived."""
    now = micros(values[index].now)
    watermarks = [FIRST + now - micros(values[0].now)]
    watermarks += [
        ts(each) - wait // MICROSECOND + now - micros(each.now)
        for each in values[: index + 1]
    ]
    watermark = min(max(watermarks), THE_END - 1)
    return ts(values[index]) < watermark - lateness // MICROSECOND


def on_time_and_late(values, wait, *, ordered, lateness=timedelta(), stream=None):
    """With a stream of values of all keys, it is the stream that has a watermark."""
    all_values = values if stream is None else stream
    late = [
        each
        for i, each in enumerate(all_values)
        if is_late(all_values, i, wait, lateness) and each in values
    ]
    on_time = [each for each in values if each not in late]
    return sorted(on_time, key=ts) if ordered else on_time, late


class Grid(NamedTuple):
    length: timedelta
    offset: timedelta
    align_to: datetime

    def windower(self):
        if self.length == self.offset:
            return win.TumblingWindower(self.length, self.align_to)
        return win.SlidingWindower(self.length, self.offset, self.align_to)

    def times(self, window_id):
        opens = micros(self.align_to) + window_id * (self.offset // MICROSECOND)
        return opens, opens + self.length // MICROSECOND

    def ids_around(self, value):
        near = (ts(value) - micros(self.align_to)) // (self.offset // MICROSECOND)
        far = self.length // self.offset + 2
        for window_id in range(near - far, near + far):
            opens, closes = self.times(window_id)
            if opens <= ts(value) < closes:
                yield window_id

    def expected(self, values, wait, **kwargs):
        on_time, late = on_time_and_late(values, wait, **kwargs)
        windows = {}
        for value in on_time:
            for window_id in self.ids_around(value):
                windows.setdefault(window_id, []).append(value)
        return Expected(
            list(windows.items()),
            [(each, value) for value in late for each in self.ids_around(value)],
            [
                (each, WindowMetadata(*map(moment, self.times(each))))
                for each in windows
            ],
        )


class Session:
    def __init__(self, window_id, opened, value):
        self.window_id = window_id
        self.opened = opened
        self.values = [value]
        self.merged_ids = set()

    def times(self):
        return min(map(ts, self.values)), max(map(ts, self.values))


class Gap(NamedTuple):
    gap: timedelta

    def windower(self):
        return win.SessionWindower(self.gap)

    def is_near(self, session, value):
        gap = self.gap // MICROSECOND
        return any(abs(ts(each) - ts(value)) <= gap for each in session.values)

    def expected(self, values, wait, *, stream=None, **kwargs):
        on_time, late = on_time_and_late(values, wait, stream=stream, **kwargs)
        sessions = []
        count = 0
        for value in on_time:
            near = [each for each in sessions if self.is_near(each, value)]
            if not near:
                window_id = count if stream is None else ts(value) + SINCE_1970
                sessions.append(Session(window_id, count, value))
                count += 1
                continue
            first, *others = sorted(near, key=Session.times)
            first.values.append(value)
            for other in others:
                first.values += other.values
                first.merged_ids |= {other.window_id} | other.merged_ids
                sessions.remove(other)
        sessions.sort(key=lambda each: each.opened)
        return Expected(
            [(each.window_id, each.values) for each in sessions],
            [(win.LATE_SESSION_ID, value) for value in late],
            [
                (
                    each.window_id,
                    WindowMetadata(*map(moment, each.times()), each.merged_ids),
                )
                for each in sessions
            ],
        )


def seconds(low, high):
    return st.integers(low, high).map(lambda each: timedelta(seconds=each))


near_moments = seconds(-20, 40).map(lambda each: START + each)
moments = st.one_of(
    near_moments,
    near_moments,
    seconds(-(10**9), 10**9).map(lambda each: START + each),
    st.timedeltas(timedelta(), timedelta(seconds=30)).map(lambda each: START + each),
    st.sampled_from(
        [
            win.UTC_MIN,
            win.UTC_MAX,
            win.UTC_MAX - MICROSECOND,
            datetime.min.replace(tzinfo=timezone(timedelta(hours=9))),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
            START.astimezone(timezone(timedelta(hours=5, minutes=30))),
        ]
    ),
)
waits = st.one_of(seconds(0, 30), st.sampled_from([timedelta(), timedelta.max]))
tumbling = st.builds(
    lambda length, align_to: Grid(length, length, align_to),
    seconds(1, 30),
    near_moments,
)
sliding = st.builds(
    lambda offset, more, align_to: Grid(offset + more, offset, align_to),
    seconds(1, 10),
    st.timedeltas(timedelta(), timedelta(seconds=20)),
    near_moments,
)
sessions = st.builds(
    Gap, st.one_of(seconds(0, 10), st.sampled_from([timedelta.max, MICROSECOND]))
)
windows = pytest.mark.parametrize("windows", [tumbling, sliding, sessions])


@st.composite
def keyed_values(draw):
    pairs = draw(st.lists(st.tuples(st.sampled_from("abc"), moments), max_size=30))
    return [(key, Value(i, timestamp)) for i, (key, timestamp) in enumerate(pairs)]


def run(items, add_steps, batch_size, workers, *, optimize=True):
    """What comes out for each key."""
    flow = Dataflow("flow")
    out = add_steps(op.input("inp", flow, TestingSource(items, batch_size)))
    outputs = Expected([], [], [])
    op.output("down", out.down, TestingSink(outputs.down))
    op.output("late", out.late, TestingSink(outputs.late))
    op.output("meta", out.meta, TestingSink(outputs.meta))
    cluster_main(flow, [], 0, worker_count_per_proc=workers, optimize=optimize)
    return {
        key: Expected(*([each for k, each in ls if k == key] for ls in outputs))
        for key in "abc"
    }


def clock(wait, now_getter=lambda: NOW, **kwargs):
    return win.EventClock(lambda value: value.timestamp, wait, now_getter, **kwargs)


@windows
@pytest.mark.parametrize("ordered", [True, False])
@given(data=st.data(), items=keyed_values(), wait=waits)
def test_dataflow(windows, ordered, data, items, wait):
    kind = data.draw(windows)
    out = run(
        items,
        lambda up: win.collect_window(
            "step", up, clock(wait), kind.windower(), ordered=ordered
        ),
        batch_size=data.draw(st.integers(1, 31)),
        workers=data.draw(st.integers(1, 3)),
    )
    for key, got in out.items():
        values = [value for k, value in items if k == key]
        expected = kind.expected(values, wait, ordered=ordered)
        if ordered:
            assert got == expected
        else:
            assert got.sorted() == expected.sorted()


@windows
@pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])
@given(data=st.data(), items=keyed_values(), wait=waits)
def test_one_watermark_for_the_stream(windows, optimize, data, items, wait):
    kind, ordered = data.draw(windows), data.draw(st.booleans())
    out = run(
        items,
        lambda up: win.collect_window(
            "step", up, clock(wait, scope="stream"), kind.windower(), ordered=ordered
        ),
        batch_size=data.draw(st.integers(1, 31)),
        workers=data.draw(st.integers(1, 3)),
        optimize=optimize,
    )
    stream = [value for _, value in items]
    for key, got in out.items():
        values = [value for k, value in items if k == key]
        expected = kind.expected(values, wait, ordered=ordered, stream=stream)
        if ordered:
            assert got == expected
        else:
            assert got.sorted() == expected.sorted()


def last_results(out, content=sorted):
    """When windows were, and what they came to in the end, in the order of time.

    Values that are late go into windows when they come, and sessions count openings, so
    the order of values and the ids of windows may differ.
    """
    times = dict(out.meta)
    merged_ids = set().union(*(each.merged_ids for each in times.values()))
    return sorted(
        (times[window_id].open_time, times[window_id].close_time, content(result))
        for window_id, result in dict(out.down).items()
        if window_id not in merged_ids
    )


latenesses = st.one_of(
    st.just(timedelta()),
    seconds(0, 30),
    st.sampled_from([MICROSECOND, timedelta.max]),
)


@windows
@pytest.mark.parametrize("ordered", [True, False])
@given(data=st.data(), items=keyed_values(), wait=waits)
def test_allowed_lateness(windows, ordered, data, items, wait):
    kind, lateness = data.draw(windows), data.draw(latenesses)
    out = run(
        items,
        lambda up: win.collect_window(
            "step",
            up,
            clock(wait, allowed_lateness=lateness),
            kind.windower(),
            ordered=ordered,
        ),
        batch_size=data.draw(st.integers(1, 31)),
        workers=data.draw(st.integers(1, 3)),
    )
    for key, got in out.items():
        values = [value for k, value in items if k == key]
        expected = kind.expected(values, wait, ordered=ordered, lateness=lateness)
        assert got.late == expected.late
        assert last_results(got) == last_results(expected)


def timed(items, elapsed, now):
    """Let time go by before each item; it stands still meanwhile."""
    now.now = NOW
    for item, span in zip(items, elapsed, strict=True):
        now.advance(span)
        yield item


def join_sides(up, *args, **kwargs):
    sides = [
        op.filter_value(f"side_{i}", up, lambda value, i=i: value.number % 2 == i)
        for i in (0, 1)
    ]
    return win.join_window("step", *args, *sides, **kwargs)


JOINS = (
    lambda up, clock, windower, ordered: join_sides(
        up, clock, windower, emit_mode="running", ordered=ordered
    ),
    lambda up, clock, windower, ordered: join_sides(
        up, clock, windower, insert_mode="first", ordered=ordered
    ),
)

all_steps = pytest.mark.parametrize(
    "add_steps",
    [
        pytest.param(
            lambda up, clock, windower, ordered: win.collect_window(
                "step", up, clock, windower, ordered=ordered
            ),
            id="collect_window",
        ),
        pytest.param(
            lambda up, clock, windower, ordered: win.aggregate_window(
                "step",
                up,
                clock,
                windower,
                {"n": agg.count(), "first": agg.first(), "last": agg.last()},
                ordered,
            ),
            id="aggregate_window",
        ),
        pytest.param(
            lambda up, clock, windower, _ordered: win.count_window(
                "step", op.key_rm("key_rm", up), clock, windower, lambda _value: "a"
            ),
            id="count_window",
        ),
        pytest.param(JOINS[0], id="join_window"),
        pytest.param(JOINS[1], id="join_window-final"),
    ],
)


@windows
@all_steps
@given(data=st.data(), items=keyed_values(), wait=waits)
def test_native_form_is_as_composed(windows, add_steps, data, items, wait):
    """To the last detail: what comes out again after late values, and when."""
    kind, lateness = data.draw(windows), data.draw(latenesses)
    ordered = data.draw(st.booleans())
    spans = st.lists(seconds(-5, 20), min_size=len(items), max_size=len(items))
    elapsed = data.draw(spans)
    # The sides of a join are partitions of their own, unless it is composed.
    scopes = ["key"] if add_steps in JOINS else ["key", "stream"]
    scope = data.draw(st.sampled_from(scopes))
    now = TimeTestingGetter(NOW)

    def outputs(*, optimize):
        return run(
            timed(items, elapsed, now),
            lambda up: add_steps(
                up,
                clock(wait, now.get, allowed_lateness=lateness, scope=scope),
                kind.windower(),
                ordered,
            ),
            1,
            1,
            optimize=optimize,
        )

    assert outputs(optimize=True) == outputs(optimize=False)


def first_and_last(values):
    """By time; those with the same time are in the order of their numbers."""
    in_order = sorted(sorted(values), key=ts)
    return in_order[0], in_order[-1]


@windows
@given(data=st.data(), items=keyed_values(), wait=waits, lateness=latenesses)
def test_first_and_last_are_by_time(windows, data, items, wait, lateness):
    """In ordered windows, though values that are late come after later ones."""
    kind = data.draw(windows)
    aggregators = {"first": agg.first(), "last": agg.last()}

    def add_steps(up):
        return win.aggregate_window(
            "step",
            up,
            clock(wait, allowed_lateness=lateness),
            kind.windower(),
            aggregators,
        )

    for key, got in run(items, add_steps, data.draw(st.integers(1, 31)), 1).items():
        values = [value for k, value in items if k == key]
        expected = kind.expected(values, wait, ordered=True, lateness=lateness)
        ends = last_results(expected, first_and_last)
        assert last_results(got, lambda each: (each["first"], each["last"])) == ends


@windows
@given(data=st.data(), items=keyed_values(), wait=waits)
def test_join(windows, data, items, wait):
    """Each side of a join in which everything is kept is a list of its own."""
    kind = data.draw(windows)

    def add_steps(up):
        sides = [
            op.filter_value(f"side_{i}", up, lambda value, i=i: value.number % 2 == i)
            for i in (0, 1)
        ]
        return win.join_window(
            "step", clock(wait), kind.windower(), *sides, insert_mode="product"
        )

    # In one batch: the order in which sides arrive is not promised otherwise.
    for key, got in run(items, add_steps, len(items) + 1, 1).items():
        values = [value for k, value in items if k == key]
        # The sides of a batch arrive one after another.
        values.sort(key=lambda value: value.number % 2)
        expected = kind.expected(values, wait, ordered=True)
        assert (got.late, got.meta) == (expected.late, expected.meta)
        rows = [
            (window_id, (left, right))
            for window_id, in_window in expected.down
            for left in [each for each in in_window if each.number % 2 == 0] or [None]
            for right in [each for each in in_window if each.number % 2 == 1] or [None]
        ]
        assert got.down == rows


class Batch(NamedTuple):
    """What happens to one key: time goes by, then values arrive."""

    elapsed: timedelta
    is_notified: bool
    is_resumed: bool
    timestamps: list[datetime]


batches = st.lists(
    st.builds(
        Batch,
        seconds(-5, 20),
        st.booleans(),
        st.booleans(),
        st.lists(moments, min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=8,
)


def play(batches, now, build):
    """Call the object of a key as an engine with these batches would.

    Returns:
        The values as they arrived, and all events.
    """
    logic = build(None)
    values, events = [], []
    # For the object of a key, time doesn't go back. It begins anew with a resume.
    elapsed, latest = timedelta(), now.get()
    for batch in batches:
        if batch.is_resumed:
            logic = build(pickle.loads(pickle.dumps(logic.snapshot())))  # noqa: S301
            latest = now.get()
        # A key is there only once it has a value.
        if values:
            now.advance(batch.elapsed)
            elapsed += max(now.get() - latest, timedelta())
            latest = max(now.get(), latest)
            if batch.is_notified:
                events += logic.on_notify()[0]
        arrived = [
            Value(len(values) + i, timestamp, NOW + elapsed)
            for i, timestamp in enumerate(batch.timestamps)
        ]
        values += arrived
        events += logic.on_batch(arrived)[0]
    # Each timer that comes makes progress, so that there is an end of them.
    for due in islice(iter(logic.notify_at, None), 1000):
        now.now = max(due, now.get())
        events += logic.on_notify()[0]
        next_due = logic.notify_at()
        assert next_due is None or next_due > due
    events += logic.on_eof()[0]
    return values, events


@windows
@pytest.mark.parametrize("ordered", [True, False])
@with_driver
@given(data=st.data(), batches=batches)
def test_time_goes_by(driver, windows, ordered, data, batches):
    kind, wait = data.draw(windows), data.draw(waits)
    lateness = data.draw(latenesses)
    now = TimeTestingGetter(NOW)

    def build(resume_state):
        return driver(
            lambda up: win.collect_window(
                "step",
                up,
                clock(wait, now.get, allowed_lateness=lateness),
                kind.windower(),
                ordered=ordered,
            ),
            resume_state,
        )

    values, events = play(batches, now, build)
    got = Expected(
        *(
            [(window_id, each) for to, window_id, each in events if to == output]
            for output in Expected._fields
        )
    )
    expected = kind.expected(values, wait, ordered=ordered, lateness=lateness)
    if lateness:
        assert got.late == expected.late
        assert last_results(got) == last_results(expected)
    elif ordered:
        assert got == expected
    else:
        assert got.sorted() == expected.sorted()
