"""`key_on` and `key_rm`: add a key to each item, and take it off again."""

from __future__ import annotations

from collections.abc import Callable

from millstream.dataflow import Stream, operator
from millstream.operators._types import (
    PAIR,
    KeyedStream,
    V,
    X,
    not_a_pair,
    written_id,
    wrong_return,
)
from millstream.operators.map import map

__all__ = ["key_on", "key_rm"]


@operator
def key_on(step_id: str, up: Stream[X], key: Callable[[X], str]) -> KeyedStream[X]:
    """Give each item a key, as stateful steps need it.

    Args:
        step_id: The id of this step.
        up: The items.
        key: Called with each item; returns its key, a `str`.

    Returns:
        ``(key, item)`` 2-tuples, in the same order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("key_on_example")
        >>> words = op.input("words", flow, TestingSource(["pear", "fig"]))
        >>> by_letter = op.key_on("by_letter", words, lambda word: word[0])
        >>> out = []
        >>> op.output("out", by_letter, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('p', 'pear'), ('f', 'fig')]
    """
    written = written_id(up)

    def add_key(x: X) -> tuple[str, X]:
        k = key(x)
        if not isinstance(k, str):
            raise wrong_return(written, "key", key, "a `str`", k)
        return k, x

    return map("map", up, add_key)


@operator
def key_rm(step_id: str, up: KeyedStream[V]) -> Stream[V]:
    """Take the key off each item.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items.

    Returns:
        The values, in the same order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("key_rm_example")
        >>> pairs = op.input("pairs", flow, TestingSource([("p", 1), ("f", 2)]))
        >>> out = []
        >>> op.output("out", op.key_rm("values", pairs), TestingSink(out))
        >>> run_main(flow)
        >>> out
        [1, 2]
    """
    written = written_id(up)

    def value_of(item: tuple[str, V]) -> V:
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise not_a_pair(written, item)
        return item[1]

    return map("map", up, value_of)
