import zlib

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.outputs import (
    DynamicSink,
    FixedPartitionedSink,
    StatefulSinkPartition,
    StatelessSinkPartition,
)
from millstream.testing import TestingSource, cluster_main


class ListsPartition(StatefulSinkPartition):
    def __init__(self, sink, name):
        self.sink = sink
        self.name = name
        self.values = sink.written.setdefault(name, [])

    def write_batch(self, values):
        if self.sink.write_error is not None:
            raise self.sink.write_error
        self.values += values

    def snapshot(self):
        return len(self.values)

    def close(self):
        self.sink.closed.append(self.name)
        if self.sink.close_error is not None:
            raise self.sink.close_error


class ListsSink(FixedPartitionedSink):
    """Keeps the values of each partition in a list, and notes what is called."""

    def __init__(self, names, *, write_error=None, close_error=None):
        self.names = names
        self.write_error = write_error
        self.close_error = close_error
        self.built = []
        self.written = {}
        self.closed = []

    def list_parts(self):
        return self.names

    def build_part(self, step_id, for_part, resume_state):
        self.built.append((step_id, for_part, resume_state))
        return ListsPartition(self, for_part)


class IntKeySink(ListsSink):
    """Routes by the number that the key is."""

    def part_fn(self, item_key):
        return int(item_key)


def writing_flow(items, sink):
    flow = Dataflow("writes")
    s = op.input("inp", flow, TestingSource(items, batch_size=3))
    op.output("out", s, sink)
    return flow


@pytest.mark.parametrize(
    "cls",
    [
        DynamicSink,
        FixedPartitionedSink,
        StatefulSinkPartition,
        StatelessSinkPartition,
    ],
)
def test_what_must_be_defined_is_abstract(cls):
    with pytest.raises(TypeError, match="abstract"):
        cls()


def test_partitions_need_no_closing_by_default():
    class Nothing(StatelessSinkPartition):
        def write_batch(self, items):
            pass

    assert Nothing().close() is None


@pytest.mark.parametrize(
    ("key", "expected"), [("", 1), ("a", 0x00620062), ("ö", 0x023E017A)]
)
def test_part_fn_is_adler_32_of_utf_8_by_default(key, expected):
    assert ListsSink([]).part_fn(key) == expected


def test_items_go_where_part_fn_says(entry_point):
    names = ["b", "c", "a"]
    keys = ["key", "other", "ö", "", "last"]
    sink = ListsSink(names)
    items = [(key, (key, number)) for number in range(20) for key in keys]
    entry_point(writing_flow(items, sink))
    expected = {}
    for key, value in items:
        name = sorted(names)[zlib.adler32(key.encode()) % len(names)]
        expected.setdefault(name, []).append(value)
    assert sink.written == expected


@pytest.mark.parametrize(
    ("key", "name"),
    [("0", "a"), ("2", "c"), ("3", "a"), ("-1", "c"), (f"{2**70}", "b")],
)
def test_part_fn_wraps_around_sorted_names(entry_point, key, name):
    sink = IntKeySink(["c", "a", "b"])
    entry_point(writing_flow([(key, "value")], sink))
    assert sink.written == {name: ["value"]}


def test_partitions_are_built_when_an_item_comes(entry_point):
    sink = IntKeySink(["a", "b", "c"])
    entry_point(writing_flow([("1", "x"), ("1", "y")], sink))
    assert sink.built == [("writes.out", "b", None)]
    assert sink.closed == ["b"]


def test_nothing_is_built_without_items(entry_point):
    sink = ListsSink(["a"])
    entry_point(writing_flow([], sink))
    assert sink.built == []


def test_partitions_are_closed_on_abort(entry_point):
    sink = IntKeySink(["a"])
    entry_point(writing_flow([("0", 1), TestingSource.ABORT(), ("0", 2)], sink))
    assert sink.closed == [name for _, name, _ in sink.built]
    assert sink.written in ({}, {"a": []}, {"a": [1]})


@pytest.mark.parametrize("where", ["write_error", "close_error"])
def test_errors_of_a_partition_name_the_step(entry_point, where):
    error = ZeroDivisionError("user's own")
    sink = ListsSink(["a"], **{where: error})
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([("k", 1)], sink))
    assert caught.value.__cause__ is error
    assert sink.closed == ["a"]


@pytest.mark.parametrize("method", ["list_parts", "part_fn", "build_part"])
def test_errors_of_a_sink_name_the_step(entry_point, method):
    error = ZeroDivisionError("user's own")

    def fail(*_):
        raise error

    sink = ListsSink(["a"])
    setattr(sink, method, fail)
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([("k", 1)], sink))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("item", [1, ("k",), ("k", 1, 2), (1, "v"), ["k", "v"]])
def test_items_must_be_key_and_value(entry_point, item):
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([item], ListsSink(["a"])))
    assert isinstance(caught.value.__cause__, TypeError)


def test_items_need_a_partition_to_go_to(entry_point):
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b"):
        entry_point(writing_flow([("k", 1)], ListsSink([])))


def test_build_part_must_return_a_partition(entry_point):
    sink = ListsSink(["a"])
    sink.build_part = lambda *_: object()
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([("k", 1)], sink))
    assert isinstance(caught.value.__cause__, TypeError)


class WorkersPartition(StatelessSinkPartition):
    def __init__(self, sink, worker_index):
        self.sink = sink
        self.worker_index = worker_index

    def write_batch(self, items):
        if self.sink.write_error is not None:
            raise self.sink.write_error
        self.sink.written += items

    def close(self):
        self.sink.closed.append(self.worker_index)


class WorkersSink(DynamicSink):
    """Keeps all items in one list, and notes what is called."""

    def __init__(self, write_error=None):
        self.write_error = write_error
        self.built = []
        self.written = []
        self.closed = []

    def build(self, step_id, worker_index, worker_count):
        self.built.append((step_id, worker_index, worker_count))
        return WorkersPartition(self, worker_index)


def test_dynamic_sink_is_built_and_closed_on_each_worker():
    sink = WorkersSink()
    flow = writing_flow(range(20), sink)
    cluster_main(flow, None, 0, worker_count_per_proc=3)
    assert sorted(sink.built) == [("writes.out", index, 3) for index in range(3)]
    assert sorted(sink.closed) == [0, 1, 2]
    assert sorted(sink.written) == list(range(20))


def test_dynamic_sink_is_closed_on_abort(entry_point):
    sink = WorkersSink()
    entry_point(writing_flow([1, TestingSource.ABORT()], sink))
    assert sorted(sink.closed) == sorted(index for _, index, _ in sink.built)
    assert sink.closed


def test_dynamic_sink_errors_name_the_step(entry_point):
    error = ZeroDivisionError("user's own")
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([1], WorkersSink(error)))
    assert caught.value.__cause__ is error


def test_dynamic_build_must_return_a_partition(entry_point):
    sink = WorkersSink()
    sink.build = lambda _step_id, worker_index, _worker_count: (
        object() if worker_index == 0 else WorkersPartition(sink, worker_index)
    )
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(writing_flow([1], sink))
    assert isinstance(caught.value.__cause__, TypeError)
