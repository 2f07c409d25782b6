"""`merge`: one stream out of several. A core operator."""

from __future__ import annotations

from typing import Any, overload

from millstream.dataflow import Stream, operator
from millstream.operators._types import X1, X2, X3, X4, X5, X6, X, core_stream

__all__ = ["merge"]


@overload
def merge(step_id: str, up1: Stream[X1], /) -> Stream[X1]: ...


@overload
def merge(step_id: str, up1: Stream[X1], up2: Stream[X2], /) -> Stream[X1 | X2]: ...


@overload
def merge(
    step_id: str, up1: Stream[X1], up2: Stream[X2], up3: Stream[X3], /
) -> Stream[X1 | X2 | X3]: ...


@overload
def merge(
    step_id: str,
    up1: Stream[X1],
    up2: Stream[X2],
    up3: Stream[X3],
    up4: Stream[X4],
    /,
) -> Stream[X1 | X2 | X3 | X4]: ...


@overload
def merge(
    step_id: str,
    up1: Stream[X1],
    up2: Stream[X2],
    up3: Stream[X3],
    up4: Stream[X4],
    up5: Stream[X5],
    /,
) -> Stream[X1 | X2 | X3 | X4 | X5]: ...


@overload
def merge(
    step_id: str,
    up1: Stream[X1],
    up2: Stream[X2],
    up3: Stream[X3],
    up4: Stream[X4],
    up5: Stream[X5],
    up6: Stream[X6],
    /,
) -> Stream[X1 | X2 | X3 | X4 | X5 | X6]: ...


@overload
def merge(step_id: str, *ups: Stream[X]) -> Stream[X]: ...


@operator(_core=True)
def merge(step_id: str, *ups: Stream[Any]) -> Stream[Any]:
    """Bring all items of several streams together.

    Items of one stream stay in order. Items are shared, not copied: if one stream
    is among the upstreams by two ways, the same object arrives twice.

    Args:
        step_id: The id of this step.
        *ups: The streams, at least one.

    Returns:
        All items of all of them.

    Raises:
        ValueError: If there is no stream.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("merge_example")
        >>> ones = op.input("ones", flow, TestingSource([1, 2]))
        >>> tens = op.input("tens", flow, TestingSource([10, 20]))
        >>> out = []
        >>> op.output("out", op.merge("both", ones, tens), TestingSink(out))
        >>> run_main(flow)
        >>> sorted(out)
        [1, 2, 10, 20]
    """
    return core_stream(ups[0])
