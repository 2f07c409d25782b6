"""`input`: where items enter a dataflow. A core operator."""

from __future__ import annotations

from millstream.dataflow import Dataflow, Stream, operator
from millstream.inputs import DynamicSource, FixedPartitionedSource, Source
from millstream.operators._types import X, a_type, core_stream

__all__ = ["input"]


@operator(_core=True)
def input(step_id: str, flow: Dataflow, source: Source[X]) -> Stream[X]:
    """Read the items of a source.

    A dataflow needs at least one input. It ends when all of them have ended.

    Args:
        step_id: The id of this step.
        flow: The dataflow.
        source: Where the items come from.

    Returns:
        The items of the source.

    Raises:
        TypeError: If `flow` or `source` is not what its name says.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("input_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2, 3]))
        >>> out = []
        >>> op.output("out", numbers, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [1, 2, 3]
    """
    if not isinstance(flow, Dataflow):
        msg = f"`flow` of step `{step_id}` must be a `Dataflow`; got {a_type(flow)}"
        raise TypeError(msg)
    if not isinstance(source, (DynamicSource, FixedPartitionedSource)):
        msg = (
            f"`source` of step `{step_id}` must be a `FixedPartitionedSource` "
            f"or a `DynamicSource`; got {a_type(source)}"
        )
        raise TypeError(msg)
    return core_stream(flow)
