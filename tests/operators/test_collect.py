import re
from datetime import datetime, timedelta, timezone
from threading import Event

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.operators.collect import _CollectLogic
from millstream.testing import TestingSource, TimeTestingGetter

HOUR = timedelta(hours=1)
NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


def collect(timeout, max_size):
    return lambda up: op.collect("step", up, timeout=timeout, max_size=max_size)


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_emits_full_lists_and_the_rest_at_the_end(evaluate_keyed, batch_size):
    items = [("b", 1), ("a", 2), ("b", 3), ("b", 4), ("b", 5), ("b", 6)]
    assert evaluate_keyed(items, collect(HOUR, 2), batch_size) == [
        ("a", [2]),
        ("b", [1, 3]),
        ("b", [4, 5]),
        ("b", [6]),
    ]


@pytest.mark.parametrize("max_size", [1, 0, -1])
def test_a_small_size_emits_each_value(evaluate, max_size):
    out = evaluate([("a", 1), ("a", None)], collect(HOUR, max_size))
    assert out == [("a", [1]), ("a", [None])]


def test_emits_an_old_list(evaluate, paused_until):
    emitted = Event()

    def add_steps(up):
        lists = collect(timedelta(milliseconds=30), 10)(up)
        return op.inspect("seen", lists, lambda _step_id, _item: emitted.set())

    items = paused_until(emitted, [("a", 1), ("a", 2)], [("a", 3)])
    out = evaluate(items, add_steps, batch_size=2)
    assert out == [("a", [1, 2]), ("a", [3])]


def test_no_timeout_is_too_long(evaluate):
    assert evaluate([("a", 1)], collect(timedelta.max, 2)) == [("a", [1])]


def test_the_timeout_runs_from_the_first_value():
    clock = TimeTestingGetter(NOW)
    logic = _CollectLogic(clock.get, HOUR, 10, None)
    assert logic.on_item(1) == ((), False)
    assert logic.notify_at() == NOW + HOUR
    clock.advance(timedelta(minutes=59))
    assert logic.on_item(2) == ((), False)
    assert logic.notify_at() == NOW + HOUR
    clock.advance(timedelta(minutes=1))
    assert logic.on_notify() == (([1, 2],), True)


def test_a_resumed_list_is_due_when_it_was():
    clock = TimeTestingGetter(NOW)
    logic = _CollectLogic(clock.get, HOUR, 10, None)
    logic.on_item([1])
    state = logic.snapshot()
    clock.advance(timedelta(minutes=30))
    resumed = _CollectLogic(clock.get, HOUR, 10, state)
    resumed.on_item([2])
    assert resumed.notify_at() == NOW + HOUR
    assert resumed.on_eof() == (([[1], [2]],), True)


def test_the_snapshot_is_a_copy():
    logic = _CollectLogic(lambda: NOW, HOUR, 10, None)
    logic.on_item(1)
    state = logic.snapshot()
    logic.on_item(2)
    assert state == ([1], NOW + HOUR)


@pytest.mark.parametrize(
    ("timeout", "max_size", "message"),
    [
        (
            10,
            2,
            (
                "`timeout` of step `flow.step` must be a `datetime.timedelta`; "
                "got an `int`"
            ),
        ),
        (HOUR, "2", "`max_size` of step `flow.step` must be an `int`; got a `str`"),
    ],
)
def test_parameters_are_checked(timeout, max_size, message):
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        collect(timeout, max_size)(up)


def test_substeps(substep_ids):
    assert substep_ids(collect(HOUR, 2)) == [
        "flow.step.stateful",
        "flow.step.stateful.stateful_batch",
    ]
