import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource


def is_even(x):
    return x % 2 == 0


def test_each_item_goes_one_way_in_order(entry_point):
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(range(7), batch_size=3))
    parity = op.branch("step", up, is_even)
    trues, falses = [], []
    op.output("trues", parity.trues, TestingSink(trues))
    op.output("falses", parity.falses, TestingSink(falses))
    entry_point(flow)
    assert trues == [0, 2, 4, 6]
    assert falses == [1, 3, 5]


def test_a_branch_may_be_left_unused(evaluate):
    out = evaluate([1, 2, 3], lambda up: op.branch("step", up, is_even).falses)
    assert out == [1, 3]


def test_branches_share_the_items_they_are_given(entry_point):
    item = {"n": 1}
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource([item]))
    out = []
    op.output("trues", op.branch("step", up, lambda _: True).trues, TestingSink(out))
    op.output("out", up, TestingSink(out))
    entry_point(flow)
    assert [each is item for each in out] == [True, True]


@pytest.mark.parametrize("returned", [1, None, "yes"])
def test_predicate_must_return_a_real_bool(fail, returned):
    cause = fail([1], lambda up: op.branch("step", up, lambda _: returned).trues)
    assert isinstance(cause, TypeError)
    assert "`predicate`" in str(cause)
    assert "`bool`" in str(cause)
    assert f"`{type(returned).__name__}`" in str(cause)


def test_the_error_of_the_predicate_is_the_cause(fail):
    cause = fail(["x"], lambda up: op.branch("step", up, int).trues)
    assert isinstance(cause, ValueError)


def test_streams_are_named_after_the_ports():
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    parity = op.branch("step", up, is_even)
    assert parity.trues.stream_id == "flow.step.trues"
    assert parity.falses.stream_id == "flow.step.falses"
