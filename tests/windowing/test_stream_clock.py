"""One watermark for the whole stream: `EventClock` with ``scope="stream"``."""

from __future__ import annotations

import pickle
import sys
from datetime import timedelta
from functools import partial
from time import sleep

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.testing import TestingSink, TimeTestingGetter, cluster_main, run_main

SECOND = timedelta(seconds=1)


@pytest.fixture
def stream_clock(event_clock):
    return partial(event_clock, scope="stream")


class Partition(StatefulSourcePartition):
    """Hands out one step each time it is asked: a batch, or a function to call."""

    def __init__(self, steps):
        self.steps = iter(steps)

    def next_batch(self):
        step = next(self.steps)
        return (step() or []) if callable(step) else step

    def snapshot(self):
        return None


class Source(FixedPartitionedSource):
    def __init__(self, **parts):
        self.parts = parts

    def list_parts(self):
        return list(self.parts)

    def build_part(self, _step_id, name, _resume_state):
        return Partition(self.parts[name])


def collected(source, clock, windower, workers=1, between=lambda up: up, **kwargs):
    """What comes out of `collect_window`, and which values are late."""
    flow = Dataflow("flow")
    up = between(op.input("inp", flow, source))
    out = win.collect_window("step", up, clock, windower, **kwargs)
    down, late = [], []
    op.output("down", out.down, TestingSink(down))
    op.output("late", out.late, TestingSink(late))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    return sorted(down, key=lambda item: item[0]), sorted(late)


def test_quiet_key_closes_because_of_another(run, stream_clock, tumbling):
    clock = stream_clock(allowed_lateness=timedelta(hours=1))
    items = [("a", 3), ("b", 75), ("a", 5)]
    out = run(items, lambda up: win.collect_window("step", up, clock, tumbling))
    # It comes out again with its late value: so it had closed before.
    assert out.down == [("a", (0, [3])), ("a", (0, [3, 5])), ("b", (7, [75]))]


def test_value_is_late_by_what_other_keys_have_seen(run, stream_clock, tumbling):
    items = [("a", 3), ("b", 75), ("a", 5), ("c", 74), ("a", 76)]
    out = run(
        items, lambda up: win.collect_window("step", up, stream_clock(), tumbling)
    )
    assert out.down == [("a", (0, [3])), ("a", (7, [76])), ("b", (7, [75]))]
    assert out.late == [("a", (0, 5)), ("c", (7, 74))]


def test_forgotten_key_does_not_open_its_window_again(run, stream_clock, session):
    items = [("a", 3), ("b", 75), ("a", 4), ("a", 75)]
    out = run(items, lambda up: win.collect_window("step", up, stream_clock(), session))
    assert [each for key, (_, each) in out.down if key == "a"] == [[3], [75]]
    assert out.late == [("a", (win.LATE_SESSION_ID, 4))]


def test_sessions_are_named_by_the_time_of_their_first_value(
    run, stream_clock, session, at
):
    items = [("a", 20), ("b", 100), ("a", 101), ("a", 105)]
    out = run(
        items,
        lambda up: win.collect_window("step", up, stream_clock(), session),
    )

    def named(seconds):
        return int(at(seconds).timestamp()) * 1_000_000

    assert out.down == [
        ("a", (named(20), [20])),
        ("a", (named(101), [101, 105])),
        ("b", (named(100), [100])),
    ]


