"""A dataflow runs within another."""

from __future__ import annotations

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main


def doubled(numbers, mapper=lambda x: x * 2, **kwargs):
    flow = Dataflow("inner")
    out = []
    s = op.input("inp", flow, TestingSource(numbers))
    op.output("out", op.map("double", s, mapper), TestingSink(out))
    if kwargs:
        cluster_main(flow, [], 0, **kwargs)
    else:
        run_main(flow)
    return sorted(out)


@pytest.mark.parametrize("kwargs", [{}, {"worker_count_per_proc": 2}])
def test_a_mapper_may_run_a_dataflow(evaluate, kwargs):
    out = evaluate(
        range(3), lambda up: op.map("step", up, lambda x: doubled(range(x), **kwargs))
    )
    assert sorted(out) == [[], [0], [0, 2]]


def test_the_error_of_the_inner_run_is_the_cause_of_the_outer(fail):
    cause = fail(
        [0],
        lambda up: op.map("step", up, lambda x: doubled([x], mapper=lambda x: 1 // x)),
    )
    assert isinstance(cause, MillstreamRuntimeError)
    assert isinstance(cause.__cause__, ZeroDivisionError)
