"""What comes out is the same, whether or not the run is stopped and resumed on the way.

Each operator is run once from end to end without a store, and once with stops: crashes
and ends of the source at random places, and random numbers of workers between them.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import millstream.operators as op
import millstream.operators.aggregators as agg
import millstream.operators.windowing as win
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.operators import StatefulBatchLogic, StatefulLogic
from millstream.outputs import FixedPartitionedSink, StatefulSinkPartition
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import (
    TestingSink,
    TestingSource,
    TimeTestingGetter,
    cluster_main,
)

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
EACH_BATCH = timedelta()
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108

# There are many operators, and an example is several runs.
few = settings(max_examples=max(settings.default.max_examples // 5, 5))

forms = pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])


class Value(NamedTuple):
    number: int
    second: float


def seconds(number):
    return timedelta(seconds=number)


class Stop(NamedTuple):
    """Where a run stops, and what is different when it goes on."""

    before: int
    is_crash: bool
    workers: int
    interval: timedelta
    downtime: timedelta


def run(flow, config, workers=1, epoch_interval=EACH_BATCH, **kwargs):
    cluster_main(
        flow,
        [],
        0,
        worker_count_per_proc=workers,
        epoch_interval=epoch_interval,
        recovery_config=config,
        **kwargs,
    )


class Case(NamedTuple):
    items: list[tuple[str, Value]]
    batch_size: int
    files: int
    workers: int
    interval: timedelta
    stops: list[Stop]


def cases(*, crashes_only=False, batch_size=None, intervals=(0,)):
    pairs = st.tuples(
        st.sampled_from("abcd"),
        st.builds(Value, st.integers(-3, 9), st.integers(-10, 60)),
    )
    workers = st.integers(1, 3)
    interval = st.sampled_from(intervals).map(seconds)
    stop = st.builds(
        Stop,
        before=st.integers(0, 24),
        is_crash=st.just(value=True) if crashes_only else st.booleans(),
        workers=workers,
        interval=interval,
        downtime=st.sampled_from([0, 6, 3600, -3600]).map(seconds),
    )
    return st.builds(
        Case,
        st.lists(pairs, max_size=24),
        st.integers(1, 8) if batch_size is None else st.just(batch_size),
        st.integers(1, 3),
        workers,
        interval,
        st.lists(stop, min_size=1, max_size=3).map(sorted),
    )


def with_stops(case, make):
    """The items, and something between them wherever the run is to stop."""
    items = list(case.items)
    for stop in reversed(case.stops):
        items.insert(min(stop.before, len(case.items)), make(stop))
    return items


def sentinel(stop):
    return TestingSource.ABORT() if stop.is_crash else TestingSource.EOF()


def pause(_stop):
    # It ends a batch, as a stop does.
    return TestingSource.PAUSE(timedelta())


class ListSink(FixedPartitionedSink):
    """A list, from which a resume takes what was written after the last commit.

    With several workers, an epoch may have been written and not committed at a crash.
    """

    def __init__(self, lists):
        self.lists = lists

    def list_parts(self):
        return list(self.lists)

    def part_fn(self, item_key):
        return ord(item_key[-1])

    def build_part(self, _step_id, for_part, resume_state):
        return ListSinkPartition(self.lists[for_part], resume_state or 0)


class ListSinkPartition(StatefulSinkPartition):
    def __init__(self, ls, length):
        self.ls = ls
        del ls[length:]

    def write_batch(self, values):
        self.ls += values

    def snapshot(self):
        return len(self.ls)


class Runs:
    """The same dataflow, run again and again."""

    def __init__(self, items, batch_size, add_steps, **kwargs):
        self.sinks = {}
        self.flow = Dataflow("flow")
        up = op.input("inp", self.flow, TestingSource(items, batch_size))
        added = add_steps(up)
        streams = (
            {name: getattr(added, name) for name in ("down", "late", "meta")}
            if isinstance(added, win.WindowOut)
            else {"out": added}
        )
        for name, stream in streams.items():
            sink = self.sinks[name] = ListSink({"even": [], "odd": []})
            with_keys = op.map(f"{name}_items", stream, lambda item: (item[0], item))
            op.output(name, with_keys, sink)
        self.kwargs = kwargs

    def run(self, workers, interval, config=None):
        run(self.flow, config, workers, interval, **self.kwargs)

    def by_key(self):
        keyed: dict[tuple[str, str], list[object]] = {}
        for name, sink in self.sinks.items():
            for key, value in chain(*sink.lists.values()):
                keyed.setdefault((name, key), []).append(value)
        return keyed


def uninterrupted(case, add_steps, **kwargs):
    runs = Runs(with_stops(case, pause), case.batch_size, add_steps, **kwargs)
    runs.run(1, EACH_BATCH)
    return runs.by_key()


def with_restarts(case, add_steps, now=None, **kwargs):
    items = with_stops(case, sentinel)
    runs = Runs(items, case.batch_size, add_steps, **kwargs)
    with TemporaryDirectory(dir=MEMORY) as directory:
        init_db_dir(directory, case.files)
        config = RecoveryConfig(directory)
        runs.run(case.workers, case.interval, config)
        for stop in case.stops:
            if now is not None:
                now.advance(stop.downtime)
            runs.run(stop.workers, stop.interval, config)
    return runs.by_key()


class Sum(StatefulBatchLogic):
    """Begins anew at each multiple of four."""

    def __init__(self, resume_state):
        self.total = resume_state or 0

    def on_batch(self, values):
        totals = []
        for value in values:
            self.total += value.number
            totals.append(self.total)
            self.total = 0 if value.number == 4 else self.total
        return totals, values[-1].number == 4

    def snapshot(self):
        return self.total


class Seen(StatefulLogic):
    def __init__(self, resume_state):
        self.seen = resume_state or []

    def on_item(self, value):
        self.seen.append(value)
        return list(self.seen), len(self.seen) == 3

    def snapshot(self):
        return list(self.seen)


def largest_yet(state, value):
    state = value if state is None else max(state, value)
    return None if value.number == 9 else state, (state, value)


def with_the_last(state, value):
    return value, [state, value][: value.number % 3]


AGGREGATORS = {
    "count": agg.count(),
    "sum": agg.sum(lambda value: value.number),
    "mean": agg.mean(lambda value: value.number / 3),
    "min": agg.min(),
    "max": agg.max(lambda value: value.second),
    "first": agg.first(),
    "last": agg.last(lambda value: value.second),
}


def at_the_end(name, step):
    """An operator that emits at the end of the input, so there must be one only."""
    return pytest.param(step, True, id=name)


def on_the_way(name, step):
    return pytest.param(step, False, id=name)


@forms
@pytest.mark.parametrize(
    ("add_steps", "crashes_only"),
    [
        on_the_way("stateful_batch", lambda up: op.stateful_batch("step", up, Sum)),
        on_the_way("stateful", lambda up: op.stateful("step", up, Seen)),
        on_the_way("stateful_map", lambda up: op.stateful_map("step", up, largest_yet)),
        on_the_way(
            "stateful_flat_map",
            lambda up: op.stateful_flat_map("step", up, with_the_last),
        ),
        at_the_end(
            "collect", lambda up: op.collect("step", up, timedelta(days=1), max_size=3)
        ),
        at_the_end(
            "fold_final",
            lambda up: op.fold_final("step", up, list, lambda seen, v: [*seen, v]),
        ),
        at_the_end(
            "fold_final-in-place",
            lambda up: op.fold_final(
                "step", up, list, lambda ls, v: ls.append(v) or ls
            ),
        ),
        at_the_end(
            "reduce_final",
            lambda up: op.reduce_final(
                "step", up, lambda a, b: Value(a.number + b.number, b.second)
            ),
        ),
        at_the_end(
            "count_final",
            lambda up: op.count_final("step", up, lambda item: str(item[1].number)),
        ),
        at_the_end("max_final", lambda up: op.max_final("step", up)),
        at_the_end("max_final-by", lambda up: op.max_final("step", up, lambda v: v[1])),
        at_the_end("min_final", lambda up: op.min_final("step", up)),
        at_the_end("min_final-by", lambda up: op.min_final("step", up, lambda v: v[1])),
        at_the_end(
            "aggregate_final", lambda up: op.aggregate_final("step", up, AGGREGATORS)
        ),
    ],
)
@few
@given(data=st.data())
def test_state(add_steps, crashes_only, optimize, data):
    intervals = (0, 0, 0.001, 10)
    case = data.draw(cases(crashes_only=crashes_only, intervals=intervals))
    got = with_restarts(case, add_steps, optimize=optimize)
    assert got == uninterrupted(case, add_steps, optimize=optimize)


def sides_of(up):
    return [
        op.filter_value(f"side_{i}", up, lambda value, i=i: value.number % 2 == i)
        for i in (0, 1)
    ]


insert_modes = pytest.mark.parametrize("insert_mode", ["first", "last", "product"])
emit_modes = pytest.mark.parametrize("emit_mode", ["complete", "final", "running"])


@forms
@insert_modes
@emit_modes
@few
@given(data=st.data())
def test_join(insert_mode, emit_mode, optimize, data):
    # In which order the sides of a batch arrive is not promised.
    case = data.draw(cases(crashes_only=emit_mode == "final", batch_size=1))

    def add_steps(up):
        return op.join(
            "step", *sides_of(up), insert_mode=insert_mode, emit_mode=emit_mode
        )

    got = with_restarts(case, add_steps, optimize=optimize)
    assert got == uninterrupted(case, add_steps, optimize=optimize)


class Total(win.WindowLogic):
    def __init__(self, resume_state):
        self.numbers = resume_state or []

    def on_value(self, value):
        self.numbers.append(value.number)
        return [sum(self.numbers)]

    def on_merge(self, original):
        self.numbers += original.numbers
        return ["merged"]

    def on_close(self):
        return [tuple(self.numbers)]

    def snapshot(self):
        return list(self.numbers)


windowers = st.one_of(
    st.builds(
        win.TumblingWindower,
        st.integers(1, 30).map(seconds),
        st.integers(-9, 9).map(lambda second: START + seconds(second)),
    ),
    st.builds(
        lambda offset, more: win.SlidingWindower(
            seconds(offset + more), seconds(offset), START
        ),
        st.integers(1, 10),
        st.integers(0, 20),
    ),
    st.builds(win.SessionWindower, st.integers(0, 10).map(seconds)),
)


class Windows(NamedTuple):
    """How values are put into windows."""

    windower: win.Windower
    wait: timedelta
    lateness: timedelta
    scope: str
    ordered: bool
    modes: dict[str, str]

    def args(self, now):
        clock = win.EventClock(
            lambda value: START + seconds(value.second),
            self.wait,
            now.get,
            allowed_lateness=self.lateness,
            scope=self.scope,
        )
        return clock, self.windower


kinds = st.builds(
    Windows,
    windowers,
    st.integers(0, 30).map(seconds),
    st.sampled_from([0, 0, 5, 30]).map(seconds),
    st.sampled_from(["key", "stream"]),
    st.booleans(),
    st.fixed_dictionaries(
        {
            "insert_mode": st.sampled_from(["first", "last", "product"]),
            "emit_mode": st.sampled_from(["complete", "final", "running"]),
        }
    ),
)

CENTURY = win.TumblingWindower(
    timedelta(days=36525), datetime(2000, 1, 1, tzinfo=timezone.utc)
)

WINDOWED = {
    "window": lambda up, kind, *args: win.window(
        "step", up, *args, Total, kind.ordered
    ),
    "fold_window": lambda up, kind, *args: win.fold_window(
        "step",
        up,
        *args,
        list,
        lambda ls, value: ls.append(value) or ls,
        lambda ls, others: ls.extend(others) or ls,
        kind.ordered,
    ),
    "collect_window": lambda up, kind, *args: win.collect_window(
        "step", up, *args, ordered=kind.ordered
    ),
    "collect_window-system": lambda up, kind, *_args: win.collect_window(
        "step", up, win.SystemClock(), CENTURY, ordered=kind.ordered
    ),
    "collect_window-set": lambda up, kind, *args: win.collect_window(
        "step", up, *args, into=set, ordered=kind.ordered
    ),
    "count_window": lambda up, _kind, *args: win.count_window(
        "step", op.key_rm("key_rm", up), *args, lambda value: str(value.number)
    ),
    "reduce_window": lambda up, _kind, *args: win.reduce_window(
        "step", up, *args, lambda a, b: Value(a.number - b.number, b.second)
    ),
    "max_window": lambda up, _kind, *args: win.max_window("step", up, *args),
    "min_window": lambda up, _kind, *args: win.min_window(
        "step", up, *args, lambda value: value.number
    ),
    "aggregate_window": lambda up, kind, *args: win.aggregate_window(
        "step", up, *args, AGGREGATORS, kind.ordered
    ),
    "join_window": lambda up, kind, *args: win.join_window(
        "step", *args, *sides_of(up), **kind.modes, ordered=kind.ordered
    ),
}


@forms
@pytest.mark.parametrize("operator", WINDOWED)
@few
@given(data=st.data())
def test_windows(operator, optimize, data):
    """Whatever the time between two runs, and if the clock is set back: D12."""
    # The sides of a join arrive in any order, and have watermarks of their own if the
    # stream has one.
    is_join = operator == "join_window"
    case = data.draw(cases(crashes_only=True, batch_size=1 if is_join else None))
    kind = data.draw(kinds)
    assume(not (is_join and kind.scope == "stream"))
    now = TimeTestingGetter(NOW)

    def add_steps(up):
        return WINDOWED[operator](up, kind, *kind.args(now))

    expected = uninterrupted(case, add_steps, optimize=optimize)
    assert with_restarts(case, add_steps, now, optimize=optimize) == expected


@forms
@few
@given(case=cases())
def test_nothing_is_written_again(optimize, case):
    """All before the stop is worked off and kept, with one worker."""
    flow, out = Dataflow("flow"), []
    source = TestingSource(with_stops(case, sentinel), case.batch_size)
    up = op.input("inp", flow, source)
    counts = op.stateful_map("step", up, lambda n, value: ((n or 0) + 1, value))
    op.output("out", counts, TestingSink(out))
    with TemporaryDirectory(dir=MEMORY) as directory:
        init_db_dir(directory, case.files)
        for _ in range(len(case.stops) + 1):
            run(flow, RecoveryConfig(directory), optimize=optimize)
    assert sorted(out) == sorted(case.items)
