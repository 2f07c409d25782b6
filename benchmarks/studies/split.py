"""Data in two partitions, and a source that reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.engines import Batches, Engine
from benchmarks.workload import in_batches


def split_lines(batches: Batches) -> list[Batches]:
    """Every other batch of lines."""
    return [batches[0::2], batches[1::2]]


def split_keys(batches: Batches) -> list[Batches]:
    """The even and the odd keys, so that no partition is late for being read later."""
    pairs = [pair for batch in batches for pair in batch]
    return [
        in_batches([pair for pair in pairs if int(pair[0][-1]) % 2 == parity])
        for parity in (0, 1)
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
