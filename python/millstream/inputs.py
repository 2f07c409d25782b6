"""Sources: where the items of a dataflow come from.

A source comes in one of two shapes. A `FixedPartitionedSource` knows its
partitions by name and where it is in each of them, so it can resume. A
`DynamicSource` gives each worker a partition of its own, without a name or a
position. Either makes partitions, which the engine asks for one batch of items
after another.

`SimplePollingSource` is a ready-made source for what can only be asked now and
then. The `batch` functions help to write `next_batch` on top of something that
gives one item at a time.
"""

from __future__ import annotations

import asyncio
import queue
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Generic, TypeVar, cast

__all__ = [
    "AbortExecution",
    "DynamicSource",
    "FixedPartitionedSource",
    "S",
    "SimplePollingSource",
    "Sn",
    "Source",
    "StatefulSourcePartition",
    "StatelessSourcePartition",
    "X",
    "batch",
    "batch_async",
    "batch_getter",
    "batch_getter_ex",
]

X = TypeVar("X")
"""The items of a source."""

S = TypeVar("S")
"""The state of a partition: from where it can resume."""

Sn = TypeVar("Sn")
"""The state of a polling source."""


class AbortExecution(RuntimeError):  # noqa: N818
    """Raise this from `next_batch` to stop the whole execution at once.

    It stands for a crash that can be caught: items in flight are dropped, no step
    sees the end of its input, nothing more is snapshotted, and the entry point
    returns as if the flow had ended.
    """


class Source(ABC, Generic[X]):
    """What `millstream.operators.input` takes.

    Subclass `FixedPartitionedSource` or `DynamicSource` rather than this.
    """


class StatefulSourcePartition(ABC, Generic[X, S]):
    """One partition of a `FixedPartitionedSource`, being read."""

    @abstractmethod
    def next_batch(self) -> Iterable[X]:
        """Take the items that are there now.

        Must not block: other sources and steps wait meanwhile. If there is
        nothing yet, return an empty list, and say in `next_awake` when to ask again.

        Returns:
            Items, possibly none.

        Raises:
            StopIteration: At the end of the partition.
            AbortExecution: To stop the whole execution.
        """

    def next_awake(self) -> datetime | None:
        """When to call `next_batch` again.

        Called once when the partition is built, and after each batch.

        Returns:
            An aware datetime, before which `next_batch` is not called. None, the
            default, means at once after a batch with items, and in a
            millisecond after an empty one.
        """
        return None

    @abstractmethod
    def snapshot(self) -> S:
        """From where to resume, so that the next item is the one after the last batch.

        Must not change later: return a copy of whatever is mutable.
        """

    def close(self) -> None:
        """Let go of files and connections.

        Called when the partition has ended, and when the execution stops early.
        """
        return


class FixedPartitionedSource(Source[X], Generic[X, S]):
    """A source with named partitions, each read by one worker, each resumable."""

    @abstractmethod
    def list_parts(self) -> list[str]:
        """The names of all partitions that can be reached from here."""

    @abstractmethod
    def build_part(
        self, step_id: str, for_part: str, resume_state: S | None
    ) -> StatefulSourcePartition[X, S]:
        """Open a partition.

        Args:
            step_id: The full id of the input step.
            for_part: One of the names that `list_parts` gave.
            resume_state: What `snapshot` returned where the last execution
                ended; None to begin at the beginning.

        Returns:
            The partition.
        """


class StatelessSourcePartition(ABC, Generic[X]):
    """One worker's part of a `DynamicSource`, being read."""

    @abstractmethod
    def next_batch(self) -> Iterable[X]:
        """See `StatefulSourcePartition.next_batch`."""

    def next_awake(self) -> datetime | None:
        """See `StatefulSourcePartition.next_awake`."""
        return None

    def close(self) -> None:
        """See `StatefulSourcePartition.close`."""
        return


class DynamicSource(Source[X]):
    """A source that each worker reads for itself, without a position to resume from."""

    @abstractmethod
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> StatelessSourcePartition[X]:
        """Open this worker's part.

        Args:
            step_id: The full id of the input step.
            worker_index: Which worker this is, from 0.
            worker_count: How many workers there are.

        Returns:
            The partition.
        """


