"""`inspect`: look at items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.dataflow import Stream, operator
from millstream.operators._types import X
from millstream.operators.inspect_debug import inspect_debug

__all__ = ["inspect"]


def _print_item(step_id: str, item: Any) -> None:
    print(f"{step_id}: {item!r}", flush=True)  # noqa: T201


@operator
def inspect(
    step_id: str, up: Stream[X], inspector: Callable[[str, X], None] = _print_item
) -> Stream[X]:
    """Look at each item.

    Args:
        step_id: The id of this step.
        up: The items.
        inspector: Called with the full id of this step and the item. The default
            prints them.

    Returns:
        The same items.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> flow = Dataflow("inspect_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> seen = op.inspect("seen", numbers)
        >>> run_main(flow)
        inspect_example.seen: 1
        inspect_example.seen: 2
    """

    def inspect_item(_step_id: str, item: X, _epoch: int, _worker: int) -> None:
        inspector(step_id, item)

    return inspect_debug("inspect_debug", up, inspect_item)
