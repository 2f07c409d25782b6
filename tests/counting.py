"""A dataflow that counts, to be stopped anywhere: each line of its output is known.

Two partitions bring items of some keys; each key counts its items over both, and writes
a line for each. How many items come at once, and how long a partition then sleeps, is
up to the environment, so that a replay falls into other epochs than the first attempt.

With ``PACKAGE=bytewax`` in the environment, the same dataflow is one of that package,
and the tests that start it run it there: an engine that is known to count twice after
two crashes shows whether these tests would notice.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path

PACKAGE = os.environ.get("PACKAGE", "millstream")
ITEMS = int(os.environ.get("ITEMS", "3000"))
BATCH = int(os.environ.get("BATCH", "10"))
PAUSE = timedelta(seconds=float(os.environ.get("PAUSE", "0.001")))
SLEEP = float(os.environ.get("SLEEP", "0"))
"""How many seconds a batch takes, which no clock has a part in."""
WIDTH = int(os.environ.get("WIDTH", "1"))
"""How many characters the state of a key has at least."""
KEYS = 7

op = import_module(f"{PACKAGE}.operators")
files = import_module(f"{PACKAGE}.connectors.files")
dataflow = import_module(f"{PACKAGE}.dataflow")
inputs = import_module(f"{PACKAGE}.inputs")


class Numbers(inputs.StatefulSourcePartition):
    """Numbers from a position on."""

    def __init__(self, position):
        self.position = position
        self.awake = None

    def next_batch(self):
        if self.position == ITEMS:
            raise StopIteration
        first = self.position
        self.position = min(first + BATCH, ITEMS)
        self.awake = datetime.now(timezone.utc) + PAUSE if PAUSE else None
        time.sleep(SLEEP)
        return list(range(first, self.position))

    def next_awake(self):
        return self.awake

    def snapshot(self):
        return self.position


class Source(inputs.FixedPartitionedSource):
    def list_parts(self):
        return ["one", "two"]

    def build_part(self, _step_id, _for_part, resume_state):
        return Numbers(resume_state or 0)


def key_of(number):
    """Half of the items are of keys that come a few times: no later one mends them."""
    return f"rare-{number // 6}" if number % 2 else f"key-{number % KEYS}"


def count(state, _number):
    n = int(state or 0) + 1
    return f"{n:{WIDTH}}", n


def expected(items=ITEMS):
    """Every line that there must be, once."""
    counts = {}
    for number in range(items):
        counts[key_of(number)] = counts.get(key_of(number), 0) + 2
    return sorted(
        f"{key} {n}" for key, total in counts.items() for n in range(1, total + 1)
    )


def written(folder):
    """The lines that there are."""
    files = sorted(Path(folder).glob("part_*"))
    return sorted(line for file in files for line in file.read_text().splitlines())


flow = dataflow.Dataflow("counting")
numbers = op.input("numbers", flow, Source())
keyed = op.key_on("key", numbers, key_of)
counts = op.stateful_map("count", keyed, count)
lines = op.map("line", counts, lambda item: (item[0], f"{item[0]} {item[1]}"))
op.output("out", lines, files.DirSink(Path(os.environ.get("OUT", ".")), 2))
