"""Fixtures that run dataflows by every entry point."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import millstream.operators as op
import pytest
from hypothesis import settings
from millstream.dataflow import Dataflow, Operator
from millstream.errors import MillstreamRuntimeError
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main

settings.register_profile("short", max_examples=40, deadline=None)
settings.register_profile("nightly", max_examples=2_000, deadline=None)
settings.load_profile("short")

EntryPoint = Callable[..., None]
Evaluate = Callable[..., list[Any]]


def _cluster(workers: int) -> EntryPoint:
    def entry_point(flow: Dataflow, **kwargs: Any) -> None:
        cluster_main(flow, [], 0, worker_count_per_proc=workers, **kwargs)

    return entry_point


def _composed(flow: Dataflow, **kwargs: Any) -> None:
    run_main(flow, optimize=False, **kwargs)


def _composed_cluster(flow: Dataflow, **kwargs: Any) -> None:
    cluster_main(flow, [], 0, worker_count_per_proc=2, optimize=False, **kwargs)


# The composed form of each operator is the specification of its native form.
_ENTRY_POINTS: dict[str, EntryPoint] = {
    "run_main": run_main,
    "composed": _composed,
    "composed-2": _composed_cluster,
    "cluster-1": _cluster(1),
    "cluster-2": _cluster(2),
    "cluster-3": _cluster(3),
}


@pytest.fixture(params=_ENTRY_POINTS.values(), ids=_ENTRY_POINTS.keys())
def entry_point(request: pytest.FixtureRequest) -> EntryPoint:
    """Each way to run a dataflow in this process: ``entry_point(flow, **kwargs)``."""
    return request.param


@pytest.fixture
def evaluate(entry_point: EntryPoint) -> Evaluate:
    """Run the steps that a function adds to a stream; return what comes out."""

    def evaluate(items: Any, add_steps: Callable[..., Any], batch_size: int = 1):
        flow = Dataflow("flow")
        up = op.input("inp", flow, TestingSource(items, batch_size))
        out: list[Any] = []
        op.output("out", add_steps(up), TestingSink(out))
        entry_point(flow)
        return out

    return evaluate


@pytest.fixture
def evaluate_keyed(evaluate: Evaluate) -> Evaluate:
    """As `evaluate`, in the order of keys: only the order within a key is promised."""

    def evaluate_keyed(*args: Any, **kwargs: Any):
        return sorted(evaluate(*args, **kwargs), key=lambda item: item[0])

    return evaluate_keyed


@pytest.fixture
def fail(evaluate: Evaluate) -> Callable[..., BaseException]:
    """As `evaluate`, of steps that fail: return the cause.

    The error on top must name the step ``flow.step``, which the test has written,
    and none of those inside it.
    """

    def fail(*args: Any, **kwargs: Any) -> BaseException:
        with pytest.raises(MillstreamRuntimeError) as raised:
            evaluate(*args, **kwargs)
        assert "flow.step" in str(raised.value)
        assert not re.search(r"flow\.step\.\w", str(raised.value))
        assert raised.value.__cause__ is not None
        return raised.value.__cause__

    return fail


@pytest.fixture
def paused_until() -> Callable[..., Iterator[Any]]:
    """Items for a `TestingSource` that waits between them for an event."""

    def paused_until(event: Event, first: list[Any], then: list[Any]) -> Iterator[Any]:
        yield from first
        while not event.is_set():
            yield TestingSource.PAUSE(timedelta(milliseconds=1))
        yield from then

    return paused_until


@pytest.fixture
def substep_ids() -> Callable[..., list[str]]:
    """List the ids of all steps inside the first step that a function adds."""

    def nested(step: Operator) -> Iterator[str]:
        for substep in step.substeps:
            yield substep.step_id
            yield from nested(substep)

    def substep_ids(add_steps: Callable[..., Any]) -> list[str]:
        flow = Dataflow("flow")
        add_steps(op.input("inp", flow, TestingSource([])))
        return list(nested(flow.substeps[1]))

    return substep_ids
