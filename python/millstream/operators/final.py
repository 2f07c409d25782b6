"""`fold_final` and its relatives: one result for each key, at the end of the input.

On an input without an end, they never emit anything.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from operator import add
from typing import Any, TypeAlias

from millstream.dataflow import Stream, operator
from millstream.operators._types import (
    PAIR,
    KeyedStream,
    S,
    V,
    X,
    a_type,
    not_a_pair,
    written_id,
    wrong_return,
)
from millstream.operators.flat_map_batch import flat_map_batch
from millstream.operators.map import map
from millstream.operators.stateful import StatefulLogic, stateful

__all__ = ["count_final", "fold_final", "max_final", "min_final", "reduce_final"]

_Snapshot: TypeAlias = tuple[S]
"""A state that may be None, told from the None that means no state."""


class _FoldFinalLogic(StatefulLogic[V, S, _Snapshot[S]]):
    """The accumulator of one key."""

    def __init__(self, folder: Callable[[S, V], S], state: S) -> None:
        self._folder = folder
        self._state = state

    def on_item(self, value: V) -> tuple[Iterable[S], bool]:
        self._state = self._folder(self._state, value)
        return (), StatefulLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[S], bool]:
        return (self._state,), StatefulLogic.DISCARD

    def snapshot(self) -> _Snapshot[S]:
        return (copy.deepcopy(self._state),)


@operator
def fold_final(
    step_id: str,
    up: KeyedStream[V],
    builder: Callable[[], S],
    folder: Callable[[S, V], S],
) -> KeyedStream[S]:
    """Fold all values of each key into an accumulator.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        builder: Called for each new key; returns the accumulator to start with.
        folder: Called with the accumulator and a value; returns the new
            accumulator, which may be the same object, and may be None.

    Returns:
        The last accumulator for each key, at the end of the input.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> def append(values, value):
        ...     return [*values, value]
        >>> flow = Dataflow("fold_final_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 3)])
        >>> numbers = op.input("numbers", flow, source)
        >>> all_values = op.fold_final("all", numbers, list, append)
        >>> out = []
        >>> op.output("out", all_values, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', [1, 3]), ('b', [2])]
    """

    def build(
        resume_state: _Snapshot[S] | None,
    ) -> StatefulLogic[V, S, _Snapshot[S]]:
        state = builder() if resume_state is None else resume_state[0]
        return _FoldFinalLogic(folder, state)

    return stateful("stateful", up, build)


class _Nothing(Enum):
    """The accumulator of `reduce_final` before the first value, which may be None."""

    YET = "yet"


@operator
def reduce_final(
    step_id: str, up: KeyedStream[V], reducer: Callable[[V, V], V]
) -> KeyedStream[V]:
    """Combine all values of each key into one.

    Values are combined with each other before they go to the worker that has their
    key, so `reducer` must not depend on how values are grouped: it must be
    associative.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        reducer: Called with the combination of earlier values and a further value,
            or a combination of further values; returns the new combination. It is
            not called for a single value. None is a value as any other.

    Returns:
        The combination of all values of each key, at the end of the input.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("reduce_final_example")
        >>> source = TestingSource([("a", 2), ("b", 3), ("a", 5)])
        >>> numbers = op.input("numbers", flow, source)
        >>> products = op.reduce_final("products", numbers, lambda x, y: x * y)
        >>> out = []
        >>> op.output("out", products, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 10), ('b', 3)]
    """
    written = written_id(up)

    def reduce_batch(items: list[tuple[str, V]]) -> Iterable[tuple[str, V]]:
        reduced: dict[str, V] = {}
        for item in items:
            if not isinstance(item, tuple) or len(item) != PAIR:
                raise not_a_pair(written, item)
            key, value = item
            if not isinstance(key, str):
                msg = (
                    f"step `{written}` requires `str` keys from upstream; "
                    f"got {a_type(key)}"
                )
                raise TypeError(msg)
            reduced[key] = reducer(reduced[key], value) if key in reduced else value
        return reduced.items()

    def nothing_yet() -> Any:
        return _Nothing.YET

    def reduce(reduced: V | _Nothing, value: V) -> V:
        return value if isinstance(reduced, _Nothing) else reducer(reduced, value)

    reduced = flat_map_batch("pre_reduce", up, reduce_batch)
    return fold_final("fold_final", reduced, nothing_yet, reduce)


@operator
def count_final(
    step_id: str, up: Stream[X], key: Callable[[X], str]
) -> KeyedStream[int]:
    """Count items by key.

    Args:
        step_id: The id of this step.
        up: The items.
        key: Called with each item; returns the key to count it under, a `str`.

    Returns:
        The number of items for each key, at the end of the input.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("count_final_example")
        >>> source = TestingSource("to be or not to be".split())
        >>> words = op.input("words", flow, source)
        >>> counts = op.count_final("count", words, lambda word: word)
        >>> out = []
        >>> op.output("out", counts, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('be', 2), ('not', 1), ('or', 1), ('to', 2)]
    """
    written = written_id(up)

    def count_one(x: X) -> tuple[str, int]:
        k = key(x)
        if not isinstance(k, str):
            raise wrong_return(written, "key", key, "a `str`", k)
        return k, 1

    return reduce_final("sum", map("init_count", up, count_one), add)


def _identity(x: X) -> X:
    return x


def _comparer(choose: Callable[..., V], by: Callable[[V], Any]) -> Callable[[V, V], V]:
    """Make a reducer of `max` or `min`, both of which keep the earlier of equals."""
    return choose if by is _identity else partial(choose, key=by)


@operator
def max_final(
    step_id: str, up: KeyedStream[V], by: Callable[[V], Any] = _identity
) -> KeyedStream[V]:
    """Find the greatest value of each key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        by: Called with a value; returns what to compare it by. The default is the
            value itself.

    Returns:
        The greatest value of each key, at the end of the input. If several are equal,
        it is the first of them to arrive.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("max_final_example")
        >>> source = TestingSource([("a", -5), ("a", 3), ("b", 0)])
        >>> numbers = op.input("numbers", flow, source)
        >>> greatest, farthest = [], []
        >>> op.output("out", op.max_final("max", numbers), TestingSink(greatest))
        >>> by_size = op.max_final("by_size", numbers, by=abs)
        >>> op.output("out_by_size", by_size, TestingSink(farthest))
        >>> run_main(flow)
        >>> greatest
        [('a', 3), ('b', 0)]
        >>> farthest
        [('a', -5), ('b', 0)]
    """
    return reduce_final("reduce_final", up, _comparer(max, by))


@operator
def min_final(
    step_id: str, up: KeyedStream[V], by: Callable[[V], Any] = _identity
) -> KeyedStream[V]:
    """Find the least value of each key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        by: Called with a value; returns what to compare it by. The default is the
            value itself.

    Returns:
        The least value of each key, at the end of the input. If several are equal, it
        is the first of them to arrive.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("min_final_example")
        >>> source = TestingSource([("a", -5), ("a", 3), ("b", 0)])
        >>> numbers = op.input("numbers", flow, source)
        >>> least, nearest = [], []
        >>> op.output("out", op.min_final("min", numbers), TestingSink(least))
        >>> by_size = op.min_final("by_size", numbers, by=abs)
        >>> op.output("out_by_size", by_size, TestingSink(nearest))
        >>> run_main(flow)
        >>> least
        [('a', -5), ('b', 0)]
        >>> nearest
        [('a', 3), ('b', 0)]
    """
    return reduce_final("reduce_final", up, _comparer(min, by))
