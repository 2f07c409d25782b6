"""The cyclic garbage collector is held back while a dataflow runs, and only then."""

from __future__ import annotations

import gc

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, run_main


@pytest.fixture(autouse=True)
def collector():
    """The thresholds that Python begins with; in the end, those of before."""
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*thresholds)


def seen_by(look):
    """What a step sees while it runs."""
    flow, seen = Dataflow("garbage"), []
    s = op.input("in", flow, TestingSource([1]))
    s = op.map("look", s, lambda _item: look())
    op.output("out", s, TestingSink(seen))
    run_main(flow)
    return seen[0]


def test_held_back_while_it_runs():
    assert seen_by(gc.get_threshold) == (50_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_as_it_was_after_a_failure():
    with pytest.raises(RuntimeError):
        seen_by(lambda: 1 / 0)
    assert gc.get_threshold() == (700, 10, 10)


def test_runs_within_runs_are_one():
    def look():
        return seen_by(gc.get_threshold), gc.get_threshold()

    assert seen_by(look) == ((50_000, 10, 10), (50_000, 10, 10))
    assert gc.get_threshold() == (700, 10, 10)


def test_threshold_of_the_user_stays():
    gc.set_threshold(1_000, 5, 5)
    assert seen_by(gc.get_threshold) == (1_000, 5, 5)


def test_threshold_that_the_user_sets_meanwhile_stays():
    seen_by(lambda: gc.set_threshold(1_000, 5, 5))
    assert gc.get_threshold() == (1_000, 5, 5)
