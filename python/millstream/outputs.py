"""Sinks: where the items of a dataflow go.

A sink comes in one of three shapes. A `FixedPartitionedSink` has named partitions,
and routes each ``(key, value)`` item to one of them by its key. A `TwoPhaseSink` does
so too, and shows what it was given only when that can't be taken back any more. A
`DynamicSink` gives each worker a partition of its own, which takes whatever arrives
there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar
from zlib import adler32

__all__ = [
    "DynamicSink",
    "FixedPartitionedSink",
    "P",
    "S",
    "Sink",
    "StatefulSinkPartition",
    "StatelessSinkPartition",
    "TwoPhaseSink",
    "TwoPhaseSinkPartition",
    "X",
]

X = TypeVar("X")
"""The items (for partitioned sinks, the values) that a sink takes."""

S = TypeVar("S")
"""The state of a partition: from where it can resume."""

P = TypeVar("P")
"""What a two-phase sink has prepared: all that it takes to commit it."""


class Sink(ABC, Generic[X]):
    """What `millstream.operators.output` takes.

    Subclass `FixedPartitionedSink`, `TwoPhaseSink` or `DynamicSink` rather than this.
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


class _PartitionedSink(Sink[tuple[str, X]], Generic[X]):
    """What all sinks with named partitions have in common."""

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


class FixedPartitionedSink(_PartitionedSink[X], Generic[X, S]):
    """A sink with named partitions, each written by one worker, each resumable.

    Takes ``(key, value)`` items; the partitions get the values.
    """

    def claim_part(self, step_id: str, for_part: str) -> S | None:  # noqa: ARG002
        """Take over a partition that the recovery store knows nothing of.

        Called before any item moves, and only with a recovery store. The place to
        refuse, by raising an exception, what the sink would otherwise write over.

        Args:
            step_id: The full id of the output step.
            for_part: One of the names that `list_parts` gave.

        Returns:
            The state to begin with, or None for none. The store has it before
            anything is written, so the next execution gets it as `resume_state` even
            if this one dies at once. A sink that refuses what it finds should return
            one, or it would refuse its own after such a crash.
        """
        return None

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


class TwoPhaseSinkPartition(ABC, Generic[X, P]):
    """One partition of a `TwoPhaseSink`, being written.

    At the end of each epoch in which it was written to, it is told to `prepare`. When
    all steps, sources and sinks have done their part of the epoch, and the recovery
    store has it on disk, it is told to `commit` what it has prepared. A crash in
    between leaves that to the next execution, which is given the same in `recover`.
    """

    @abstractmethod
    def write_batch(self, values: list[X]) -> None:
        """Write values where nobody sees them yet."""

    @abstractmethod
    def prepare(self, epoch: int) -> P:
        """Make durable what was written since the last call, or since the beginning.

        When this returns, a `commit` must be possible whatever happens, also from
        another process.

        Args:
            epoch: The number of the epoch that ends. Of all that is ever committed, no
                two epochs of a partition have the same.

        Returns:
            What `commit` needs. It is pickled, so it should be small: a file name or
            the id of a transaction, not the values.
        """

    @abstractmethod
    def commit(self, prepared: P) -> None:
        """Let the values be seen.

        May be called again for what is committed already, after a crash: that must
        change nothing.

        Args:
            prepared: What `prepare` returned, in this execution or an earlier one.
        """

    @abstractmethod
    def abort(self) -> None:
        """Throw away what was written since the last `prepare`.

        Called before `close` when the execution stops early. What is prepared must
        stay: its epoch may yet count.
        """

    def recover(self, prepared: list[P]) -> None:
        """Finish what earlier executions have begun; called before anything else.

        The default commits all of `prepared`. Override it to also throw away what else
        earlier executions have left behind: those epochs are done again.

        Args:
            prepared: What was prepared in epochs that count, in their order, and may
                not be committed. Empty without a recovery store.
        """
        for each in prepared:
            self.commit(each)

    def close(self) -> None:
        """See `StatefulSinkPartition.close`."""
        return


class TwoPhaseSink(_PartitionedSink[X], Generic[X, P]):
    """A sink with named partitions, in which what is seen is never taken back.

    Takes ``(key, value)`` items; the partitions get the values. All partitions are
    opened at the start, each by one worker. What arrives in an epoch can be seen from
    when the recovery store has that epoch on disk; without a store, from its end.

    Examples:
        A sink for a database would keep the values of an epoch in a table of its own,
        and move them to where they are read in one transaction. Here the database is
        a pair of dictionaries:

        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.outputs import TwoPhaseSink, TwoPhaseSinkPartition
        >>> from millstream.testing import TestingSource, run_main
        >>> waiting, seen = {}, {}
        >>> class Table(TwoPhaseSinkPartition[int, tuple[int, int]]):
        ...     def __init__(self, execution):
        ...         self.execution = execution
        ...         self.values = []
        ...
        ...     def write_batch(self, values):
        ...         self.values.extend(values)
        ...
        ...     def prepare(self, epoch):
        ...         waiting[self.execution, epoch] = self.values
        ...         self.values = []
        ...         return self.execution, epoch
        ...
        ...     def commit(self, prepared):
        ...         if prepared in waiting:
        ...             seen[prepared] = waiting.pop(prepared)
        ...
        ...     def abort(self):
        ...         self.values = []
        ...
        ...     def recover(self, prepared):
        ...         super().recover(prepared)
        ...         for execution, epoch in list(waiting):
        ...             if execution < self.execution:
        ...                 del waiting[execution, epoch]
        >>> class Database(TwoPhaseSink[int, tuple[int, int]]):
        ...     def list_parts(self):
        ...         return ["table"]
        ...
        ...     def build_part(self, step_id, for_part, execution):
        ...         return Table(execution)
        >>> flow = Dataflow("two_phases")
        >>> numbers = op.input("numbers", flow, TestingSource([("a", 1), ("b", 2)]))
        >>> op.output("out", numbers, Database())
        >>> run_main(flow)
        >>> seen
        {(0, 1): [1, 2]}
    """

    def claim_part(self, step_id: str, for_part: str) -> None:  # noqa: ARG002
        """Check that a partition can be begun from nothing.

        Called before it is built, unless the recovery store knows the partition. The
        place to refuse, by raising an exception, to add to what isn't the sink's own.

        Args:
            step_id: The full id of the output step.
            for_part: One of the names that `list_parts` gave.
        """
        return

    @abstractmethod
    def build_part(
        self, step_id: str, for_part: str, execution: int
    ) -> TwoPhaseSinkPartition[X, P]:
        """Open a partition.

        Args:
            step_id: The full id of the output step.
            for_part: One of the names that `list_parts` gave.
            execution: The number of this execution. With one store, a later execution
                has a greater one; without a store it is 0.

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
