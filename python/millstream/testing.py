"""What tests of dataflows need: sources, sinks and time under control.

A test gives a dataflow a `TestingSource`, collects what comes out with a
`TestingSink`, and runs it with `run_main` or `cluster_main`. Sentinels among the
items of the source make it end, crash or wait at a chosen item. The rest is for
tests of sources and of steps that look at a clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, TypeVar

from millstream._engine import cluster_main, run_main
from millstream.inputs import (
    AbortExecution,
    FixedPartitionedSource,
    StatefulSourcePartition,
    StatelessSourcePartition,
)
from millstream.outputs import DynamicSink, StatelessSinkPartition

__all__ = [
    "TestingSink",
    "TestingSource",
    "TimeTestingGetter",
    "X",
    "cluster_main",
    "ffwd_iter",
    "poll_next_batch",
    "run_main",
]

X = TypeVar("X")
"""The items of a source or sink."""

_IDLE = timedelta(milliseconds=1)
"""How long the engine, too, waits after an empty batch."""


@dataclass
class TimeTestingGetter:
    """A clock that stands still until you advance it.

    Args:
        now: The time that it shows first.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> clock = TimeTestingGetter(datetime(2024, 1, 1, tzinfo=timezone.utc))
        >>> clock.advance(timedelta(hours=2))
        >>> clock.get().isoformat()
        '2024-01-01T02:00:00+00:00'
    """

    now: datetime

    def advance(self, td: timedelta) -> None:
        """Move the time on.

        Args:
            td: By how much.
        """
        self.now += td

    def get(self) -> datetime:
        """The time now; pass this method to whatever asks for a `now_getter`.

        Returns:
            The time that the clock shows.
        """
        return self.now


def ffwd_iter(it: Iterator[Any], n: int) -> None:
    """Skip the next items of an iterator, or all that are left if they are fewer.

    Args:
        it: The iterator; it is advanced in place.
        n: How many items to skip.

    Examples:
        >>> letters = iter("abcd")
        >>> ffwd_iter(letters, 2)
        >>> list(letters)
        ['c', 'd']
    """
    next(islice(it, n, n), None)


class _Sentinel:
    """Not an item: tells a `TestingSource` what to do at this place."""


class TestingSource(FixedPartitionedSource[X, int]):
    """A source with the items of an iterable, in one partition named ``"iterable"``.

    `TestingSource.EOF`, `TestingSource.ABORT` and `TestingSource.PAUSE` objects
    among the items are not items. Each of them ends the batch that it is met in;
    what it stands for happens at the next one.

    The state is how many elements of the iterable, sentinels included, are over.
    A resume skips that many, so the iterable must begin with the same ones again.

    Args:
        ib: The items. An iterator can be read by one execution only.
        batch_size: How many items to emit at once.

    Raises:
        ValueError: If `batch_size` is less than 1.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> flow = Dataflow("testing")
        >>> items = [1, 2, TestingSource.EOF(), 3]
        >>> numbers = op.input("numbers", flow, TestingSource(items))
        >>> out = []
        >>> op.output("out", numbers, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [1, 2]
    """

    __test__ = False

    @dataclass
    class EOF(_Sentinel):
        """The source ends here. A resumed execution continues after it."""

    @dataclass
    class ABORT(_Sentinel):
        """The execution stops here, as in a crash.

        Each object does so once; an execution that meets it again passes over it.
        """

        _triggered: bool = False

    @dataclass
    class PAUSE(_Sentinel):
        """The source waits here.

        Args:
            for_duration: How long.
        """

        for_duration: timedelta

    def __init__(
        self,
        ib: Iterable[X | TestingSource.EOF | TestingSource.ABORT | TestingSource.PAUSE],
        batch_size: int = 1,
    ) -> None:
        if batch_size < 1:
            msg = f"`batch_size` must be at least 1, but it is {batch_size}"
            raise ValueError(msg)
        self._ib = ib
        self._batch_size = batch_size

    def list_parts(self) -> list[str]:
        """The one partition, ``"iterable"``."""
        return ["iterable"]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,  # noqa: ARG002
        resume_state: int | None,
    ) -> StatefulSourcePartition[X, int]:
        """See `millstream.inputs.FixedPartitionedSource.build_part`."""
        return _TestingSourcePartition(self._ib, self._batch_size, resume_state or 0)


class _TestingSourcePartition(StatefulSourcePartition[X, int]):
    def __init__(
        self,
        ib: Iterable[X | TestingSource.EOF | TestingSource.ABORT | TestingSource.PAUSE],
        batch_size: int,
        index: int,
    ) -> None:
        self._elements = iter(ib)
        self._batch_size = batch_size
        self._index = index
        self._ending: Exception | None = None
        self._awake_at: datetime | None = None
        ffwd_iter(self._elements, index)

    def next_batch(self) -> list[X]:
        if self._ending is not None:
            self._index += 1
            raise self._ending
        self._awake_at = None
        batch: list[X] = []
        for element in self._elements:
            if isinstance(element, _Sentinel):
                if self._obey(element):
                    return batch
                continue
            self._index += 1
            batch.append(element)
            if len(batch) == self._batch_size:
                return batch
        if not batch:
            raise StopIteration
        return batch

    def _obey(self, sentinel: _Sentinel) -> bool:
        """Prepare for what the sentinel asks for; say if it ends the batch."""
        if isinstance(sentinel, TestingSource.EOF):
            # Counted only when the end is reported: a snapshot between this batch
            # and the end must not lead a resume past the end.
            self._ending = StopIteration()
            return True
        if isinstance(sentinel, TestingSource.ABORT) and not sentinel._triggered:  # noqa: SLF001
            sentinel._triggered = True  # noqa: SLF001
            self._ending = AbortExecution()
            return True
        self._index += 1
        if isinstance(sentinel, TestingSource.PAUSE):
            self._awake_at = datetime.now(timezone.utc) + sentinel.for_duration
            return True
        return False

    def next_awake(self) -> datetime | None:
        return self._awake_at

    def snapshot(self) -> int:
        return self._index


class TestingSink(DynamicSink[X]):
    """A sink that appends all items to a list.

    Args:
        ls: The list. Workers in other processes have a list of their own.

    Examples:
        >>> out = []
        >>> part = TestingSink(out).build("flow.out", 0, 1)
        >>> part.write_batch([1, 2])
        >>> out
        [1, 2]
    """

    __test__ = False

    def __init__(self, ls: list[X]) -> None:
        self._ls = ls

    def build(
        self,
        step_id: str,  # noqa: ARG002
        worker_index: int,  # noqa: ARG002
        worker_count: int,  # noqa: ARG002
    ) -> StatelessSinkPartition[X]:
        """See `millstream.outputs.DynamicSink.build`."""
        return _TestingSinkPartition(self._ls)


class _TestingSinkPartition(StatelessSinkPartition[X]):
    def __init__(self, ls: list[X]) -> None:
        self._ls = ls

    def write_batch(self, items: list[X]) -> None:
        self._ls += items


def poll_next_batch(
    part: StatefulSourcePartition[X, Any] | StatelessSourcePartition[X],
    timeout: timedelta = timedelta(seconds=5),
) -> list[X]:
    """Ask a partition for batches, as the engine would, until one has items.

    Args:
        part: A partition of the source to test.
        timeout: How long to try. The partition is asked at least once, unless
            its `next_awake` lies behind this.

    Returns:
        The first batch with items.

    Raises:
        TimeoutError: If there were no items in time. If `next_awake` says so
            before, this doesn't wait.
        StopIteration: If the partition is at its end.

    Examples:
        >>> part = TestingSource(["a", "b"]).build_part("flow.inp", "iterable", None)
        >>> poll_next_batch(part)
        ['a']
        >>> poll_next_batch(part)
        ['b']
    """
    deadline = time.monotonic() + timeout.total_seconds()
    wait = _until(part.next_awake())
    while wait.total_seconds() <= max(deadline - time.monotonic(), 0):
        time.sleep(wait.total_seconds())
        batch = list(part.next_batch())
        if batch:
            return batch
        wait = max(_until(part.next_awake()), _IDLE)
    msg = f"the partition had no items within {timeout.total_seconds()} seconds"
    raise TimeoutError(msg)


def _until(awake_at: datetime | None) -> timedelta:
    """How long to wait for a time; not at all if it is past or there is none."""
    if awake_at is None:
        return timedelta()
    return max(awake_at - datetime.now(timezone.utc), timedelta())
