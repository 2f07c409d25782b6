import re
from collections import defaultdict

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition
from millstream.testing import TestingSink, TestingSource


class Partitions(FixedPartitionedSink):
    """Two partitions, by the length of the key."""

    class Part(StatefulSinkPartition):
        def __init__(self, values):
            self.values = values

        def write_batch(self, values):
            self.values += values

        def snapshot(self):
            return None

    def __init__(self, written):
        self.written = written

    def list_parts(self):
        return ["even", "odd"]

    def part_fn(self, item_key):
        return len(item_key)

    def build_part(self, step_id, for_part, resume_state):
        assert step_id == "flow.out"
        assert resume_state is None
        return self.Part(self.written[for_part])


def write(entry_point, items, sink):
    flow = Dataflow("flow")
    op.output("out", op.input("inp", flow, TestingSource(items)), sink)
    entry_point(flow)


def test_writes_all_items(entry_point):
    out = []
    write(entry_point, [1, None, 2], TestingSink(out))
    assert out == [1, None, 2]


def test_a_partition_gets_the_values_of_its_keys(entry_point):
    written = defaultdict(list)
    items = [("a", 1), ("bb", 2), ("ccc", 3), ("a", 4)]
    write(entry_point, items, Partitions(written))
    assert written == {"odd": [1, 3, 4], "even": [2]}


@pytest.mark.parametrize("item", [5, "ab", ["a", 1], ("a", 1, 2), (1, "a")])
def test_a_partitioned_sink_needs_string_keys(entry_point, item):
    with pytest.raises(MillstreamRuntimeError, match=re.escape("flow.out")) as raised:
        write(entry_point, [item], Partitions(defaultdict(list)))
    assert isinstance(raised.value.__cause__, TypeError)


def test_returns_none():
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    assert op.output("out", up, TestingSink([])) is None


class Neither(Sink):
    pass


@pytest.mark.parametrize(
    ("sink", "got"),
    [
        ([], "a `list`"),
        (TestingSink, "the class `TestingSink` itself"),
        (Neither(), "a `Neither`"),
    ],
)
def test_needs_a_sink(sink, got):
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    message = (
        "`sink` of step `flow.out` must be a `FixedPartitionedSink`, "
        f"a `TwoPhaseSink` or a `DynamicSink`; got {got}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        op.output("out", up, sink)
