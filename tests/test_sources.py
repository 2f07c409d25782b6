"""How the engine reads sources: which, when, on which worker, and how it stops."""

import itertools
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone, tzinfo

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.inputs import (
    AbortExecution,
    DynamicSource,
    FixedPartitionedSource,
    StatefulSourcePartition,
    StatelessSourcePartition,
)
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main

HOUR = timedelta(hours=1)


def now():
    return datetime.now(timezone.utc)


class Batches:
    """Emits given batches; subclasses add what a test is about."""

    def __init__(self, batches=()):
        self.batches = iter(batches)
        self.closed = 0

    def next_batch(self):
        return next(self.batches)

    def close(self):
        self.closed += 1


class BatchesPartition(Batches, StatefulSourcePartition):
    def snapshot(self):
        return None


class WorkersPartition(Batches, StatelessSourcePartition):
    pass


class PartsSource(FixedPartitionedSource):
    """Has given partitions, by name, and notes how they are built."""

    def __init__(self, parts):
        self.parts = parts
        self.built = []

    def list_parts(self):
        return list(self.parts)

    def build_part(self, step_id, for_part, resume_state):
        self.built.append((step_id, for_part, resume_state, threading.get_ident()))
        return self.parts[for_part]


class WorkersSource(DynamicSource):
    """Makes the partition of each worker by a function of its index and their count."""

    def __init__(self, make):
        self.make = make
        self.built = []
        self.parts = []

    def build(self, step_id, worker_index, worker_count):
        self.built.append((step_id, worker_index, worker_count))
        part = self.make(worker_index, worker_count)
        self.parts.append(part)
        return part


def reading_flow(out, *sources):
    """A flow `reads` with an input `inp_0`, `inp_1`… for each source."""
    flow = Dataflow("reads")
    streams = [
        op.input(f"inp_{index}", flow, source) for index, source in enumerate(sources)
    ]
    op.output("out", op.merge("merge", *streams), TestingSink(out))
    return flow


def idle():
    """The batches of a source that has nothing, and doesn't end."""
    return itertools.repeat([])


def counting(name, count):
    """Batches of one item each, ``(name, 0)`` and so on."""
    return ([(name, index)] for index in range(count))


# What is read.


def test_every_item_of_every_partition_is_read_once(entry_point):
    parts = {
        f"part_{number}": BatchesPartition(counting(number, 100 + number))
        for number in range(5)
    }
    out = []
    flow = Dataflow("reads")
    s = op.input("inp", flow, PartsSource(parts))
    op.output("out", op.redistribute("spread", s), TestingSink(out))
    entry_point(flow)
    assert sorted(out) == [
        (number, index) for number in range(5) for index in range(100 + number)
    ]
    assert [part.closed for part in parts.values()] == [1] * 5


def test_items_of_a_partition_stay_in_order(entry_point):
    out = []
    parts = {name: BatchesPartition(counting(name, 100)) for name in "ab"}
    entry_point(reading_flow(out, PartsSource(parts)))
    for name in "ab":
        assert [index for of, index in out if of == name] == list(range(100))


def test_partitions_are_built_once_with_the_full_step_id(entry_point):
    source = PartsSource({"a": BatchesPartition(), "b": BatchesPartition()})
    entry_point(reading_flow([], source))
    assert sorted(call[:3] for call in source.built) == [
        ("reads.inp_0", "a", None),
        ("reads.inp_0", "b", None),
    ]


def test_partitions_are_spread_evenly_over_workers():
    source = PartsSource({name: BatchesPartition() for name in "abcdef"})
    cluster_main(reading_flow([], source), None, 0, worker_count_per_proc=3)
    threads = Counter(thread for *_, thread in source.built)
    assert sorted(threads.values()) == [2, 2, 2]


def test_more_workers_than_partitions():
    out = []
    source = PartsSource({"a": BatchesPartition([[1], [2]])})
    cluster_main(reading_flow(out, source), None, 0, worker_count_per_proc=3)
    assert out == [1, 2]


@pytest.mark.parametrize("worker_count", [1, 2, 3])
def test_dynamic_source_is_built_on_each_worker(worker_count):
    out = []
    source = WorkersSource(
        lambda index, count: WorkersPartition(
            [number] for number in range(index, 50, count)
        )
    )
    flow = reading_flow(out, source)
    cluster_main(flow, None, 0, worker_count_per_proc=worker_count)
    assert sorted(source.built) == [
        ("reads.inp_0", index, worker_count) for index in range(worker_count)
    ]
    assert sorted(out) == list(range(50))
    assert [part.closed for part in source.parts] == [1] * worker_count