class SimplePollingSource(FixedPartitionedSource[X, Sn]):
    """A source that asks for one item at a time, at regular times.

    Subclass it and define `next_item`. It has one partition, ``"singleton"``, so
    one worker does all the asking.

    The times lie on a grid: the start of the execution, or `align_to`, plus any
    multiple of `interval`. When `next_item` or the rest of the dataflow is slower
    than the interval, the times that were missed are skipped, not caught up with.

    To resume where it ended, define `snapshot` and `resume` too.

    Args:
        interval: The time between calls of `next_item`. Zero means to call it
            again as soon as the last item is on its way.
        align_to: An aware datetime, past or future, that the grid goes through.
            The first call is at the next time on the grid.

    Raises:
        ValueError: If `interval` is negative, or `align_to` is naive.

    Examples:
        >>> from datetime import timedelta
        >>> from millstream.testing import poll_next_batch
        >>> class Countdown(SimplePollingSource[int, None]):
        ...     def __init__(self):
        ...         super().__init__(timedelta(milliseconds=5))
        ...         self.left = 2
        ...
        ...     def next_item(self):
        ...         if self.left == 0:
        ...             raise StopIteration
        ...         self.left -= 1
        ...         return self.left
        >>> part = Countdown().build_part("flow.inp", "singleton", None)
        >>> poll_next_batch(part), poll_next_batch(part)
        ([1], [0])
    """

    @dataclass
    class Retry(Exception):  # noqa: N818
        """Raise this from `next_item` to be called again outside the grid.

        After the retry that works, calls are on the grid again.

        Args:
            timeout: How long to wait before.
        """

        timeout: timedelta

    def __init__(self, interval: timedelta, align_to: datetime | None = None) -> None:
        if interval < timedelta():
            msg = f"`interval` must not be negative, but it is `{interval!r}`"
            raise ValueError(msg)
        if align_to is not None and align_to.utcoffset() is None:
            msg = (
                f"`align_to` must have a timezone, but it is `{align_to!r}`; "
                "add `tzinfo=timezone.utc` if it is meant in UTC"
            )
            raise ValueError(msg)
        self._interval = interval
        self._align_to = align_to

    def list_parts(self) -> list[str]:
        """The one partition, ``"singleton"``."""
        return ["singleton"]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,  # noqa: ARG002
        resume_state: Sn | None,
    ) -> StatefulSourcePartition[X, Sn]:
        """See `FixedPartitionedSource.build_part`."""
        if resume_state is not None:
            self.resume(resume_state)
        return _SimplePollingPartition(self, self._interval, self._align_to)

    @abstractmethod
    def next_item(self) -> X | None:
        """Ask for the next item.

        Returns:
            The item, or None if there is none this time.

        Raises:
            Retry: To be called again after a time-out of your choice.
            StopIteration: At the end of the source.
            AbortExecution: To stop the whole execution.
        """

    def snapshot(self) -> Sn:
        """See `StatefulSourcePartition.snapshot`. The default keeps no state."""
        return cast("Sn", None)

    def resume(self, resume_state: Sn) -> None:  # noqa: ARG002
        """Continue from a state; called before the first `next_item`, if there is one.

        Args:
            resume_state: What `snapshot` returned where the last execution ended.
        """
        return


class _SimplePollingPartition(StatefulSourcePartition[X, Sn]):
    def __init__(
        self,
        source: SimplePollingSource[X, Sn],
        interval: timedelta,
        align_to: datetime | None,
    ) -> None:
        now = _now()
        self._source = source
        self._interval = interval
        self._align_to = align_to or now
        # A time that is on the grid is the first one, hence the tick less.
        self._awake_at = self._next_time(now - timedelta.resolution)

    def next_batch(self) -> list[X]:
        try:
            item = self._source.next_item()
        except self._source.Retry as retry:
            self._awake_at = _now() + retry.timeout
            return []
        self._awake_at = self._next_time(_now())
        return [] if item is None else [item]

    def _next_time(self, after: datetime) -> datetime | None:
        """The first time on the grid after another; None if the grid has no mesh."""
        if not self._interval:
            return None
        passed = (after - self._align_to) // self._interval
        return self._align_to + (passed + 1) * self._interval

    def next_awake(self) -> datetime | None:
        return self._awake_at

    def snapshot(self) -> Sn:
        return self._source.snapshot()


def _now() -> datetime:
    return datetime.now(timezone.utc)