def test_merged_sessions_keep_the_name_of_the_earliest(run, stream_clock, session, at):
    items = [("a", 40), ("a", 20), ("a", 30)]
    out = run(
        items,
        lambda up: win.collect_window(
            "step", up, stream_clock(wait=60), session, ordered=False
        ),
    )
    first, merged = (int(at(each).timestamp()) * 1_000_000 for each in (20, 40))
    assert [window_id for _, (window_id, _) in out.down] == [first]
    [(_, (_, metadata))] = out.meta
    assert metadata == win.WindowMetadata(at(20), at(40), {merged})


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_partition_that_runs_ahead_makes_nothing_late(stream_clock, tumbling, workers):
    ahead = [[("a", 1000 * n)] for n in range(1, 20)]
    behind = [[("b", n)] for n in range(1, 20)]
    source = Source(ahead=ahead, behind=behind)
    down, late = collected(source, stream_clock(), tumbling, workers)
    assert late == []
    assert [each for key, (_, each) in down if key == "b"] == [
        list(range(1, 10)),
        list(range(10, 20)),
    ]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_sides_of_a_join_are_in_step(stream_clock, tumbling, workers):
    flow = Dataflow("flow")
    ahead = op.input("ahead", flow, Source(p=[[("a", 10 * n)] for n in range(10)]))
    behind = op.input("behind", flow, Source(p=[[("a", n)] for n in range(0, 100, 5)]))
    out = win.join_window(
        "step", stream_clock(), tumbling, ahead, behind, insert_mode="product"
    )
    down, late = [], []
    op.output("down", out.down, TestingSink(down))
    op.output("late", out.late, TestingSink(late))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert late == []
    assert down == [
        ("a", (n, (10 * n, behind)))
        for n in range(10)
        for behind in (10 * n, 10 * n + 5)
    ]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_way_through_a_branch_may_run_ahead_of_the_other(
    stream_clock, tumbling, workers
):
    """The two streams of a branch come by one after the other, batch by batch."""

    def parted(up):
        sides = op.branch("branch", up, lambda item: item[1] % 2 == 0)
        return op.merge("merge", sides.trues, sides.falses)

    batch = [("a", n) for n in range(100)]
    _, late = collected(
        Source(p=[batch]), stream_clock(), tumbling, workers, between=parted
    )
    assert late == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_sides_of_a_join_may_come_from_one_partition(stream_clock, tumbling, workers):
    """Also where a worker reads no partition."""
    flow = Dataflow("flow")
    up = op.input("inp", flow, Source(p=[[("a", n)] for n in range(20)]))
    even = op.filter_value("even", up, lambda n: n % 2 == 0)
    odd = op.filter_value("odd", up, lambda n: n % 2 == 1)
    out = win.join_window("step", stream_clock(), tumbling, even, odd)
    down = []
    op.output("down", out.down, TestingSink(down))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert down == [("a", (0, (8, 9))), ("a", (1, (18, 19)))]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_windows_behind_redistribute_close(stream_clock, tumbling, workers):
    """Workers that read no partition send nothing, and hold nobody back."""
    closed = []

    def is_on():
        # Ends when a window has come out, which is before the end of the input.
        for n in range(10_000):
            if closed:
                return
            yield [("a", 10 * n)]
            sleep(0.001)
        pytest.fail("no window has closed")

    flow = Dataflow("flow")
    up = op.redistribute("spread", op.input("inp", flow, Source(p=is_on())))
    out = win.collect_window("step", up, stream_clock(), tumbling)
    op.output("down", out.down, TestingSink(closed))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert closed[0] == ("a", (0, [0]))


@pytest.mark.parametrize("scope", ["key", "stream"])
def test_key_without_windows_is_let_go(event_clock, tumbling, scope):
    key = "quiet key"
    handles = []

    def count(item):
        handles.append(sys.getrefcount(key))
        return item

    items = [[(key, 3)], [("b", 75)], [("b", 76)], [("b", 77)]]
    flow = Dataflow("flow")
    up = op.map("count", op.input("inp", flow, Source(p=items)), count)
    out = win.collect_window("step", up, event_clock(scope=scope), tumbling)
    # What comes out holds the key, too.
    op.output("down", op.map("drop", out.down, lambda _: None), TestingSink([]))
    run_main(flow)
    is_forgotten = handles[-1] < handles[1]
    assert is_forgotten == (scope == "stream")


def test_partition_that_has_ended_holds_nothing_back(stream_clock, tumbling):
    behind = [[("b", 1)], [], [], [("b", 50)], [("b", 20)]]
    source = Source(ended=[[("a", 10)]], behind=behind)
    _, late = collected(source, stream_clock(), tumbling)
    assert late == [("b", (2, 20))]


@pytest.mark.parametrize("elapsed", [timedelta(seconds=59), timedelta(seconds=60)])
@pytest.mark.parametrize("idle_timeout", [None, timedelta(seconds=60)])
def test_partition_that_brings_nothing_holds_back_for_a_minute(
    stream_clock, tumbling, at, elapsed, idle_timeout
):
    now = TimeTestingGetter(at(0))
    is_over = []

    def quiet():
        while not is_over:
            yield []

    # Only time that passes while somebody looks makes a partition idle.
    busy = [
        *([("b", 1)], lambda: now.advance(elapsed / 6)) * 6,
        [("b", 500)],
        [("b", 400)],
        lambda: is_over.append(True),
    ]
    source = Source(busy=busy, quiet=quiet())
    clock = stream_clock(idle_timeout=idle_timeout)
    clock.now_getter = now.get
    _, late = collected(source, clock, tumbling)
    assert late == ([] if elapsed < timedelta(seconds=60) else [("b", (40, 400))])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])
