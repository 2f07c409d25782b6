"""A source waits for a slow sink on another worker: memory doesn't grow."""

from __future__ import annotations

import time
from datetime import timedelta

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import TestingSink, cluster_main

from tests.slow_sink import check_memory


@pytest.mark.parametrize("item_size", [20_000, 200])
def test_memory_is_bounded(item_size):
    check_memory(item_size, 60)


class Race:
    """Two partitions: one stands still within an epoch until the other one waits."""

    def __init__(self):
        self.read = 0
        self.is_over = False


class Fast(StatefulSourcePartition):
    def __init__(self, race):
        self.race = race

    def next_batch(self):
        if self.race.is_over:
            raise StopIteration
        self.race.read += 1_000
        return [f"key {number % 100}" for number in range(1_000)]

    def snapshot(self):
        return None


class Slow(StatefulSourcePartition):
    def __init__(self, race):
        self.race = race

    def next_batch(self):
        if self.race.is_over:
            raise StopIteration
        deadline, seen = time.monotonic() + 20, -1
        while seen != self.race.read and time.monotonic() < deadline:
            seen = self.race.read
            time.sleep(0.5)
        self.race.is_over = True
        return ["key 0"]

    def snapshot(self):
        return None


class Source(FixedPartitionedSource):
    def __init__(self, race):
        self.race = race

    def list_parts(self):
        return ["fast", "slow"]

    def build_part(self, _step_id, for_part, _resume_state):
        return (Fast if for_part == "fast" else Slow)(self.race)


@pytest.mark.parametrize("step", ["count_final", "fold_final"])
def test_later_epochs_wait_for_one_that_is_not_over(tmp_path, step):
    """What waits has taken room, whether values are combined or not."""
    init_db_dir(tmp_path, 1)
    flow, race, out = Dataflow("flow"), Race(), []
    keys = op.input("in", flow, Source(race))
    if step == "count_final":
        counts = op.count_final("count", keys, lambda key: key)
    else:
        pairs = op.map("pair", keys, lambda key: (key, 1))
        counts = op.fold_final("count", pairs, int, lambda count, one: count + one)
    op.output("out", counts, TestingSink(out))
    cluster_main(
        flow,
        [],
        0,
        epoch_interval=timedelta(milliseconds=50),
        worker_count_per_proc=2,
        recovery_config=RecoveryConfig(tmp_path),
    )
    # Two workers have room for 16 thousand items, and may be busy with as many.
    assert race.read < 100_000
    expected = {f"key {number}": race.read // 100 for number in range(100)}
    expected["key 0"] += 1
    assert dict(out) == expected
