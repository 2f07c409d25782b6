"""A source for examples, which needs nothing to be set up."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition

__all__ = ["RandomMetricSource"]


def _random_digit() -> float:
    return random.randrange(0, 10)  # noqa: S311


class RandomMetricSource(FixedPartitionedSource[tuple[str, float], int]):
    """A sensor that shows a random value at regular times.

    It emits ``(metric_name, value)``, and has one partition, which is named after
    the metric. The state is how many values were emitted.

    Args:
        metric_name: The name of the metric; the key of the items.
        interval: The time between values. Times that were missed because the rest
            of the dataflow was slow are skipped.
        count: How many values to emit; practically without end unless given.
        next_random: Returns the next value. The default is an integer from 0 to 9.

    Examples:
        >>> from datetime import timedelta
        >>> from millstream.testing import poll_next_batch
        >>> source = RandomMetricSource("volts", timedelta(), next_random=lambda: 230)
        >>> part = source.build_part("flow.inp", "volts", None)
        >>> poll_next_batch(part)
        [('volts', 230)]
    """

    def __init__(
        self,
        metric_name: str,
        interval: timedelta = timedelta(seconds=0.7),
        count: int = sys.maxsize,
        next_random: Callable[[], float] = _random_digit,
    ) -> None:
        self._metric_name = metric_name
        self._interval = interval
        self._count = count
        self._next_random = next_random

    def list_parts(self) -> list[str]:
        """The one partition, named after the metric."""
        return [self._metric_name]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSourcePartition[tuple[str, float], int]:
        """See `millstream.inputs.FixedPartitionedSource.build_part`."""
        return _RandomMetricPartition(
            for_part,
            self._interval,
            self._count,
            self._next_random,
            emitted=resume_state or 0,
        )


class _RandomMetricPartition(StatefulSourcePartition[tuple[str, float], int]):
    def __init__(
        self,
        metric_name: str,
        interval: timedelta,
        count: int,
        next_random: Callable[[], float],
        *,
        emitted: int,
    ) -> None:
        self._metric_name = metric_name
        self._interval = interval
        self._count = count
        self._next_random = next_random
        self._emitted = emitted
        self._awake_at = datetime.now(timezone.utc)

    def next_batch(self) -> list[tuple[str, float]]:
        if self._emitted >= self._count:
            raise StopIteration
        self._emitted += 1
        self._awake_at = max(
            self._awake_at + self._interval, datetime.now(timezone.utc)
        )
        return [(self._metric_name, self._next_random())]

    def next_awake(self) -> datetime | None:
        # The end needs no waiting for.
        return self._awake_at if self._emitted < self._count else None

    def snapshot(self) -> int:
        return self._emitted
