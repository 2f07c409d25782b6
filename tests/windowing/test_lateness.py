"""Allowed lateness: values that come late go into windows that have closed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import millstream.operators as op
import millstream.operators.aggregators as agg
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource, run_main


@pytest.fixture(params=[True, False], ids=["native", "composed"])
def entry_point(request):
    """With one worker, so that batches, after which windows close, are as written."""
    return partial(run_main, optimize=request.param)


@pytest.fixture
def late_clock(event_clock):
    """A clock that waits for nothing, and takes what is late by five seconds."""
    return event_clock(allowed_lateness=timedelta(seconds=5))


def keyed(values):
    return [("a", value) for value in values]


@pytest.mark.parametrize("ordered", [True, False])
def test_window_that_has_closed_is_updated(run, late_clock, tumbling, at, ordered):
    outputs = run(
        keyed([3, 12, 8, 9, 6]),
        lambda up: win.collect_window(
            "step", up, late_clock, tumbling, ordered=ordered
        ),
    )
    assert outputs.down == keyed(
        [
            (0, [3]),
            (0, [3, 8]),
            (0, [3, 8, 9]),
            (1, [12]),
        ]
    )
    assert outputs.late == keyed([(0, 6)])
    first, second = (
        win.WindowMetadata(at(0), at(10)),
        win.WindowMetadata(at(10), at(20)),
    )
    assert outputs.meta == keyed([(0, first), (0, first), (0, first), (1, second)])


def test_update_comes_once_for_all_values_of_a_batch(run, late_clock, tumbling):
    outputs = run(
        keyed([3, 12, 9, 8]),
        lambda up: win.collect_window("step", up, late_clock, tumbling),
        batch_size=2,
    )
    # What is late is in order among what arrives together.
    assert outputs.down == keyed([(0, [3]), (0, [3, 8, 9]), (1, [12])])


def test_value_for_a_window_that_never_opened(run, late_clock, tumbling):
    outputs = run(
        keyed([12, 9]), lambda up: win.collect_window("step", up, late_clock, tumbling)
    )
    assert outputs.down == keyed([(0, [9]), (1, [12])])


def test_value_that_is_older_than_allowed_is_late_for_open_windows_too(
    run, late_clock, at
):
    sliding = win.SlidingWindower(timedelta(seconds=20), timedelta(seconds=10), at(0))
    outputs = run(
        keyed([3, 15, 11, 9]),
        lambda up: win.collect_window("step", up, late_clock, sliding, ordered=False),
    )
    assert outputs.late == keyed([(-1, 9), (0, 9)])
    assert outputs.down == keyed([(-1, [3]), (0, [3, 15, 11]), (1, [15, 11])])


def test_sessions_that_have_closed_merge(run, event_clock, session, at):
    clock = event_clock(allowed_lateness=timedelta(minutes=1))
    outputs = run(
        keyed([0, 15, 40, 7]),
        lambda up: win.collect_window("step", up, clock, session),
    )
    assert outputs.down == keyed(
        [
            (0, [0]),
            (1, [15]),
            (0, [0, 7, 15]),
            (2, [40]),
        ]
    )
    assert outputs.meta == keyed(
        [
            (0, win.WindowMetadata(at(0), at(0))),
            (1, win.WindowMetadata(at(15), at(15))),
            (0, win.WindowMetadata(at(0), at(15), {1})),
            (2, win.WindowMetadata(at(40), at(40))),
        ]
    )


def test_session_that_grows_beyond_the_watermark_is_open_again(
    run, event_clock, session
):
    clock = event_clock(wait=20, allowed_lateness=timedelta(minutes=1))
    outputs = run(
        keyed([0, 31, 5, 40, 60]),
        lambda up: win.collect_window("step", up, clock, session),
    )
    # At 11 it closes; with 5 in it, not before 16, which it is at once, by 40.
    assert outputs.down == keyed([(0, [0]), (0, [0, 5]), (1, [31, 40]), (2, [60])])


def test_what_was_emitted_does_not_change(run, late_clock, tumbling):
    """Though the folder changes its accumulator, and deep inside."""
    outputs = run(
        keyed([3, 12, 8]),
        lambda up: win.fold_window(
            "step",
            up,
            late_clock,
            tumbling,
            lambda: {"values": []},
            lambda state, value: {"values": state["values"].append(value)} and state,
            lambda state, _other: state,
        ),
    )
    assert outputs.down == keyed(
        [
            (0, {"values": [3]}),
            (0, {"values": [3, 8]}),
            (1, {"values": [12]}),
        ]
    )


def test_first_and_last_are_by_timestamp_if_ordered(run, late_clock, tumbling):
    def add_steps(up, *, ordered):
        return win.aggregate_window(
            "step",
            up,
            late_clock,
            tumbling,
            {"first": agg.first(), "last": agg.last(by=lambda value: -value)},
            ordered,
        )

    values = keyed([7, 8, 12, 9.5, 7.5])
    outputs = run(values, lambda up: add_steps(up, ordered=True))
    assert outputs.down[2] == ("a", (0, {"first": 7, "last": -9.5}))
    outputs = run(values, lambda up: add_steps(up, ordered=False))
    assert outputs.down[2] == ("a", (0, {"first": 7, "last": -7.5}))


class Count(win.WindowLogic):
    def __init__(self, resume_state):
        self.closed = resume_state or 0

    def on_value(self, _value):
        return ()

    def on_merge(self, _original):
        return ()

    def on_close(self):
        self.closed += 1
        return [self.closed]

    def snapshot(self):
        return self.closed


def test_logic_closes_again(run, late_clock, tumbling):
    outputs = run(
        keyed([3, 12, 8, 13, 9]),
        lambda up: win.window("step", up, late_clock, tumbling, Count),
    )
    assert outputs.down == keyed([(0, 1), (0, 2), (0, 3), (1, 1)])


def test_join(run, late_clock, tumbling):
    def add_steps(up):
        branched = op.branch("parts", up, lambda item: item[1] % 2 == 0)
        return win.join_window(
            "step", late_clock, tumbling, branched.trues, branched.falses
        )

    outputs = run(keyed([4, 7, 12, 9]), add_steps)
    assert outputs.down == keyed([(0, (4, 7)), (0, (4, 9)), (1, (12, None))])


def test_windows_are_freed_by_the_timer(driver, event_clock, tumbling, at):
    logic = driver(
        lambda up: win.collect_window(
            "step", up, event_clock(allowed_lateness=timedelta(seconds=5)), tumbling
        )
    )
    logic.on_batch([3])
    assert logic.notify_at() == at(3 + 7 - 3)
    logic.on_batch([12])
    # The first window is kept until 15, which is in three seconds.
    assert logic.notify_at() == at(3)
    assert logic.snapshot().key.closed == {0}
    logic.on_batch([15])
    assert logic.snapshot().key.closed == frozenset()
    assert list(logic.snapshot().key.windows) == [1]


def test_bad_lateness_is_refused(at):
    with pytest.raises(TypeError) as wrong_type:
        win.EventClock(at, timedelta(), allowed_lateness=5)
    assert str(wrong_type.value) == (
        "`allowed_lateness` of an `EventClock` must be a `datetime.timedelta`; "
        "got an `int`"
    )
    with pytest.raises(ValueError, match="must not be negative"):
        win.EventClock(at, timedelta(), allowed_lateness=timedelta(seconds=-1))


def test_windower_that_cannot_keep_windows_is_refused(late_clock):
    class Own(win.Windower):
        def build(self, resume_state):
            raise NotImplementedError

    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource([]))
    with pytest.raises(TypeError) as raised:
        win.collect_window("step", up, late_clock, Own())
    assert str(raised.value) == (
        "`windower` of step `flow.step` must be a `TumblingWindower`, "
        "`SlidingWindower` or `SessionWindower`, since its clock has an "
        "`allowed_lateness`; got an `Own`"
    )
