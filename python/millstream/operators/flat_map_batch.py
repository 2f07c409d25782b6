"""`flat_map_batch`: any number of items for a whole batch. A core operator.

Most stateless operators are compositions of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from millstream.dataflow import Stream, operator
from millstream.operators._types import X, Y, core_stream

__all__ = ["flat_map_batch"]


@operator(_core=True)
def flat_map_batch(
    step_id: str, up: Stream[X], mapper: Callable[[list[X]], Iterable[Y]]
) -> Stream[Y]:
    """Transform whole batches of items.

    Use it where a function is faster for many items than for one, as with NumPy or
    with a service that takes several requests at once. How items are grouped into
    batches is up to the engine, so the result must not depend on it.

    Args:
        step_id: The id of this step.
        up: The items.
        mapper: Called with each batch, a list. Returns the new items, as few or as
            many as it likes. It is iterated over at once, so it may be a generator.

    Returns:
        All items that `mapper` returned, in order.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("flat_map_batch_example")
        >>> source = TestingSource([3, 1, 4, 1, 5], batch_size=5)
        >>> digits = op.input("digits", flow, source)
        >>> distinct = op.flat_map_batch("distinct", digits, dict.fromkeys)
        >>> out = []
        >>> op.output("out", distinct, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [3, 1, 4, 5]
    """
    return core_stream(up)
