"""`inspect_debug`: look at items, with epoch and worker. A core operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.dataflow import Stream, operator
from millstream.operators._types import X, core_stream

__all__ = ["inspect_debug"]


def _print_item(step_id: str, item: Any, epoch: int, worker: int) -> None:
    print(f"{step_id} W{worker} @{epoch}: {item!r}", flush=True)  # noqa: T201


@operator(_core=True)
def inspect_debug(
    step_id: str,
    up: Stream[X],
    inspector: Callable[[str, X, int, int], None] = _print_item,
) -> Stream[X]:
    """Look at each item, and at where and in which epoch it is.

    Args:
        step_id: The id of this step.
        up: The items.
        inspector: Called with the full id of this step, the item, its epoch and
            the index of the worker. The default prints them all.

    Returns:
        The same items.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> flow = Dataflow("inspect_debug_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> seen = op.inspect_debug("seen", numbers)
        >>> run_main(flow)
        inspect_debug_example.seen W0 @1: 1
        inspect_debug_example.seen W0 @1: 2
    """
    return core_stream(up)