def batch(ib: Iterable[X], batch_size: int) -> Iterator[list[X]]:
    """Cut an iterable into batches; `next` of the result fits `next_batch`.

    Args:
        ib: The items.
        batch_size: How many items are in a batch; the last one may be smaller.

    Yields:
        Batches, none of them empty.

    Examples:
        >>> list(batch("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    items = iter(ib)
    while chunk := list(islice(items, batch_size)):
        yield chunk


def batch_getter(
    getter: Callable[[], X], batch_size: int, yield_on: X | None = None
) -> Iterator[list[X]]:
    """Batch what a function returns that says by a value that there is nothing now.

    Args:
        getter: Returns the next item, without blocking. Raises `StopIteration` at
            the end.
        batch_size: How many items are in a batch at most.
        yield_on: What `getter` returns if there is nothing now. This ends the
            batch, which may be empty.

    Yields:
        Batches.

    Examples:
        >>> answers = iter([1, 2, None, 3])
        >>> list(batch_getter(lambda: next(answers), 10))
        [[1, 2], [3]]
    """

    def get() -> X:
        item = getter()
        # Only a value of the user's own is compared: `==` with None is not a
        # `bool` for every item.
        if item is yield_on or (yield_on is not None and item == yield_on):
            raise _NothingNow
        return item

    return batch_getter_ex(get, batch_size, _NothingNow)


class _NothingNow(Exception):  # noqa: N818
    """The getter of `batch_getter` has nothing at the moment."""


def batch_getter_ex(
    getter: Callable[[], X],
    batch_size: int,
    yield_ex: type[Exception] = queue.Empty,
) -> Iterator[list[X]]:
    """Batch what a function returns that says by an exception that there is nothing.

    Args:
        getter: Returns the next item, without blocking. Raises `StopIteration` at
            the end.
        batch_size: How many items are in a batch at most.
        yield_ex: What `getter` raises if there is nothing now. This ends the
            batch, which may be empty.

    Yields:
        Batches.

    Examples:
        >>> import queue
        >>> waiting = queue.Queue()
        >>> for number in range(3):
        ...     waiting.put(number)
        >>> batches = batch_getter_ex(waiting.get_nowait, 2)
        >>> next(batches), next(batches), next(batches)
        ([0, 1], [2], [])
    """
    while True:
        chunk: list[X] = []
        try:
            while len(chunk) < batch_size:
                chunk.append(getter())
        except StopIteration:
            if chunk:
                yield chunk
            return
        except yield_ex:
            pass
        yield chunk


def batch_async(
    aib: AsyncIterable[X],
    timeout: timedelta,
    batch_size: int,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Iterator[list[X]]:
    """Batch an asynchronous iterable, for use where nothing else is asynchronous.

    The iterable runs only while a batch is being collected. An item that isn't
    there at the time-out is waited for again in the next batch, so none is lost.

    Args:
        aib: The items.
        timeout: How long to collect a batch at most. All else on this worker
            waits meanwhile, so keep it short.
        batch_size: How many items are in a batch at most.
        loop: The event loop to run `aib` on; it must not be running. The default
            is a new one, closed at the end.

    Yields:
        Batches; empty ones if no item came in time.

    Examples:
        >>> from datetime import timedelta
        >>> async def numbers():
        ...     for number in range(3):
        ...         yield number
        >>> list(batch_async(numbers(), timedelta(seconds=5), 2))
        [[0, 1], [2]]
    """
    collector = _AsyncCollector(aib, timeout.total_seconds(), batch_size)
    run_on = loop or asyncio.new_event_loop()
    try:
        while not collector.ended:
            chunk = run_on.run_until_complete(collector.collect())
            if chunk or not collector.ended:
                yield chunk
    finally:
        if not run_on.is_closed():
            run_on.run_until_complete(collector.cancel())
        if loop is None:
            run_on.run_until_complete(run_on.shutdown_asyncgens())
            run_on.close()


class _AsyncCollector(Generic[X]):
    """Collects batches, and keeps what is still awaited from one to the next."""

    def __init__(self, aib: AsyncIterable[X], timeout: float, batch_size: int) -> None:
        self.ended = False
        self._items: AsyncIterator[X] = aiter(aib)
        self._timeout = timeout
        self._batch_size = batch_size
        self._pending: asyncio.Future[X] | None = None

    async def collect(self) -> list[X]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        chunk: list[X] = []
        while len(chunk) < self._batch_size and (not chunk or loop.time() < deadline):
            pending = self._pending or asyncio.ensure_future(anext(self._items))
            self._pending = pending
            # Unlike `wait_for`, this leaves the task alone at the time-out.
            done, _ = await asyncio.wait({pending}, timeout=deadline - loop.time())
            if not done:
                break
            self._pending = None
            try:
                chunk.append(pending.result())
            except StopAsyncIteration:
                self.ended = True
                break
        return chunk

    async def cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.wait({self._pending})