def test_dynamic_source_with_run_main_has_one_worker():
    source = WorkersSource(lambda *_: WorkersPartition([]))
    run_main(reading_flow([], source))
    assert source.built == [("reads.inp_0", 0, 1)]


def test_source_without_partitions_ends_at_once(entry_point):
    out = []
    source = PartsSource({})
    entry_point(reading_flow(out, source, TestingSource([1])))
    assert out == [1]
    assert source.built == []


def test_partition_that_is_named_twice_is_refused(entry_point):
    source = PartsSource({"a": BatchesPartition([[1]]), "b": BatchesPartition([[2]])})
    source.list_parts = lambda: ["b", "a", "b"]
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == (
        "`list_parts` must name each partition once; got `b` twice"
    )
    assert source.built == []


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, dict.fromkeys, lambda items: (item for item in items)],
    ids=["list", "tuple", "iterator", "dict", "generator"],
)
def test_batches_may_be_any_iterable(entry_point, make):
    out = []
    part = BatchesPartition([make([1, 2]), make([]), make([3])])
    entry_point(reading_flow(out, PartsSource({"a": part})))
    assert out == [1, 2, 3]


def test_end_of_a_partition_does_not_end_the_others(entry_point):
    out = []
    parts = {
        "long": BatchesPartition([number] for number in range(50)),
        "short": BatchesPartition([["short"]]),
        "void": BatchesPartition([]),
    }
    entry_point(reading_flow(out, PartsSource(parts)))
    assert Counter(out) == Counter([*range(50), "short"])


def test_end_of_a_source_does_not_end_the_others(entry_point):
    out = []
    entry_point(reading_flow(out, TestingSource(range(50)), TestingSource(["short"])))
    assert Counter(out) == Counter([*range(50), "short"])


# In which order.


def test_partitions_take_turns_in_the_order_of_their_names():
    out = []
    parts = {name: BatchesPartition(counting(name, 2)) for name in "cab"}
    run_main(reading_flow(out, PartsSource(parts)))
    assert out == [(name, index) for index in range(2) for name in "abc"]


def test_sources_take_turns_in_the_order_of_the_flow():
    out = []
    run_main(reading_flow(out, TestingSource([1, 2, 3]), TestingSource("abc")))
    assert out == [1, "a", 2, "b", 3, "c"]


# When.


class Punctual(Batches):
    """Fails if it is asked before the time that it gave."""

    def __init__(self, batches, delay, zone=timezone.utc):
        super().__init__(batches)
        self.delay = delay
        self.zone = zone
        self.awake_at = None
        self.calls = 0

    def next_batch(self):
        assert now() >= self.awake_at
        return super().next_batch()

    def next_awake(self):
        self.calls += 1
        self.awake_at = (now() + self.delay).astimezone(self.zone)
        return self.awake_at


class PunctualPartition(Punctual, BatchesPartition):
    pass


class PunctualWorkersPartition(Punctual, WorkersPartition):
    pass


class CustomZone(tzinfo):
    def utcoffset(self, _when):
        return timedelta(hours=5, minutes=30)

    def dst(self, _when):
        return timedelta()

    def tzname(self, _when):
        return "custom"


@pytest.mark.parametrize(
    "zone",
    [timezone.utc, timezone(timedelta(0)), timezone(timedelta(hours=-8)), CustomZone()],
    ids=["UTC", "offset of zero", "offset", "custom"],
)
@pytest.mark.parametrize("interval", [timedelta(), timedelta(milliseconds=1), HOUR])
def test_next_awake_is_respected(entry_point, interval, zone):
    out = []
    part = PunctualPartition([[1], [], [2]], timedelta(milliseconds=5), zone)
    flow = reading_flow(out, PartsSource({"a": part}))
    entry_point(flow, epoch_interval=interval)
    assert out == [1, 2]


def test_next_awake_is_called_when_built_and_after_each_batch(entry_point):
    part = PunctualPartition([[1], [], [2]], timedelta())
    entry_point(reading_flow([], PartsSource({"a": part})))
    assert part.calls == 4


def test_next_awake_of_a_dynamic_source_is_respected(entry_point):
    out = []
    delay = timedelta(milliseconds=5)
    source = WorkersSource(lambda *_: PunctualWorkersPartition([[1], [], [2]], delay))
    entry_point(reading_flow(out, source))
    assert sorted(out) == sorted([1, 2] * len(source.parts))


