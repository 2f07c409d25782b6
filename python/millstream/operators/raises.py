"""`raises`: the end of a stream on which no item may arrive."""

from __future__ import annotations

from typing import Any

from millstream.dataflow import Stream, operator
from millstream.operators._types import describe
from millstream.operators.output import output
from millstream.outputs import DynamicSink, StatelessSinkPartition

__all__ = ["raises"]


class _RaisingPartition(StatelessSinkPartition[Any]):
    def __init__(self, step_id: str) -> None:
        self._step_id = step_id

    def write_batch(self, items: list[Any]) -> None:
        for item in items:
            msg = f"`raises` step `{self._step_id}` got an item: {describe(item)}"
            raise RuntimeError(msg)


class _RaisingSink(DynamicSink[Any]):
    def __init__(self, step_id: str) -> None:
        self._step_id = step_id

    def build(
        self,
        step_id: str,  # noqa: ARG002
        worker_index: int,  # noqa: ARG002
        worker_count: int,  # noqa: ARG002
    ) -> _RaisingPartition:
        return _RaisingPartition(self._step_id)


@operator
def raises(step_id: str, up: Stream[Any]) -> None:
    """Fail as soon as an item arrives.

    Put it at the end of a stream of errors, until you know what to do with them.

    Args:
        step_id: The id of this step.
        up: A stream on which you expect no items.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.errors import MillstreamRuntimeError
        >>> from millstream.testing import TestingSource, run_main
        >>> flow = Dataflow("raises_example")
        >>> numbers = op.input("numbers", flow, TestingSource([1, -1]))
        >>> negative = op.filter("negative", numbers, lambda x: x < 0)
        >>> op.raises("none_expected", negative)
        >>> try:
        ...     run_main(flow)
        ... except MillstreamRuntimeError as ex:
        ...     print(ex.__cause__)
        `raises` step `raises_example.none_expected` got an item: -1
    """
    output("output", up, _RaisingSink(step_id))
