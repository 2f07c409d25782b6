"""`filter` and `filter_value`: keep some items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, overload

from millstream.dataflow import Stream, operator
from millstream.operators._types import (
    KeyedStream,
    V,
    W,
    X,
    Y,
    written_id,
    wrong_return,
)
from millstream.operators.flat_map import flat_map, flat_map_value

__all__ = ["filter", "filter_value"]


def _keep_if(
    step_id: str, predicate: Callable[[X], bool]
) -> Callable[[X], tuple[X, ...]]:
    def keep(x: X) -> tuple[X, ...]:
        keeps = predicate(x)
        if keeps is True:
            return (x,)
        if keeps is not False:
            raise wrong_return(step_id, "predicate", predicate, "a `bool`", keeps)
        return ()

    return keep


@overload
def filter(
    step_id: str, up: Stream[X], predicate: Callable[[X], TypeGuard[Y]]
) -> Stream[Y]: ...


@overload
def filter(
    step_id: str, up: Stream[X], predicate: Callable[[X], bool]
) -> Stream[X]: ...


@operator
def filter(
    step_id: str, up: Stream[Any], predicate: Callable[[Any], bool]
) -> Stream[Any]:
    """Keep only some items.

    Args:
        step_id: The id of this step.
        up: The items.
        predicate: Called with each item; returns whether to keep it, as a real
            `bool`. If its type says that it is a `TypeGuard`, then the items that
            are kept have the narrower type.

    Returns:
        The items for which `predicate` held, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("filter_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2, 3, 4]))
        >>> evens = op.filter("evens", numbers, lambda x: x % 2 == 0)
        >>> out = []
        >>> op.output("out", evens, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [2, 4]
    """
    return flat_map("flat_map", up, _keep_if(written_id(up), predicate))


@overload
def filter_value(
    step_id: str, up: KeyedStream[V], predicate: Callable[[V], TypeGuard[W]]
) -> KeyedStream[W]: ...


@overload
def filter_value(
    step_id: str, up: KeyedStream[V], predicate: Callable[[V], bool]
) -> KeyedStream[V]: ...


@operator
def filter_value(
    step_id: str, up: KeyedStream[Any], predicate: Callable[[Any], bool]
) -> KeyedStream[Any]:
    """Keep only items with some values.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        predicate: Called with each value; returns whether to keep the item, as a
            real `bool`. If its type says that it is a `TypeGuard`, then the values
            that are kept have the narrower type.

    Returns:
        The items for whose value `predicate` held, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("filter_value_example")
        >>> source = TestingSource([("cat", 4), ("hen", 2), ("dog", 4)])
        >>> legs = op.input("legs", flow, source)
        >>> quadrupeds = op.filter_value("quadrupeds", legs, lambda n: n == 4)
        >>> out = []
        >>> op.output("out", quadrupeds, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('cat', 4), ('dog', 4)]
    """
    return flat_map_value("filter", up, _keep_if(written_id(up), predicate))
