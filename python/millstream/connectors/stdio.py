"""A sink that shows items on the terminal."""

from __future__ import annotations

import sys
from typing import Any

from millstream.outputs import DynamicSink, StatelessSinkPartition

__all__ = ["StdOutSink"]


class StdOutSink(DynamicSink[Any]):
    """Print each item on a line of its own, as `str` shows it.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> flow = Dataflow("hello")
        >>> words = op.input("words", flow, TestingSource(["hello", "world"]))
        >>> op.output("print", words, StdOutSink())
        >>> run_main(flow)
        hello
        world
    """

    def build(
        self,
        step_id: str,  # noqa: ARG002
        worker_index: int,  # noqa: ARG002
        worker_count: int,  # noqa: ARG002
    ) -> StatelessSinkPartition[Any]:
        """See `millstream.outputs.DynamicSink.build`."""
        return _StdOutSinkPartition()


class _StdOutSinkPartition(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        # One write per batch: workers share the stream, and their lines must not
        # run into each other.
        sys.stdout.write("".join([f"{item!s}\n" for item in items]))
        sys.stdout.flush()
