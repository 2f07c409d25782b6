"""`redistribute`: spread items over all workers. A core operator."""

from __future__ import annotations

from millstream.dataflow import Stream, operator
from millstream.operators._types import X, core_stream

__all__ = ["redistribute"]


@operator(_core=True)
def redistribute(step_id: str, up: Stream[X]) -> Stream[X]:
    """Send each item to any worker, so that all have something to do.

    Without it, an item stays on the worker that read it until a step needs it
    elsewhere. Use it between a source with few partitions and a costly step. The
    order of items is lost.

    Args:
        step_id: The id of this step.
        up: The items.

    Returns:
        The same items, elsewhere.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, cluster_main
        >>> flow = Dataflow("redistribute_example")
        >>> numbers = op.input("numbers", flow, TestingSource(range(5)))
        >>> spread = op.redistribute("spread", numbers)
        >>> out = []
        >>> op.output("out", spread, TestingSink(out))
        >>> cluster_main(flow, [], 0, worker_count_per_proc=2)
        >>> sorted(out)
        [0, 1, 2, 3, 4]
    """
    return core_stream(up)
