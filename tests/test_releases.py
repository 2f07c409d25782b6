"""A run lets go of all that it was given, however it ends."""

from __future__ import annotations

import gc
import weakref

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.operators import StatefulLogic
from millstream.testing import TestingSink, TestingSource


class Item:
    """An integer that can be watched."""

    def __init__(self, number):
        self.number = number


class Watched:
    """Weak references to objects, by what they are."""

    def __init__(self):
        self.references = []

    def __call__(self, what, thing):
        self.references.append((what, weakref.ref(thing)))
        return thing

    def kinds(self):
        return {what for what, _ in self.references}

    def alive(self):
        gc.collect()
        return {what for what, reference in self.references if reference() is not None}


class Logic(StatefulLogic):
    def on_item(self, value):
        return [value], StatefulLogic.RETAIN

    def snapshot(self):
        return None


def build(watched, last):
    """A flow of several kinds of steps, on ten items and one more element."""

    def items():
        for number in range(10):
            yield watched("item", Item(number))
        yield last

    def invert(item):
        return Item(1 / item.number if item is FAILURE else item.number)

    def key(item):
        return str(item.number % 3)

    def batch(items):
        return items

    def logic(_resume_state):
        return watched("logic", Logic())

    for function in (items, invert, key, batch, logic):
        watched("function", function)
    flow = watched("flow", Dataflow("releases"))
    source = watched("source", TestingSource(items(), batch_size=3))
    s = op.input("inp", flow, source)
    s = op.redistribute("spread", s)
    s = op.flat_map_batch("batch", s, batch)
    s = op.map("invert", s, invert)
    s = op.key_on("key", s, key)
    s = op.stateful("kept", s, logic)
    op.output("out", s, watched("sink", TestingSink([])))
    return flow


FAILURE = Item(0)


@pytest.mark.parametrize(
    "last",
    [TestingSource.EOF(), TestingSource.ABORT(), FAILURE],
    ids=["success", "abort", "failure"],
)
def test_nothing_is_held_after_a_run(entry_point, last):
    watched = Watched()

    def run():
        flow = build(watched, last)
        if last is FAILURE:
            with pytest.raises(MillstreamRuntimeError):
                entry_point(flow)
        else:
            entry_point(flow)

    run()
    assert watched.kinds() >= {"item", "function", "flow", "source", "sink"}
    assert watched.alive() == set()
