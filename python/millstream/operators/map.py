"""`map` and `map_value`: one new item for each item."""

from __future__ import annotations

from collections.abc import Callable

from millstream.dataflow import Stream, operator
from millstream.operators._types import (
    PAIR,
    KeyedStream,
    V,
    W,
    X,
    Y,
    not_a_pair,
    written_id,
)
from millstream.operators.flat_map_batch import flat_map_batch

__all__ = ["map", "map_value"]


@operator
def map(step_id: str, up: Stream[X], mapper: Callable[[X], Y]) -> Stream[Y]:
    """Transform each item.

    Args:
        step_id: The id of this step.
        up: The items.
        mapper: Called with each item; returns the new one.

    Returns:
        The new items, in the same order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("map_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2, 3]))
        >>> doubled = op.map("double", numbers, lambda x: x * 2)
        >>> out = []
        >>> op.output("out", doubled, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [2, 4, 6]
    """

    def map_each(xs: list[X]) -> list[Y]:
        # Not the lazy built-in `map`: it would take a `StopIteration` of the mapper
        # for the end of the batch, and lose the rest of it.
        return [mapper(x) for x in xs]

    return flat_map_batch("flat_map_batch", up, map_each)


@operator
def map_value(
    step_id: str, up: KeyedStream[V], mapper: Callable[[V], W]
) -> KeyedStream[W]:
    """Transform each value, and keep its key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        mapper: Called with each value; returns the new one.

    Returns:
        The new values with their keys, in the same order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("map_value_example")
        >>> source = TestingSource([("inside", 68), ("outside", 50)])
        >>> fahrenheit = op.input("fahrenheit", flow, source)
        >>> celsius = op.map_value("celsius", fahrenheit, lambda t: (t - 32) * 5 // 9)
        >>> out = []
        >>> op.output("out", celsius, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('inside', 20), ('outside', 10)]
    """
    written = written_id(up)

    def map_pair(item: tuple[str, V]) -> tuple[str, W]:
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise not_a_pair(written, item)
        key, value = item
        return key, mapper(value)

    return map("map", up, map_pair)