class Asleep(Batches):
    """Fails if it is asked at all within the next hour."""

    def next_batch(self):
        msg = "woken up an hour early"
        raise AssertionError(msg)

    def next_awake(self):
        return now() + HOUR


class AsleepPartition(Asleep, BatchesPartition):
    pass


class AsleepWorkersPartition(Asleep, WorkersPartition):
    pass


class UntilSeenPartition(BatchesPartition):
    """Emits numbers, waits until all are in a list, then stops the execution."""

    def __init__(self, count, out):
        super().__init__([number] for number in range(count))
        self.count = count
        self.out = out

    def next_batch(self):
        batch = next(self.batches, [])
        if not batch and len(self.out) == self.count:
            raise AbortExecution
        return batch


@pytest.mark.parametrize(
    "interval",
    [timedelta(), timedelta(milliseconds=1), None],
    ids=["epoch per batch", "short epochs", "default epochs"],
)
@pytest.mark.parametrize("asleep_first", [True, False])
def test_sleeping_source_does_not_hold_up_another(entry_point, interval, asleep_first):
    out = []
    asleep = AsleepPartition()
    sources = [
        PartsSource({"asleep": asleep}),
        PartsSource({"busy": UntilSeenPartition(100, out)}),
    ]
    if not asleep_first:
        sources.reverse()
    entry_point(reading_flow(out, *sources), epoch_interval=interval)
    assert sorted(out) == list(range(100))
    assert asleep.closed == 1


@pytest.mark.parametrize("interval", [timedelta(), None])
def test_sleeping_partition_does_not_hold_up_another(entry_point, interval):
    out = []
    parts = {"asleep": AsleepPartition(), "busy": UntilSeenPartition(100, out)}
    entry_point(reading_flow(out, PartsSource(parts)), epoch_interval=interval)
    assert sorted(out) == list(range(100))


@pytest.mark.parametrize("interval", [timedelta(), None])
def test_sleeping_dynamic_source_does_not_hold_up_another(entry_point, interval):
    out = []
    flow = reading_flow(
        out,
        WorkersSource(lambda *_: AsleepWorkersPartition()),
        PartsSource({"busy": UntilSeenPartition(100, out)}),
    )
    entry_point(flow, epoch_interval=interval)
    assert sorted(out) == list(range(100))


@pytest.mark.parametrize("interval", [timedelta(), None])
def test_source_that_wakes_after_the_others_ended_is_read_to_its_end(
    entry_point, interval
):
    out = []
    late = PunctualPartition([["late"], ["later"]], timedelta(milliseconds=20))
    flow = reading_flow(out, PartsSource({"late": late}), TestingSource(range(10)))
    entry_point(flow, epoch_interval=interval)
    assert Counter(out) == Counter([*range(10), "late", "later"])


# How it stops.


class Aborting(Batches):
    """Stops the execution instead of ending."""

    def next_batch(self):
        for batch in self.batches:
            return batch
        raise AbortExecution


class AbortingPartition(Aborting, BatchesPartition):
    pass


class AbortingWorkersPartition(Aborting, WorkersPartition):
    pass


@pytest.mark.parametrize("others", [idle, lambda: itertools.repeat([1])])
def test_abort_stops_all_workers_and_closes_all_partitions(entry_point, others):
    parts = {
        "a": BatchesPartition(others()),
        "b": AbortingPartition([["b"], ["b"]]),
        "c": BatchesPartition(others()),
    }
    source = PartsSource(parts)
    entry_point(reading_flow([], source))
    # A worker may be stopped before it has opened its partitions.
    opened = {name for _, name, *_ in source.built}
    assert "b" in opened
    assert {name: part.closed for name, part in parts.items()} == {
        name: int(name in opened) for name in parts
    }


@pytest.mark.parametrize("worker_index", [0, 1, 2])
def test_abort_on_one_worker_stops_the_others(worker_index):
    source = WorkersSource(
        lambda index, _count: (
            AbortingWorkersPartition()
            if index == worker_index
            else WorkersPartition(idle())
        )
    )
    cluster_main(reading_flow([], source), None, 0, worker_count_per_proc=3)
    # A worker may be stopped before it has built its partition.
    assert 1 <= len(source.parts) <= 3
    assert {part.closed for part in source.parts} == {1}


