"""What the time between two runs does, and what it doesn't."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.operators import StatefulLogic
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import (
    TestingSink,
    TestingSource,
    TimeTestingGetter,
    cluster_main,
)

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)

forms = pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])


def seconds(number):
    return timedelta(seconds=number)


@pytest.fixture
def config(tmp_path):
    init_db_dir(tmp_path, 2)
    return RecoveryConfig(tmp_path)


def run(flow, config, **kwargs):
    cluster_main(
        flow, [], 0, epoch_interval=timedelta(), recovery_config=config, **kwargs
    )


@forms
@pytest.mark.parametrize("downtime", [0, 6, 3600, -3600])
def test_event_time_stands_still_while_nothing_runs(config, optimize, downtime):
    """D12: once, window 2 came out in two halves."""
    now = TimeTestingGetter(NOW)
    items = [("a", second) for second in range(30)]
    items.insert(25, TestingSource.ABORT())
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(items))
    clock = win.EventClock(lambda at: START + seconds(at), seconds(0), now.get)
    windower = win.TumblingWindower(seconds(10), START)
    counts = win.fold_window("step", up, clock, windower, int, lambda n, _: n + 1, max)
    down, late = [], []
    op.output("down", counts.down, TestingSink(down))
    op.output("late", counts.late, TestingSink(late))
    run(flow, config, optimize=optimize)
    assert down == [("a", (0, 10)), ("a", (1, 10))]
    now.advance(seconds(downtime))
    run(flow, config, optimize=optimize)
    assert down == [("a", (0, 10)), ("a", (1, 10)), ("a", (2, 10))]
    assert late == []


DUE = 0.5


class Alarm(StatefulLogic):
    def __init__(self, resume_state):
        self.due, self.values = resume_state or (None, [])

    def on_item(self, value):
        self.due = self.due or datetime.now(timezone.utc) + seconds(DUE)
        self.values.append(value)
        return [], StatefulLogic.RETAIN

    def on_notify(self):
        return [self.values], StatefulLogic.DISCARD

    def notify_at(self):
        return self.due

    def snapshot(self):
        return self.due, list(self.values)


@forms
@pytest.mark.parametrize(
    "add_steps",
    [
        lambda up: op.collect("step", up, seconds(DUE), max_size=9),
        lambda up: op.stateful("step", up, Alarm),
    ],
    ids=["collect", "stateful"],
)
def test_what_was_due_is_done_at_once(config, add_steps, optimize):
    flow, out = Dataflow("flow"), []
    pause = TestingSource.PAUSE(seconds(DUE / 2))
    items = [("a", 1), TestingSource.ABORT(), pause, TestingSource.ABORT()]
    up = op.input("inp", flow, TestingSource(items))
    op.output("out", add_steps(up), TestingSink(out))
    run(flow, config, optimize=optimize)
    time.sleep(DUE)
    run(flow, config, optimize=optimize)
    assert out == [("a", [1])]
