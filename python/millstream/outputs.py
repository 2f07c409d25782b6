"""Sinks: where the items of a dataflow go.

A sink comes in one of two shapes. A `FixedPartitionedSink` has named partitions,
and routes each ``(key, value)`` item to one of them by its key. A `DynamicSink`
gives each worker a partition of its own, which takes whatever arrives there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar
from zlib import adler32

__all__ = [
    "DynamicSink",
    "FixedPartitionedSink",
    "S",
    "Sink",
    "StatefulSinkPartition",
    "StatelessSinkPartition",
    "X",
]

X = TypeVar("X")
"""The items (for partitioned sinks, the values) that a sink takes."""

S = TypeVar("S")
"""The state of a partition: from where it can resume."""


class Sink(ABC, Generic[X]):
    """What `millstream.operators.output` takes.

    Subclass `FixedPartitionedSink` or `DynamicSink` rather than this.
    """


class StatefulSinkPartition(ABC, Generic[X, S]):
    """One partition of a `FixedPartitionedSink`, being written."""

    @abstractmethod
    def write_batch(self, values: list[X]) -> None:
        """Write values. When this returns, they are the sink's responsibility."""

    @abstractmethod
    def snapshot(self) -> S:
        """From where to resume, so that what was written so far stays as it is.

        Must not change later: return a copy of whatever is mutable.
        """

    def close(self) -> None:
        """Let go of files and connections.

        Called when the dataflow has ended, and when the execution stops early.
        """
        return


class FixedPartitionedSink(Sink[tuple[str, X]], Generic[X, S]):
    """A sink with named partitions, each written by one worker, each resumable.

    Takes ``(key, value)`` items; the partitions get the values.
    """

    @abstractmethod
    def list_parts(self) -> list[str]:
        """The names of all partitions that can be reached from here."""

    def part_fn(self, item_key: str) -> int:
        """Route a key to a partition.

        Args:
            item_key: The key of an item.

        Returns:
            A number that is the same for the same key in every process and
            execution. Modulo the number of partitions, it is an index into their
            sorted names. The default is Adler-32 of the key in UTF-8.
        """
        return adler32(item_key.encode())

    @abstractmethod
    def build_part(
        self, step_id: str, for_part: str, resume_state: S | None
    ) -> StatefulSinkPartition[X, S]:
        """Open a partition; called when its first item arrives.

        Args:
            step_id: The full id of the output step.
            for_part: One of the names that `list_parts` gave.
            resume_state: What `snapshot` returned where the last execution
                ended; None to begin at the beginning.

        Returns:
            The partition.
        """


class StatelessSinkPartition(ABC, Generic[X]):
    """One worker's part of a `DynamicSink`, being written."""

    @abstractmethod
    def write_batch(self, items: list[X]) -> None:
        """Write items. When this returns, they are the sink's responsibility."""

    def close(self) -> None:
        """See `StatefulSinkPartition.close`."""
        return


class DynamicSink(Sink[X]):
    """A sink that each worker writes for itself, without a position to resume from."""

    @abstractmethod
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> StatelessSinkPartition[X]:
        """Open this worker's part; called before any item moves.

        Args:
            step_id: The full id of the output step.
            worker_index: Which worker this is, from 0.
            worker_count: How many workers there are.

        Returns:
            The partition.
        """
