"""`stateful_map` and `stateful_flat_map`: state for each key, in a function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

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
from millstream.operators.stateful import StatefulLogic, stateful

__all__ = ["stateful_flat_map", "stateful_map"]


class _MapperLogic(StatefulLogic[V, W, S]):
    """Threads the state through calls of a mapper."""

    def __init__(
        self,
        step_id: str,
        mapper: Callable[[S | None, V], tuple[S | None, Iterable[W]]],
        state: S | None,
    ) -> None:
        self._step_id = step_id
        self._mapper = mapper
        self._state = state

    def on_item(self, value: V) -> tuple[Iterable[W], bool]:
        returned = self._mapper(self._state, value)
        if not isinstance(returned, tuple) or len(returned) != PAIR:
            expected = "a 2-tuple of `(updated_state, emit_values)`"
            raise self._wrong(expected, returned)
        self._state, emits = returned
        if isinstance(emits, str):
            expected = (
                "`(updated_state, emit_values)` with `emit_values` in a list: "
                "a `str` would be taken apart"
            )
            raise self._wrong(expected, emits)
        try:
            return iter(emits), self._state is None
        except TypeError:
            if is_iterable(emits):
                raise
            expected = "`(updated_state, emit_values)` with iterable `emit_values`"
            raise self._wrong(expected, emits) from None

    def _wrong(self, expected: str, got: object) -> TypeError:
        return wrong_return(self._step_id, "mapper", self._mapper, expected, got)

    def snapshot(self) -> S:
        # Without a state, this object has been discarded.
        return copy.deepcopy(self._state)  # type: ignore[return-value]


@operator
def stateful_flat_map(
    step_id: str,
    up: KeyedStream[V],
    mapper: Callable[[S | None, V], tuple[S | None, Iterable[W]]],
) -> KeyedStream[W]:
    """Transform each value into any number of values, with state for each key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        mapper: Called with the state for the key, None at first, and a value.
            Returns a 2-tuple of the new state and the values to emit. None as the
            new state discards it; to keep "nothing" as a state, use something else.

    Returns:
        The values that `mapper` returned, each with its key.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> def changes(last, value):
        ...     return value, [] if value == last else [value]
        >>> flow = Dataflow("stateful_flat_map_example")
        >>> source = TestingSource([("a", 1), ("a", 1), ("b", 1), ("a", 2)])
        >>> readings = op.input("readings", flow, source)
        >>> changed = op.stateful_flat_map("changes", readings, changes)
        >>> out = []
        >>> op.output("out", changed, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 1), ('b', 1), ('a', 2)]
    """
    written = written_id(up)

    def build(resume_state: S | None) -> StatefulLogic[V, W, S]:
        return _MapperLogic(written, mapper, resume_state)

    return stateful("stateful", up, build)


@operator
def stateful_map(
    step_id: str,
    up: KeyedStream[V],
    mapper: Callable[[S | None, V], tuple[S | None, W]],
) -> KeyedStream[W]:
    """Transform each value into one value, with state for each key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        mapper: Called with the state for the key, None at first, and a value.
            Returns a 2-tuple of the new state and the value to emit, which may be
            None. None as the new state discards it; to keep "nothing" as a state,
            use something else.

    Returns:
        The values that `mapper` returned, each with its key.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> def running_total(total, amount):
        ...     total = (total or 0) + amount
        ...     return total, total
        >>> flow = Dataflow("stateful_map_example")
        >>> source = TestingSource([("a", 1), ("b", 10), ("a", 2)])
        >>> amounts = op.input("amounts", flow, source)
        >>> totals = op.stateful_map("totals", amounts, running_total)
        >>> out = []
        >>> op.output("out", totals, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 1), ('b', 10), ('a', 3)]
    """
    written = written_id(up)

    def map_one(state: S | None, value: V) -> tuple[S | None, tuple[W]]:
        returned = mapper(state, value)
        if not isinstance(returned, tuple) or len(returned) != PAIR:
            expected = "a 2-tuple of `(updated_state, emit_value)`"
            raise wrong_return(written, "mapper", mapper, expected, returned)
        state, emit = returned
        return state, (emit,)

    return stateful_flat_map("stateful_flat_map", up, map_one)
