"""The data of the window workloads: events out of order, with keys often or rarely met.

A thousand keys (Zipf), 3.6 ms apart, up to 5 s out of order.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from benchmarks.engines import Batches
from benchmarks.workload import in_batches

KEYS = 1_000
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
APART = 0.0036
JITTER = 5.0
STEPS = 1 << 10
"""Values are multiples of a power of two: their sums are exact in any order."""

Event = tuple[datetime, float]


def make(items: int, key_count: int = KEYS) -> Batches:
    """Pairs of key and event."""
    draw = random.Random(4)  # noqa: S311 - no secrets here
    keys = [f"key-{number}" for number in range(key_count)]
    weights = [1 / (rank + 1) ** 1.05 for rank in range(key_count)]
    return in_batches(
        [
            (
                key,
                (
                    START + timedelta(seconds=i * APART - draw.random() * JITTER),
                    int(draw.random() * STEPS) / STEPS,
                ),
            )
            for i, key in enumerate(draw.choices(keys, weights, k=items))
        ]
    )
