"""W1: one map, one filter, over integers."""

from __future__ import annotations

from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, in_batches


def double(number: int) -> int:
    """The user's mapper."""
    return number * 2


def is_threefold(number: int) -> bool:
    """The user's predicate."""
    return number % 3 == 0


def make(items: int) -> Batches:
    """Integers."""
    return in_batches(list(range(items)))


def flow(engine: Engine, flow: Any, batches: Batches) -> Any:
    """The steps."""
    numbers = engine.read("in", flow, batches)
    doubled = engine.op.map("double", numbers, double)
    return engine.op.filter("threefold", doubled, is_threefold)


def plain(batches: Batches, write: Write) -> None:
    """The loop."""
    for batch in batches:
        results = []
        for number in batch:
            doubled = double(number)
            if is_threefold(doubled):
                results.append(doubled)
        write(results)


WORKLOAD = Workload(
    "W1 map, filter",
    items=5_000_000,
    make=make,
    flow=flow,
    plain=plain,
    fewer={"pathway": 2_000_000, "quixstreams": 1_000_000},
    faster={"bytewax": 3, "plain": 1},
)
