import re

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import DynamicSource, Source, StatelessSourcePartition
from millstream.testing import TestingSink, TestingSource


class OneOfEach(DynamicSource):
    """Each worker says once which of how many it is."""

    class Part(StatelessSourcePartition):
        def __init__(self, worker):
            self.batches = iter([[worker]])

        def next_batch(self):
            return next(self.batches)

    def build(self, step_id, worker_index, worker_count):
        return self.Part((step_id, worker_index, worker_count))


def test_emits_the_items_in_order(evaluate):
    assert evaluate([1, None, "x"], lambda up: up) == [1, None, "x"]


def test_each_worker_has_its_part_of_a_dynamic_source(entry_point):
    flow = Dataflow("flow")
    out = []
    op.output("out", op.input("inp", flow, OneOfEach()), TestingSink(out))
    entry_point(flow)
    count = len(out)
    assert sorted(out) == [("flow.inp", index, count) for index in range(count)]


def test_a_flow_may_have_several_inputs(entry_point):
    flow = Dataflow("flow")
    out = []
    for name, items in {"a": [1, 2, 3], "b": [4]}.items():
        up = op.input(name, flow, TestingSource(items))
        op.output(f"out_{name}", up, TestingSink(out))
    entry_point(flow)
    assert sorted(out) == [1, 2, 3, 4]


def test_a_stream_is_named_after_the_step():
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    assert up.stream_id == "flow.inp.down"


class Neither(Source):
    pass


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ([1, 2], "a `list`"),
        (TestingSource, "the class `TestingSource` itself"),
        (Neither(), "a `Neither`"),
    ],
)
def test_needs_a_source(source, got):
    message = (
        "`source` of step `flow.inp` must be a `FixedPartitionedSource` "
        f"or a `DynamicSource`; got {got}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        op.input("inp", Dataflow("flow"), source)


def test_needs_a_dataflow():
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    message = "`flow` of step `flow.more` must be a `Dataflow`; got a `Stream`"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        op.input("more", up, TestingSource([]))
