"""Waiting costs nothing."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.testing import TestingSink, cluster_main


class SecondsPartition(StatefulSourcePartition):
    """Emits the first three seconds, as they begin."""

    def __init__(self):
        self.begin = datetime.now(timezone.utc)
        self.seconds = 0

    def next_batch(self):
        if self.seconds == 3:
            raise StopIteration
        self.seconds += 1
        return [self.seconds]

    def next_awake(self):
        return self.begin + timedelta(seconds=self.seconds)

    def snapshot(self):
        return None


class SecondsSource(FixedPartitionedSource):
    def list_parts(self):
        return ["seconds"]

    def build_part(self, *_args):
        return SecondsPartition()


@pytest.mark.parametrize("workers", [1, 2])
def test_waiting_for_a_source_takes_no_time_of_the_processor(workers):
    out = []
    flow = Dataflow("idle")
    seconds = op.input("seconds", flow, SecondsSource())
    op.output("out", seconds, TestingSink(out))
    begin, begin_of_work = time.monotonic(), time.process_time()
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    work = time.process_time() - begin_of_work
    assert time.monotonic() - begin >= 3
    assert out == [1, 2, 3]
    assert work < 0.2
