"""Data in two partitions, and sources that read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.engines import Batches, Engine
from benchmarks.events import Event
from benchmarks.workload import BATCH, in_batches


def split_lines(batches: Batches) -> list[Batches]:
    """Every other batch of lines."""
    return [batches[0::2], batches[1::2]]


def split_keys(batches: Batches) -> list[Batches]:
    """Some keys here, others there: no event is late for being read later.

    The partitions are of about the same size: each key, the most frequent first, is in
    the one that has fewer events so far.
    """
    pairs = [pair for batch in batches for pair in batch]
    sizes = [0, 0]
    part_of = {}
    for key, count in Counter(key for key, _ in pairs).most_common():
        part_of[key] = sizes.index(min(sizes))
        sizes[part_of[key]] += count
    return [
        in_batches([pair for pair in pairs if part_of[pair[0]] == part])
        for part in (0, 1)
    ]


SPLIT: dict[str, Callable[[Batches], list[Batches]]] = {
    "words": split_lines,
    "tumbling": split_keys,
}


def source_of(engine: Engine, parts: list[Batches]) -> Any:
    """A source of these partitions, for an engine."""

    class Partition(engine.inputs.StatefulSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self, batches: Batches) -> None:
            self._batches = iter(batches)

        def next_batch(self) -> list[Any]:
            return next(self._batches)

        def snapshot(self) -> None:
            return None

    class Source(engine.inputs.FixedPartitionedSource):  # type: ignore[misc,name-defined]
        def list_parts(self) -> list[str]:
            return [str(number) for number in range(len(parts))]

        def build_part(self, _step_id: str, part: str, _state: None) -> Partition:
            return Partition(parts[int(part)])

    return Source()


def reading(engine: Engine, parts: list[Batches]) -> Engine:
    """The same engine, whose flows read these partitions whatever they are given."""

    class Parts(type(engine)):  # type: ignore[misc]
        def read(self, step_id: str, flow: Any, _batches: object) -> Any:
            return self.op.input(step_id, flow, source_of(engine, parts))

    made: Engine = Parts(**vars(engine))
    return made


def write_lines(parts: list[Batches], directory: Path) -> None:
    """Write the events of the window workloads, as a file of JSON Lines a partition."""
    for number, batches in enumerate(parts):
        with (directory / f"{number}.jsonl").open("w") as file:
            for batch in batches:
                for key, (time, value) in batch:
                    line = {"key": key, "time": time.isoformat(), "value": value}
                    file.write(json.dumps(line) + "\n")


def parse(line: str) -> tuple[str, Event]:
    """The user's parser: the event that a line is of."""
    record = json.loads(line)
    return record["key"], (datetime.fromisoformat(record["time"]), record["value"])


def reading_lines(engine: Engine, directory: Path) -> Engine:
    """The same engine, whose flows read and parse these files."""

    class Lines(type(engine)):  # type: ignore[misc]
        def read(self, step_id: str, flow: Any, _batches: object) -> Any:
            source = self.files.DirSource(directory, "*.jsonl", batch_size=BATCH)
            lines = self.op.input(step_id, flow, source)
            return self.op.map("parse", lines, parse)

    made: Engine = Lines(**vars(engine))
    return made
