"""A source waits for a slow sink on another worker: memory doesn't grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import finished

STATUS = Path("/proc/self/status")

LIMIT = 200_000
"""How many kilobytes the process may take at most. The items are three times as many,
and half of them are for the slow worker."""

SCRIPT = """
import sys
import time
from datetime import timedelta
from pathlib import Path

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.inputs import DynamicSource, StatelessSourcePartition
from millstream.outputs import DynamicSink, StatelessSinkPartition
from millstream.testing import cluster_main

ITEM_SIZE = int(sys.argv[1])
BATCH_SIZE = 200_000 // ITEM_SIZE
BATCHES = 3_000
SLOW_FOR = 1.0


class Numbers(StatelessSourcePartition):
    def __init__(self, batches):
        self.batches = iter(range(batches))

    def next_batch(self):
        first = next(self.batches) * BATCH_SIZE
        return [
            f"{number:{ITEM_SIZE}}" for number in range(first, first + BATCH_SIZE)
        ]


class Source(DynamicSource):
    def build(self, step_id, worker_index, worker_count):
        return Numbers(BATCHES if worker_index == 0 else 0)


received = [0, 0]
slow_until = time.monotonic() + SLOW_FOR


class Counting(StatelessSinkPartition):
    def __init__(self, worker_index):
        self.worker_index = worker_index

    def write_batch(self, items):
        received[self.worker_index] += len(items)
        if self.worker_index == 1 and time.monotonic() < slow_until:
            time.sleep(0.05)


class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Counting(worker_index)


flow = Dataflow("flow_control")
numbers = op.input("numbers", flow, Source())
op.output("out", op.redistribute("spread", numbers), Sink())
minute = timedelta(seconds=60)
cluster_main(flow, [], 0, epoch_interval=minute, worker_count_per_proc=2)

assert sum(received) == BATCHES * BATCH_SIZE
assert min(received) > BATCHES * BATCH_SIZE // 3
status = Path(sys.argv[2]).read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(not STATUS.exists(), reason=f"there is no `{STATUS}` here")
@pytest.mark.parametrize("item_size", [20_000, 200])
def test_memory_is_bounded(tmp_path, item_size):
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    arguments = (str(item_size), str(STATUS))
    code, out, err = finished("script.py", *arguments, folder=tmp_path)
    assert (code, err) == (0, "")
    assert int(out) < LIMIT
