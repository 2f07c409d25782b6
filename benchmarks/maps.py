"""A flow of so many identity maps: what a map costs.

The difference between many maps and none is the cost of the maps alone, without
source and sink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, in_batches

COUNTS = (0, 1, 5)


def identities(count: int) -> list[Callable[[int], int]]:
    """So many functions, each its own, as in a real flow."""
    return [lambda x: x for _ in range(count)]


def make(items: int) -> Batches:
    """Integers."""
    return in_batches(list(range(items)))


def workload(count: int) -> Workload:
    """The workload of so many maps."""

    def flow(engine: Engine, flow: Any, batches: Batches) -> Any:
        stream = engine.read("in", flow, batches)
        for number, function in enumerate(identities(count)):
            stream = engine.op.map(f"map_{number}", stream, function)
        return stream

    def plain(batches: Batches, write: Write) -> None:
        functions = identities(count)
        for batch in batches:
            results = []
            for item in batch:
                value = item
                for function in functions:
                    value = function(value)
                results.append(value)
            write(results)

    return Workload(
        f"{count} maps" if count != 1 else "1 map",
        items=2_000_000,
        make=make,
        flow=flow,
        plain=plain,
    )
