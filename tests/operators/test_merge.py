import re

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource


def merged(entry_point, *sources):
    flow = Dataflow("flow")
    ups = [
        op.input(f"inp_{index}", flow, TestingSource(items))
        for index, items in enumerate(sources)
    ]
    out = []
    op.output("out", op.merge("step", *ups), TestingSink(out))
    entry_point(flow)
    return out


def test_all_items_of_all_streams(entry_point):
    out = merged(entry_point, [1, 2, 3], ["a"], [], [None])
    assert sorted(out, key=str) == [1, 2, 3, None, "a"]


def test_the_items_of_one_stream_stay_in_order(entry_point):
    out = merged(entry_point, range(20), range(100, 120))
    assert [x for x in out if x < 100] == list(range(20))
    assert [x for x in out if x >= 100] == list(range(100, 120))


def test_of_one_stream(entry_point):
    assert merged(entry_point, [1, 2]) == [1, 2]


def test_the_same_stream_twice_gives_the_same_objects_twice(evaluate):
    item = {"n": 1}
    out = evaluate([item], lambda up: op.merge("step", up, up))
    assert [each is item for each in out] == [True, True]


def test_after_a_branch_nothing_is_lost(evaluate):
    def add_steps(up):
        parity = op.branch("parity", up, lambda x: x % 2 == 0)
        return op.merge("step", parity.trues, parity.falses)

    assert sorted(evaluate(range(50), add_steps, batch_size=8)) == list(range(50))


def test_needs_a_stream():
    message = (
        "step `step` has no upstream: operator `merge` needs at least one `Stream`, "
        "or the `Dataflow`, as a direct argument"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        op.merge("step")


def test_streams_must_be_unpacked():
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    message = (
        "`ups` of operator `merge` must be a `Stream`; got a `list`; "
        "did you forget to unpack it with `*`?"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        op.merge("step", [up, up])
