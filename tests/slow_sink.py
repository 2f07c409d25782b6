"""A fast source, and a sink that is slow on another worker: memory must not grow.

Its items are three times as many as may be in memory, and half of them are for the slow
worker. It is run in a process of its own, since it is the memory of a process that
counts; with a store, state is kept too.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.outputs import DynamicSink, StatelessSinkPartition
from millstream.recovery import RecoveryConfig
from millstream.testing import cluster_main

from tests.processes import finished

BATCH_BYTES, BATCHES = 200_000, 3_000
SLOW_FOR = 1.0

LIMIT = 200_000
"""How many kilobytes the process may take at most."""

STATUS = Path("/proc/self/status")


class Numbers(StatefulSourcePartition):
    def __init__(self, item_size):
        self.item_size = item_size
        self.batch_size = BATCH_BYTES // item_size
        self.batches = 0

    def next_batch(self):
        if self.batches == BATCHES:
            raise StopIteration
        first = self.batches * self.batch_size
        self.batches += 1
        numbers = range(first, first + self.batch_size)
        return [f"{number:{self.item_size}}" for number in numbers]

    def snapshot(self):
        return self.batches


class Source(FixedPartitionedSource):
    def __init__(self, item_size):
        self.item_size = item_size

    def list_parts(self):
        return ["all"]

    def build_part(self, _step_id, _for_part, _resume_state):
        return Numbers(self.item_size)


class Counting(StatelessSinkPartition):
    def __init__(self, received, worker_index):
        self.received = received
        self.worker_index = worker_index
        self.slow_until = time.monotonic() + SLOW_FOR

    def write_batch(self, items):
        self.received[self.worker_index] += len(items)
        if self.worker_index == 1 and time.monotonic() < self.slow_until:
            time.sleep(0.05)


class Sink(DynamicSink):
    def __init__(self, received):
        self.received = received

    def build(self, _step_id, worker_index, _worker_count):
        return Counting(self.received, worker_index)


def main(item_size, interval, store=None):
    """Run it, see that both workers had their share, and write what memory it took."""
    received = [0, 0]
    flow = Dataflow("slow_sink")
    up = op.input("numbers", flow, Source(int(item_size)))
    spread = op.redistribute("spread", up)
    if store is not None:
        keyed = op.key_on("key", spread, lambda item: item[-2:])
        spread = op.stateful_map("count", keyed, lambda n, item: ((n or 0) + 1, item))
    op.output("out", spread, Sink(received))
    cluster_main(
        flow,
        [],
        0,
        epoch_interval=timedelta(seconds=float(interval)),
        worker_count_per_proc=2,
        recovery_config=None if store is None else RecoveryConfig(store),
    )
    items = BATCHES * BATCH_BYTES // int(item_size)
    assert sum(received) == items
    assert min(received) > items // 3
    taken = STATUS.read_text().partition("VmHWM:")[2].split()[0]
    sys.stdout.write(taken)


def check_memory(item_size, interval, *store):
    """Run it in a process of its own, which must do with little memory."""
    if not STATUS.exists():
        pytest.fail(f"there is no `{STATUS}` here, so memory can't be measured")
    args = map(str, (item_size, interval, *store))
    folder = Path(__file__).parents[1]
    code, out, err = finished("-m", "tests.slow_sink", *args, folder=folder)
    assert (code, err) == (0, "")
    assert int(out) < LIMIT


if __name__ == "__main__":
    main(*sys.argv[1:])
