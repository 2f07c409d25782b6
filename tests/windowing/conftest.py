"""Fixtures that run operators on windows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.operators import StatefulBatchLogic
from millstream.testing import TestingSink, TestingSource

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Outputs(NamedTuple):
    """What came out of each stream, in the order of keys."""

    down: list[Any]
    late: list[Any]
    meta: list[Any]


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """A moment, in seconds after some start."""
    return lambda seconds: START + timedelta(seconds=seconds)


@pytest.fixture
def event_clock(at) -> Callable[..., win.EventClock]:
    """A clock for which time stands still, with a wait in seconds.

    Values are their timestamps in seconds, or tuples that begin with them.
    """

    def ts_getter(value):
        return at(value[0] if isinstance(value, tuple) else value)

    def event_clock(wait=0, **kwargs):
        wait = wait if isinstance(wait, timedelta) else timedelta(seconds=wait)
        return win.EventClock(ts_getter, wait, lambda: START, **kwargs)

    return event_clock


@pytest.fixture
def tumbling() -> win.TumblingWindower:
    """Windows of ten seconds from the start on."""
    return win.TumblingWindower(timedelta(seconds=10), align_to=START)


@pytest.fixture
def session() -> win.SessionWindower:
    """Sessions with a gap of ten seconds."""
    return win.SessionWindower(timedelta(seconds=10))


@pytest.fixture
def run(entry_point) -> Callable[..., Outputs]:
    """Run the steps that a function adds to a stream; it returns a `WindowOut`."""

    def run(items, add_steps, batch_size=1):
        flow = Dataflow("flow")
        up = op.input("inp", flow, TestingSource(items, batch_size))
        out = add_steps(up)
        outputs = Outputs([], [], [])
        for name, stream in zip(
            outputs._fields, (out.down, out.late, out.meta), strict=True
        ):
            op.output(name, stream, TestingSink(getattr(outputs, name)))
        entry_point(flow)
        return Outputs(*(sorted(each, key=lambda item: item[0]) for each in outputs))

    return run


@pytest.fixture
def driver() -> Callable[..., StatefulBatchLogic]:
    """Build what a step keeps for one key, to call it as the engine would."""

    def driver(add_steps, resume_state=None):
        flow = Dataflow("flow")
        add_steps(op.input("inp", flow, TestingSource([])))
        steps = [flow.substeps[-1]]
        for step in steps:
            if isinstance(step, op.stateful_batch._op_cls):
                return step.builder(resume_state)
            steps += step.substeps
        raise AssertionError

    return driver
