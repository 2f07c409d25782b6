"""`stateful_batch`: state for each key, batch by batch. A core operator.

All stateful operators are compositions of this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic

from millstream.dataflow import operator
from millstream.operators._types import KeyedStream, S, V, W, core_stream

__all__ = ["StatefulBatchLogic", "stateful_batch"]


class StatefulBatchLogic(ABC, Generic[V, W, S]):
    """What `stateful_batch` does for one key; it has one such object for each.

    Each callback returns the values to emit, any iterable, and whether to discard
    this object and all its state: `DISCARD` or `RETAIN`. After a discard, the next
    value for the key gets a new object.
    """

    RETAIN: bool = False
    """Keep this object for the next callback."""

    DISCARD: bool = True
    """Forget this object, its state and its timer."""

    @abstractmethod
    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        """Take the values that have arrived for this key.

        Args:
            values: At least one, in the order of their arrival.

        Returns:
            Values to emit, and whether to discard this object.
        """

    def on_notify(self) -> tuple[Iterable[W], bool]:
        """The time that `notify_at` asked for has come.

        Returns:
            Values to emit, and whether to discard this object.
        """
        return (), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[W], bool]:
        """No more values will come, for any key.

        A resumed execution may bring more; discard only what must not continue.

        Returns:
            Values to emit, and whether to discard this object.
        """
        return (), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When to call `on_notify`; asked after each of the callbacks above.

        Returns:
            An aware datetime. None, the default, means never, also if another time
            was returned before.
        """
        return None

    @abstractmethod
    def snapshot(self) -> S:
        """The state, for the builder to start from when the dataflow resumes.

        Must not change later: return a copy of whatever is mutable.
        """


@operator(_core=True)
def stateful_batch(
    step_id: str,
    up: KeyedStream[V],
    builder: Callable[[S | None], StatefulBatchLogic[V, W, S]],
) -> KeyedStream[W]:
    """Keep state for each key, in an object that takes batches of values.

    The other stateful operators are simpler, and enough for most purposes.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        builder: Called for each new key with None, or with the state to resume
            from. Returns the object for that key.

    Returns:
        The values that the callbacks emitted, each with its key.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> class Total(StatefulBatchLogic):
        ...     def __init__(self, resume_state):
        ...         self.total = resume_state or 0
        ...
        ...     def on_batch(self, values):
        ...         self.total += sum(values)
        ...         return [self.total], StatefulBatchLogic.RETAIN
        ...
        ...     def snapshot(self):
        ...         return self.total
        >>> flow = Dataflow("stateful_batch_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 3)])
        >>> amounts = op.input("amounts", flow, source)
        >>> totals = op.stateful_batch("totals", amounts, Total)
        >>> out = []
        >>> op.output("out", totals, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 1), ('b', 2), ('a', 4)]
    """
    return core_stream(up)
