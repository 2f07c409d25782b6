"""Flows that tests of clusters share, and what they write."""

from __future__ import annotations

import time

SUMS = """
import os

import millstream.operators as op
from millstream.connectors.files import DirSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource

items = [(f"key-{n % 7}", n) for n in range(1000)]
flow = Dataflow("flow")
up = op.merge(
    "both",
    op.input("one", flow, TestingSource(items, 10)),
    op.input("two", flow, TestingSource(items, 10)),
)
spread = op.redistribute("spread", up)
sums = op.fold_final("sum", spread, int, lambda total, n: total + n)
lines = op.map("line", sums, lambda item: (item[0], f"{item[0]} {item[1]}"))
op.output("out", lines, DirSink(".", 2))
"""

EXPECTED = sorted(
    f"key-{key} {2 * sum(n for n in range(1000) if n % 7 == key)}" for key in range(7)
)


ENDLESS = """
import time

import millstream.operators as op
from millstream.connectors.files import DirSink
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition


class Numbers(StatefulSourcePartition):
    def __init__(self, number):
        self.number = number

    def next_batch(self):
        time.sleep(0.002)
        self.number += 1
        return [("key", str(self.number))]

    def snapshot(self):
        return self.number


class Source(FixedPartitionedSource):
    def list_parts(self):
        return ["a", "b", "c"]

    def build_part(self, _step_id, _for_part, resume_state):
        return Numbers(resume_state or 0)


flow = Dataflow("flow")
up = op.redistribute("spread", op.input("inp", flow, Source()))
op.output("out", up, DirSink(".", 1))
"""


def lines_in(folder):
    files = folder.glob("part_*")
    return sorted(line for path in files for line in path.read_text().splitlines())


IDLE = ENDLESS.replace(
    "        self.number += 1", "        self.number += self.number < 60"
).replace("return [(", "return [] if self.number == 60 else [(")
"""The same, with nothing to do after a while."""


def wait_for_output(cluster, processes):
    deadline = time.monotonic() + 20
    while len(lines_in(cluster.folder)) < 20:
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
