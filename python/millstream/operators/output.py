"""`output`: where items leave a dataflow. A core operator."""

from __future__ import annotations

from millstream.dataflow import Stream, operator
from millstream.operators._types import X, a_type
from millstream.outputs import DynamicSink, FixedPartitionedSink, Sink, TwoPhaseSink

__all__ = ["output"]


@operator(_core=True)
def output(step_id: str, up: Stream[X], sink: Sink[X]) -> None:
    """Write all items to a sink.

    Args:
        step_id: The id of this step.
        up: The items. A `FixedPartitionedSink` or `TwoPhaseSink` needs
            ``(key, value)`` 2-tuples: it chooses a partition by the key, and writes
            the value.
        sink: Where the items go.

    Raises:
        TypeError: If `sink` is not a sink.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("output_example")
        >>> words = op.input("words", flow, TestingSource(["to", "be"]))
        >>> out = []
        >>> op.output("out", words, TestingSink(out))
        >>> run_main(flow)
        >>> out
        ['to', 'be']
    """
    if not isinstance(sink, (DynamicSink, FixedPartitionedSink, TwoPhaseSink)):
        msg = (
            f"`sink` of step `{step_id}` must be a `FixedPartitionedSink`, "
            f"a `TwoPhaseSink` or a `DynamicSink`; got {a_type(sink)}"
        )
        raise TypeError(msg)