def test_abort_does_not_look_like_the_end(entry_point):
    ended = []
    flow = Dataflow("aborts")
    s = op.input("inp", flow, PartsSource({"a": AbortingPartition([[1], [2]])}))
    counted = op.count_final("count", s, str)
    op.output("out", counted, TestingSink(ended))
    entry_point(flow)
    assert ended == []


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize("method", ["list_parts", "build_part"])
def test_error_of_a_partitioned_source_names_the_step(entry_point, method):
    error = ZeroDivisionError("user's own")
    source = PartsSource({"a": BatchesPartition(idle())})
    setattr(source, method, failing(error))
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("method", ["next_batch", "next_awake", "close"])
def test_error_of_a_partition_names_the_step(entry_point, method):
    error = ZeroDivisionError("user's own")
    bad = BatchesPartition([[1]])
    setattr(bad, method, failing(error))
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], PartsSource({"a": bad})))
    assert caught.value.__cause__ is error


def test_error_of_a_partition_closes_the_others(entry_point):
    bad = BatchesPartition([])
    bad.next_batch = failing(ZeroDivisionError())
    good = BatchesPartition(idle())
    source = PartsSource({"a": bad, "b": good})
    with pytest.raises(MillstreamRuntimeError):
        entry_point(reading_flow([], source))
    built = {name for _, name, *_ in source.built}
    assert bad.closed == 1
    # Its worker may be stopped before it has built it.
    assert good.closed == ("b" in built)


def test_error_while_a_batch_is_iterated_names_the_step(entry_point):
    error = ZeroDivisionError("user's own")

    def lazy():
        yield 1
        raise error

    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(
            reading_flow([], PartsSource({"a": BatchesPartition(iter([lazy()]))}))
        )
    assert caught.value.__cause__ is error


def test_error_of_a_dynamic_source_names_the_step(entry_point):
    error = ZeroDivisionError("user's own")
    source = WorkersSource(
        lambda index, _count: (
            failing(error)() if index == 0 else WorkersPartition(idle())
        )
    )
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("method", ["next_batch", "next_awake", "close"])
def test_error_of_a_dynamic_partition_names_the_step(entry_point, method):
    error = ZeroDivisionError("user's own")

    def make(index, _count):
        part = WorkersPartition([[1]])
        if index == 0:
            setattr(part, method, failing(error))
        return part

    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], WorkersSource(make)))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupts_are_not_wrapped(entry_point, stop):
    part = BatchesPartition([])
    part.next_batch = failing(stop())
    with pytest.raises(stop):
        entry_point(reading_flow([], PartsSource({"a": part})))
    assert part.closed == 1


def test_interrupt_while_closing_is_not_logged_away(entry_point, caplog):
    part = AbortingPartition()
    part.close = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        entry_point(reading_flow([], PartsSource({"a": part})))
    assert caplog.records == []


@pytest.mark.parametrize("awake_at", [datetime(2024, 1, 1), 5, "now"])  # noqa: DTZ001
def test_next_awake_must_be_an_aware_datetime(entry_point, awake_at):
    part = BatchesPartition(idle())
    part.next_awake = lambda: awake_at
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], PartsSource({"a": part})))
    assert isinstance(caught.value.__cause__, (TypeError, ValueError))


@pytest.mark.parametrize("batch", [None, 5])
def test_batches_must_be_iterable(entry_point, batch):
    part = BatchesPartition(itertools.repeat(batch))
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], PartsSource({"a": part})))
    assert isinstance(caught.value.__cause__, TypeError)


def test_error_of_what_makes_a_batch_iterable_is_the_cause(entry_point):
    error = ValueError("user's own")

    class Lazy:
        def __iter__(self):
            raise error

    part = BatchesPartition([Lazy()])
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], PartsSource({"a": part})))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("names", ["abc", [1], ["a", None], [b"a"], None])
def test_list_parts_must_return_a_list_of_str(entry_point, names):
    source = PartsSource({"a": BatchesPartition()})
    source.list_parts = lambda: names
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert isinstance(caught.value.__cause__, TypeError)
    assert source.built == []


@pytest.mark.parametrize("part", [None, object(), WorkersPartition([])])
def test_build_part_must_return_a_stateful_partition(entry_point, part):
    source = PartsSource({"a": part})
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("part", [None, object(), BatchesPartition()])
def test_build_must_return_a_stateless_partition(entry_point, part):
    source = WorkersSource(
        lambda index, _count: part if index == 0 else WorkersPartition(idle())
    )
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp_0\b") as caught:
        entry_point(reading_flow([], source))
    assert isinstance(caught.value.__cause__, TypeError)
