"""W7: join two streams of the same keys, each key once on each side."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, in_batches

Sides = tuple[Batches, Batches]


def make(items: int) -> Sides:
    """Two sides, of half of the items each, shuffled; each has strings of its own."""
    draw = random.Random(7)  # noqa: S311 - no secrets here
    numbers = range(items // 2)
    left = [(f"key-{number}", number) for number in numbers]
    right = [(f"key-{number}", -number) for number in numbers]
    draw.shuffle(left)
    draw.shuffle(right)
    return in_batches(left), in_batches(right)


def flow(engine: Engine, flow: Any, sides: Sides) -> Any:
    """The steps."""
    left, right = sides
    return engine.op.join(
        "join",
        engine.read("left", flow, left),
        engine.read("right", flow, right),
    )


def plain(sides: Sides, write: Write) -> None:
    """The loop: whichever side comes first waits for the other."""
    left_waiting: dict[str, int] = {}
    right_waiting: dict[str, int] = {}
    for left, right in zip(*sides, strict=True):
        results = []
        for key, value in left:
            if key in right_waiting:
                results.append((key, (value, right_waiting.pop(key))))
            else:
                left_waiting[key] = value
        for key, value in right:
            if key in left_waiting:
                results.append((key, (left_waiting.pop(key), value)))
            else:
                right_waiting[key] = value
        write(results)


WORKLOAD = Workload(
    "W7 join",
    items=1_000_000,
    make=make,
    flow=flow,
    plain=plain,
    faster={"bytewax": 40},
)
