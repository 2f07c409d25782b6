"""Functions that make functions, for use with operators."""

from __future__ import annotations

from collections.abc import Callable

from millstream.operators._types import DK, DV

__all__ = ["map_dict_value"]


def map_dict_value(
    key: DK, mapper: Callable[[DV], DV]
) -> Callable[[dict[DK, DV]], dict[DK, DV]]:
    """Make a mapper that transforms one value in a dictionary.

    It changes the dictionary in place. If several steps take the same items, all of
    them see the change; let the first step copy the dictionary then.

    Args:
        key: Which value to transform. A dictionary without this key is a `KeyError`.
        mapper: Called with the old value; returns the new one.

    Returns:
        A function to be given to `millstream.operators.map` and the like; it returns
        the dictionary that it is called with.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.operators.helpers import map_dict_value
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("map_dict_value_example")
        >>> source = TestingSource([{"name": "ann", "age": "31"}])
        >>> people = op.input("people", flow, source)
        >>> parsed = op.map("parse_age", people, map_dict_value("age", int))
        >>> out = []
        >>> op.output("out", parsed, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [{'name': 'ann', 'age': 31}]
    """

    def map_value_in_place(items: dict[DK, DV]) -> dict[DK, DV]:
        items[key] = mapper(items[key])
        return items

    return map_value_in_place
