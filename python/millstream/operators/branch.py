"""`branch`: two streams out of one. A core operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeGuard, overload

from millstream.dataflow import Stream, operator
from millstream.operators._types import X, Y, core_stream

__all__ = ["BranchOut", "branch"]


@dataclass(frozen=True)
class BranchOut(Generic[X, Y]):
    """What `branch` returns: each item is in one of two streams.

    Attributes:
        trues: The items for which the predicate held.
        falses: The others.
    """

    trues: Stream[X]
    falses: Stream[Y]


@overload
def branch(
    step_id: str, up: Stream[X], predicate: Callable[[X], TypeGuard[Y]]
) -> BranchOut[Y, X]: ...


@overload
def branch(
    step_id: str, up: Stream[X], predicate: Callable[[X], bool]
) -> BranchOut[X, X]: ...


@operator(_core=True)
def branch(
    step_id: str, up: Stream[Any], predicate: Callable[[Any], bool]
) -> BranchOut[Any, Any]:
    """Send each item one of two ways.

    Args:
        step_id: The id of this step.
        up: The items.
        predicate: Called with each item; it must return a real `bool`. If its type
            says that it is a `TypeGuard`, then `trues` has the narrower type.

    Returns:
        Two streams: `trues` and `falses`.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("branch_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2, 3, 4]))
        >>> parity = op.branch("parity", numbers, lambda x: x % 2 == 0)
        >>> evens, odds = [], []
        >>> op.output("evens", parity.trues, TestingSink(evens))
        >>> op.output("odds", parity.falses, TestingSink(odds))
        >>> run_main(flow)
        >>> evens, odds
        ([2, 4], [1, 3])
    """
    return BranchOut(core_stream(up, "trues"), core_stream(up, "falses"))
