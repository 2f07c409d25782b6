"""Partitions of sources that come and go between runs, and sources without any."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import (
    AbortExecution,
    DynamicSource,
    FixedPartitionedSource,
    StatefulSourcePartition,
    StatelessSourcePartition,
)
from millstream.recovery import RecoveryConfig, RecoveryError, init_db_dir
from millstream.testing import TestingSink, cluster_main

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def config(tmp_path):
    init_db_dir(tmp_path, 2)
    return RecoveryConfig(tmp_path)


def run(flow, config, workers=1, epoch_interval=timedelta()):
    cluster_main(
        flow,
        [],
        0,
        worker_count_per_proc=workers,
        epoch_interval=epoch_interval,
        recovery_config=config,
    )


class Turns(FixedPartitionedSource):
    """Partitions that take turns, as the items say; it can crash before one of them."""

    def __init__(self, items, stop_before=None):
        self.items = items
        self.stop_before = stop_before
        self.parts = {}

    def list_parts(self):
        return list(dict.fromkeys(part for part, _ in self.items))

    def build_part(self, _step_id, for_part, resume_state):
        part = self.parts[for_part] = TurnsPartition(self, for_part, resume_state or 0)
        return part


class TurnsPartition(StatefulSourcePartition):
    def __init__(self, source, name, taken):
        self.source, self.name, self.taken = source, name, taken
        self.asked = 0

    def next_batch(self):
        turn = sum(part.taken for part in self.source.parts.values())
        if turn == len(self.source.items):
            raise StopIteration
        name, item = self.source.items[turn]
        if name != self.name:
            return []
        if turn == self.source.stop_before:
            self.asked += 1
            if self.asked < 30:
                # By and by, all that was before is kept.
                return []
            self.source.stop_before = None
            raise AbortExecution
        self.taken += 1
        return [item]

    def snapshot(self):
        return self.taken


def turns(items, out, stop_before=None):
    flow = Dataflow("flow")
    up = op.input("inp", flow, Turns(items, stop_before))
    op.output("out", up, TestingSink(out))
    return flow


def test_partition_that_is_new(config):
    out = []
    run(turns([("p", 1), ("p", 2)], out), config)
    run(turns([("p", 1), ("p", 2), ("q", 10), ("p", 3), ("q", 20)], out), config)
    run(turns([("p", 1), ("p", 2), ("q", 10), ("p", 3), ("q", 20)], out), config)
    assert out == [1, 2, 10, 3, 20]


def test_partition_that_is_gone(config):
    out = []
    run(turns([("p", 1), ("q", 10), ("r", 100)], out), config)
    less = turns([("p", 1), ("r", 100), ("p", 2)], out)
    with pytest.raises(RecoveryError) as raised:
        run(less, config)
    assert str(raised.value) == (
        "step `flow.inp` has no partition `q` any more, and the recovery store has "
        "what an earlier run kept of it; list it again, or give it up "
        '(`--drop flow.inp/q`, `drop=["flow.inp/q"]`)'
    )
    assert raised.value.exit_code == 78
    run(less, RecoveryConfig(config.db_dir, drop=["flow.inp/q"]))
    assert out == [1, 10, 100, 2]
    run(turns([("p", 1), ("r", 100), ("p", 2), ("p", 3)], out), config)
    assert out == [1, 10, 100, 2, 3]
    # What was given up begins anew.
    run(turns([("p", 1), ("r", 100), ("p", 2), ("p", 3), ("q", 10)], out), config)
    assert out == [1, 10, 100, 2, 3, 10]


@pytest.mark.parametrize("workers", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("merges", [False, True])
def test_one_watermark_for_several_partitions(tmp_path, workers, merges):
    """How far each partition has come is kept, whichever worker reads it next."""
    items = [("p", 100), ("q", 10), ("q", 50), ("q", 20), ("p", 101)]

    def outputs(stop_before):
        flow, down, late = Dataflow("flow"), [], []
        source = Turns([(part, ("a", at)) for part, at in items], stop_before)
        clock = win.EventClock(
            lambda at: START + timedelta(seconds=at),
            timedelta(),
            lambda: START,
            scope="stream",
        )
        windower = win.TumblingWindower(timedelta(seconds=10), START)
        up = op.input("inp", flow, source)
        if merges:
            up = op.merge("merge", op.input("none", flow, Turns([])), up)
        lists = win.collect_window("step", up, clock, windower)
        op.output("down", lists.down, TestingSink(down))
        op.output("late", lists.late, TestingSink(late))
        directory = tmp_path / str(stop_before)
        directory.mkdir()
        init_db_dir(directory, 1)
        for count in workers[: 1 if stop_before is None else 2]:
            run(flow, RecoveryConfig(directory), count)
        return down, late

    expected = outputs(None)
    assert expected[1] == [("a", (2, 20))]
    assert outputs(2) == expected


class Numbers(DynamicSource):
    """The same numbers from each worker."""

    def build(self, _step_id, _worker_index, _worker_count):
        return NumbersPartition()


class NumbersPartition(StatelessSourcePartition):
    def __init__(self):
        self.numbers = iter(range(1000))

    def next_batch(self):
        return [next(self.numbers)]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("interval", [0, 0.001, 10])
def test_dynamic_source_and_sink_alone(config, workers, interval):
    """D2: once, such a run was over after two items."""
    flow, out = Dataflow("flow"), []
    op.output("out", op.input("inp", flow, Numbers()), TestingSink(out))
    run(flow, config, workers, timedelta(seconds=interval))
    assert sorted(out) == sorted(list(range(1000)) * workers)
