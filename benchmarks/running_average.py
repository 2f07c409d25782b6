"""W3: the running average of each of a thousand sensors."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, in_batches

SENSORS = 1_000
STEPS = 1 << 10
"""Readings are multiples of a power of two: their sums are exact in any order."""

State = tuple[float, int]


def average(state: State | None, reading: float) -> tuple[State, float]:
    """The user's mapper."""
    total, count = (0.0, 0) if state is None else state
    total, count = total + reading, count + 1
    return (total, count), total / count


def make(items: int) -> Batches:
    """Pairs of sensor and reading."""
    draw = random.Random(3)  # noqa: S311 - no secrets here
    sensors = [f"sensor-{number:03}" for number in range(SENSORS)]
    return in_batches(
        [
            (sensor, int(draw.random() * STEPS) / STEPS)
            for sensor in draw.choices(sensors, k=items)
        ]
    )


def flow(engine: Engine, flow: Any, batches: Batches) -> Any:
    """The steps."""
    readings = engine.read("in", flow, batches)
    return engine.op.stateful_map("average", readings, average)


def plain(batches: Batches, write: Write) -> None:
    """The loop."""
    states: dict[str, State] = {}
    for batch in batches:
        results = []
        for sensor, reading in batch:
            states[sensor], mean = average(states.get(sensor), reading)
            results.append((sensor, mean))
        write(results)


WORKLOAD = Workload(
    "W3 keyed running average",
    items=2_000_000,
    make=make,
    flow=flow,
    plain=plain,
    fewer={"quixstreams": 200_000},
    faster={"bytewax": 8, "plain": 1},
)
