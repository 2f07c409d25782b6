"""What recovery costs: snapshots while running, and going on afterwards.

Run as ``python -m benchmarks.studies.recovery INTERVAL KEYS BATCHES DIRECTORY``; an
interval of ``none`` runs without a store. If the directory has a store, the run goes on
from it.
"""

from __future__ import annotations

import argparse
import random
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.outputs import DynamicSink, StatelessSinkPartition
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import run_main

from benchmarks.measure import run_once
from benchmarks.meters import Figures, measured
from benchmarks.running_average import average
from benchmarks.studies import Table

TITLE = "W10 recovery: snapshots while running, and going on from them"
NOTE = (
    "W3 with an epoch of a second, and of a tenth, against none; each epoch keeps the "
    "state of every key that it touched. Then runs that bring nothing new, and only "
    "load what an earlier one kept: their time is that of loading."
)
BATCH = 1_000
BATCHES = 20_000
KEYS = (250_000, 500_000, 1_000_000)


class Part(StatefulSourcePartition[Any, int]):
    """So many batches, of keys at random or each once."""

    def __init__(self, blocks: list[list[Any]], batches: int, position: int) -> None:
        self._blocks = blocks
        self._batches = batches
        self._position = position

    def next_batch(self) -> list[Any]:
        """The next batch: the same ones, over and over."""
        if self._position == self._batches:
            raise StopIteration
        self._position += 1
        return self._blocks[self._position % len(self._blocks)]

    def snapshot(self) -> int:
        """How many batches are over."""
        return self._position


class Source(FixedPartitionedSource[Any, int]):
    """One such partition."""

    def __init__(self, keys: int, batches: int) -> None:
        draw = random.Random(1)  # noqa: S311 # Not for secrets.
        if keys > BATCH:
            names = [f"sensor-{number}" for number in range(keys)]
        else:
            names = [f"sensor-{draw.randrange(keys)}" for _ in range(200 * BATCH)]
        pairs = [(name, draw.random()) for name in names]
        self._blocks = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
        self._batches = batches

    def list_parts(self) -> list[str]:
        """The one partition."""
        return ["all"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Part:  # noqa: ARG002
        """It goes on where it was."""
        return Part(self._blocks, self._batches, resume_state or 0)


class Nowhere(DynamicSink[Any], StatelessSinkPartition[Any]):
    """Counts what is written."""

    def __init__(self) -> None:
        self.count = 0

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Nowhere:  # noqa: ARG002
        """There is one for all."""
        return self

    def write_batch(self, items: list[Any]) -> None:
        """Count them."""
        self.count += len(items)


def run(interval: str, keys: int, batches: int, directory: Path) -> None:
    """One run, on a store if there is an interval."""
    flow, sink = Dataflow("recovery"), Nowhere()
    readings = op.input("in", flow, Source(keys, batches))
    op.output("out", op.stateful_map("average", readings, average), sink)
    settings: dict[str, Any] = {}
    if interval != "none":
        if not any(directory.iterdir()):
            init_db_dir(directory, 1)
        settings = {
            "recovery_config": RecoveryConfig(directory),
            "epoch_interval": timedelta(seconds=float(interval)),
        }
    measured(lambda: run_main(flow, **settings), lambda: sink.count)


def store_size(directory: Path) -> float:
    """In megabytes."""
    return sum(file.stat().st_size for file in directory.iterdir()) / 1e6


def row(name: str, keys: int, items: int, figures: Figures, size: float) -> list[Any]:
    """A row of the table."""
    return [name, keys, items, figures["cpu"], figures["wall"], size]


def study(scale: float) -> Table:
    """Measure both."""
    rows: list[list[str | int | float]] = []
    batches = max(1, int(BATCHES * scale))
    for interval in ("none", "1", "0.1"):
        with TemporaryDirectory() as folder:
            figures = run_once("studies.recovery", interval, 1_000, batches, folder)
            size = store_size(Path(folder))
        name = "no store" if interval == "none" else f"an epoch of {interval} s"
        rows.append(row(name, 1_000, batches * BATCH, figures, size))
    for keys in (int(each * scale) for each in KEYS):
        with TemporaryDirectory() as folder:
            many = max(1, keys // BATCH)
            first = run_once("studies.recovery", "1", keys, many, folder)
            size = store_size(Path(folder))
            rows.append(row("first run", keys, many * BATCH, first, size))
            again = run_once("studies.recovery", "1", keys, many, folder)
            rows.append(row("goes on, with nothing new", keys, 0, again, size))
    columns = ["run", "keys", "items", "CPU s", "wall s", "store MB"]
    return Table(TITLE, NOTE, columns, rows)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interval")
    parser.add_argument("keys", type=int)
    parser.add_argument("batches", type=int)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    run(arguments.interval, arguments.keys, arguments.batches, arguments.directory)


if __name__ == "__main__":
    main()
