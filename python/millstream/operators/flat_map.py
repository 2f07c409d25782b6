"""`flat_map`, `flat_map_value` and `flatten`: any number of items for each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

from millstream.dataflow import Stream, operator
from millstream.operators._types import (
    PAIR,
    KeyedStream,
    V,
    W,
    X,
    Y,
    a_type,
    is_iterable,
    not_a_pair,
    written_id,
    wrong_return,
)
from millstream.operators.flat_map_batch import flat_map_batch

__all__ = ["flat_map", "flat_map_value", "flatten"]


@operator
def flat_map(
    step_id: str, up: Stream[X], mapper: Callable[[X], Iterable[Y]]
) -> Stream[Y]:
    """Transform each item into any number of items.

    Args:
        step_id: The id of this step.
        up: The items.
        mapper: Called with each item; returns the new ones, in any iterable, which
            may be empty.

    Returns:
        All new items, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("flat_map_example")
        >>> lines = op.input("lines", flow, TestingSource(["to be", "or not"]))
        >>> words = op.flat_map("words", lines, str.split)
        >>> out = []
        >>> op.output("out", words, TestingSink(out))
        >>> run_main(flow)
        >>> out
        ['to', 'be', 'or', 'not']
    """
    written = written_id(up)

    def flat_map_each(xs: list[X]) -> list[Y]:
        ys: list[Y] = []
        for x in xs:
            new = mapper(x)
            try:
                ys.extend(new)
            except TypeError:
                # An error inside an iterable is the user's.
                if is_iterable(new):
                    raise
                raise wrong_return(written, "mapper", mapper, "iterable", new) from None
        return ys

    return flat_map_batch("flat_map_batch", up, flat_map_each)


@operator
def flat_map_value(
    step_id: str, up: KeyedStream[V], mapper: Callable[[V], Iterable[W]]
) -> KeyedStream[W]:
    """Transform each value into any number of values, and keep their key.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.
        mapper: Called with each value; returns the new ones, in any iterable, which
            may be empty.

    Returns:
        All new values with the keys of the old ones, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("flat_map_value_example")
        >>> posts = op.input("posts", flow, TestingSource([("ann", "to be")]))
        >>> words = op.flat_map_value("words", posts, str.split)
        >>> out = []
        >>> op.output("out", words, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('ann', 'to'), ('ann', 'be')]
    """
    written = written_id(up)

    def flat_map_pair(item: tuple[str, V]) -> Iterable[tuple[str, W]]:
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise not_a_pair(written, item)
        key, value = item
        new = mapper(value)
        try:
            return zip(repeat(key), new)
        except TypeError:
            if is_iterable(new):
                raise
            raise wrong_return(written, "mapper", mapper, "iterable", new) from None

    return flat_map("flat_map", up, flat_map_pair)


@operator
def flatten(step_id: str, up: Stream[Iterable[X]]) -> Stream[X]:
    """Take iterables apart.

    Args:
        step_id: The id of this step.
        up: Iterables: lists, generators, whatever a ``for`` loop takes. The items
            of a string are its characters.

    Returns:
        The items of each of them, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("flatten_example")
        >>> nested = op.input("nested", flow, TestingSource([[1, 2], [], [3]]))
        >>> out = []
        >>> op.output("out", op.flatten("flat", nested), TestingSink(out))
        >>> run_main(flow)
        >>> out
        [1, 2, 3]
    """
    written = written_id(up)

    def items_of(iterable: Iterable[X]) -> Iterator[X]:
        try:
            return iter(iterable)
        except TypeError:
            if is_iterable(iterable):
                raise
            msg = (
                f"step `{written}` requires iterables from upstream; "
                f"got {a_type(iterable)}"
            )
            raise TypeError(msg) from None

    return flat_map("flat_map", up, items_of)
