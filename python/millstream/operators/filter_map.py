"""`filter_map` and `filter_map_value`: transform items and keep some, in one go."""

from __future__ import annotations

from collections.abc import Callable

from millstream.dataflow import Stream, operator
from millstream.operators._types import KeyedStream, V, W, X, Y
from millstream.operators.flat_map import flat_map, flat_map_value

__all__ = ["filter_map", "filter_map_value"]


def _drop_none(mapper: Callable[[X], Y | None]) -> Callable[[X], tuple[Y, ...]]:
    def keep(x: X) -> tuple[Y, ...]:
        y = mapper(x)
        return () if y is None else (y,)

    return keep


@operator
def filter_map(
    step_id: str, up: Stream[X], mapper: Callable[[X], Y | None]
) -> Stream[Y]:
    """Transform each item, or drop it.

    Args:
        step_id: The id of this step.
        up: The items.
        mapper: Called with each item; returns the new one, or None to drop it.

    Returns:
        The new items without the Nones, in order. What is merely false stays.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("filter_map_example")
        >>> source = TestingSource([{"id": 0}, {"name": "x"}, {"id": 7}])
        >>> records = op.input("records", flow, source)
        >>> ids = op.filter_map("ids", records, lambda record: record.get("id"))
        >>> out = []
        >>> op.output("out", ids, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [0, 7]
    """
    return flat_map("flat_map", up, _drop_none(mapper))


@operator
def filter_map_value(
    step_id: str, up: KeyedStream[V], mapper: Callable[[V], W | None]
) -> KeyedStream[W]:
    """Transform each value and keep its key, or drop both.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        mapper: Called with each value; returns the new one, or None to drop it.

    Returns:
        The new values without the Nones, with their keys, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("filter_map_value_example")
        >>> source = TestingSource([("a", {"id": 0}), ("b", {}), ("c", {"id": 7})])
        >>> records = op.input("records", flow, source)
        >>> ids = op.filter_map_value("ids", records, lambda record: record.get("id"))
        >>> out = []
        >>> op.output("out", ids, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', 0), ('c', 7)]
    """
    return flat_map_value("flat_map_value", up, _drop_none(mapper))