def test_windows_of_a_stream_that_falls_silent_close(at, tumbling, workers, optimize):
    """As system time passes, though nothing comes any more."""
    down = []
    clock = win.EventClock(
        at,
        timedelta(milliseconds=20),
        scope="stream",
        idle_timeout=timedelta(milliseconds=100),
    )
    windower = win.TumblingWindower(timedelta(milliseconds=50), at(0))

    def silent():
        while not down:
            yield []

    flow = Dataflow("flow")
    source = Source(busy=[[("a", 0)]], quiet=silent())
    up = op.input("inp", flow, source)
    out = win.collect_window("step", up, clock, windower)
    op.output("down", out.down, TestingSink(down))
    cluster_main(flow, [], 0, worker_count_per_proc=workers, optimize=optimize)
    assert down == [("a", (0, [0]))]


def test_state_of_all_keys_resumes(driver, stream_clock, session):
    def add_steps(up):
        return win.collect_window("step", up, stream_clock(wait=5), session)

    def events(logic, values):
        return list(logic.on_batch(values)[0])

    before = [("a", (3, "x")), ("b", (9, "x")), ("c", (60, "x"))]
    after = [("c", (58, "x")), ("a", (54, "late")), ("b", (90, "x"))]
    logic = driver(add_steps)
    events(logic, before)
    state = pickle.dumps(logic.snapshot())
    expected = [*events(logic, after), *logic.on_eof()[0]]
    resumed = driver(add_steps, pickle.loads(state))  # noqa: S301
    assert [*events(resumed, after), *resumed.on_eof()[0]] == expected
    assert ("a", ("late", win.LATE_SESSION_ID, (54, "late"))) in expected


def test_only_keys_with_open_windows_are_remembered(driver, stream_clock, session):
    logic = driver(lambda up: win.collect_window("step", up, stream_clock(), session))
    logic.on_batch([(str(n), n) for n in range(100)])
    assert list(logic.snapshot().keys) == [str(n) for n in range(89, 100)]


class EverySecond(win.Windower):
    """A windower of a user: it runs composed."""

    def build(self, resume_state):
        return EverySecondLogic(resume_state or [])


class EverySecondLogic(win.WindowerLogic):
    def __init__(self, opened):
        self.opened = opened

    def open_for(self, timestamp):
        window_id = int(timestamp.timestamp())
        if window_id not in self.opened:
            self.opened.append(window_id)
        return [window_id]

    def late_for(self, timestamp):
        return [int(timestamp.timestamp())]

    def merged(self):
        return []

    def close_for(self, watermark):
        closed = [each for each in self.opened if each < watermark.timestamp()]
        self.opened = [each for each in self.opened if each not in closed]
        return [(each, win.WindowMetadata(watermark, watermark)) for each in closed]

    def notify_at(self):
        return None

    def is_empty(self):
        return not self.opened

    def snapshot(self):
        return list(self.opened)


def test_windower_of_a_user(run, stream_clock, at):
    items = [("a", 1), ("b", 5), ("a", 2), ("a", 7)]
    out = run(
        items,
        lambda up: win.collect_window("step", up, stream_clock(), EverySecond()),
    )
    start = int(at(0).timestamp())
    assert out.down == [
        ("a", (start + 1, [1])),
        ("a", (start + 7, [7])),
        ("b", (start + 5, [5])),
    ]
    assert out.late == [("a", (start + 2, 2))]


def test_error_of_the_getter_names_step_and_key(stream_clock, tumbling):
    flow = Dataflow("flow")
    up = op.input("inp", flow, Source(p=[[("a", 1), ("b", "x")]]))
    out = win.collect_window("step", up, stream_clock(), tumbling)
    op.output("out", out.down, TestingSink([]))
    with pytest.raises(MillstreamRuntimeError) as caught:
        run_main(flow)
    assert "`flow.step`" in str(caught.value)
    assert "key `b`" in str(caught.value)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("kwargs", "error", "sentence"),
    [
        (
            {"scope": "flow"},
            ValueError,
            '`scope` of an `EventClock` must be "key" or "stream"; got \'flow\'',
        ),
        (
            {"idle_timeout": SECOND},
            ValueError,
            (
                "`idle_timeout` of an `EventClock` is for one watermark of several "
                'partitions; give it `scope="stream"` as well'
            ),
        ),
        (
            {"scope": "stream", "idle_timeout": timedelta()},
            ValueError,
            (
                "`idle_timeout` of an `EventClock` must be positive; "
                "got `datetime.timedelta(0)`"
            ),
        ),
        (
            {"scope": "stream", "idle_timeout": 60},
            TypeError,
            (
                "`idle_timeout` of an `EventClock` must be a `datetime.timedelta`; "
                "got an `int`"
            ),
        ),
    ],
)
def test_impossible_clock_is_refused(event_clock, kwargs, error, sentence):
    with pytest.raises(error) as caught:
        event_clock(**kwargs)
    assert str(caught.value) == sentence
