"""`stateful`: state for each key, item by item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic

from millstream.dataflow import operator
from millstream.operators._types import (
    PAIR,
    KeyedStream,
    S,
    V,
    W,
    is_iterable,
    written_id,
    wrong_return,
)
from millstream.operators.stateful_batch import StatefulBatchLogic, stateful_batch

__all__ = ["StatefulLogic", "stateful"]


class StatefulLogic(ABC, Generic[V, W, S]):
    """What `stateful` does for one key; it has one such object for each.

    Each callback returns the values to emit, any iterable, and whether to discard
    this object and all its state: `DISCARD` or `RETAIN`. After a discard, the next
    value for the key gets a new object.
    """

    RETAIN: bool = False
    """Keep this object for the next callback."""

    DISCARD: bool = True
    """Forget this object, its state and its timer."""

    @abstractmethod
    def on_item(self, value: V) -> tuple[Iterable[W], bool]:
        """Take a value that has arrived for this key.

        Args:
            value: The value.

        Returns:
            Values to emit, and whether to discard this object.
        """

    def on_notify(self) -> tuple[Iterable[W], bool]:
        """The time that `notify_at` asked for has come.

        Returns:
            Values to emit, and whether to discard this object.
        """
        return (), StatefulLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[W], bool]:
        """No more values will come, for any key.

        A resumed execution may bring more; discard only what must not continue.

        Returns:
            Values to emit, and whether to discard this object.
        """
        return (), StatefulLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When to call `on_notify`; asked after the callbacks above.

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


class _ItemByItem(StatefulBatchLogic[V, W, S]):
    """Gives the values of each batch to a `StatefulLogic`, one after another.

    One that discards itself is replaced at the next value of the same batch, so the
    engine needs to know only what the last value did.
    """

    def __init__(
        self,
        step_id: str,
        builder: Callable[[S | None], StatefulLogic[V, W, S]],
        resume_state: S | None,
    ) -> None:
        self._step_id = step_id
        self._builder = builder
        self._logic = self._build(resume_state)

    def _build(self, resume_state: S | None) -> StatefulLogic[V, W, S]:
        logic = self._builder(resume_state)
        if not isinstance(logic, StatefulLogic):
            raise wrong_return(
                self._step_id, "builder", self._builder, "a `StatefulLogic`", logic
            )
        return logic

    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        logic = self._logic
        emits: list[W] = []
        discard = False
        for value in values:
            if discard:
                logic = self._logic = self._build(None)
            returned = logic.on_item(value)
            if not isinstance(returned, tuple) or len(returned) != PAIR:
                expected = "a 2-tuple of `(emits, is_discarded)`"
                raise self._wrong(expected, returned)
            emit, discard = returned
            if not isinstance(discard, bool):
                expected = "`(emits, is_discarded)` with a real `bool`"
                raise self._wrong(expected, discard)
            if isinstance(emit, str):
                expected = (
                    "`(emits, is_discarded)` with `emits` in a list: "
                    "a `str` would be taken apart"
                )
                raise self._wrong(expected, emit)
            try:
                emits.extend(emit)
            except TypeError:
                # An error inside an iterable is the user's.
                if is_iterable(emit):
                    raise
                expected = "`(emits, is_discarded)` with iterable `emits`"
                raise self._wrong(expected, emit) from None
        return emits, discard

    def _wrong(self, expected: str, got: object) -> TypeError:
        on_item = type(self._logic).on_item
        return wrong_return(self._step_id, "on_item", on_item, expected, got)

    def on_notify(self) -> tuple[Iterable[W], bool]:
        return self._logic.on_notify()

    def on_eof(self) -> tuple[Iterable[W], bool]:
        return self._logic.on_eof()

    def notify_at(self) -> datetime | None:
        return self._logic.notify_at()

    def snapshot(self) -> S:
        return self._logic.snapshot()


@operator
def stateful(
    step_id: str,
    up: KeyedStream[V],
    builder: Callable[[S | None], StatefulLogic[V, W, S]],
) -> KeyedStream[W]:
    """Keep state for each key, in an object that takes one value after another.

    `stateful_map` and `stateful_flat_map` are simpler, if there is nothing to do at
    a certain time or at the end.

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
        >>> class Longest(StatefulLogic):
        ...     def __init__(self, resume_state):
        ...         self.word = resume_state or ""
        ...
        ...     def on_item(self, value):
        ...         self.word = max(self.word, value, key=len)
        ...         return [], StatefulLogic.RETAIN
        ...
        ...     def on_eof(self):
        ...         return [self.word], StatefulLogic.DISCARD
        ...
        ...     def snapshot(self):
        ...         return self.word
        >>> flow = Dataflow("stateful_example")
        >>> source = TestingSource([("a", "ant"), ("b", "bee"), ("a", "ape-man")])
        >>> words = op.input("words", flow, source)
        >>> longest = op.stateful("longest", words, Longest)
        >>> out = []
        >>> op.output("out", longest, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 'ape-man'), ('b', 'bee')]
    """
    written = written_id(up)

    def build(resume_state: S | None) -> StatefulBatchLogic[V, W, S]:
        return _ItemByItem(written, builder, resume_state)

    return stateful_batch("stateful_batch", up, build)
