"""The recursive function in Python and in Rust, as two steps of one dataflow.

Both branches see every number; the results are joined, compared and printed. To the
dataflow a Rust function is a function like any other.

``python -m millstream.run examples.fibonacci.flow`` runs it.
"""

from __future__ import annotations

import fibonacci_pyo3
import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.inputs import Source
from millstream.operators import KeyedStream
from millstream.testing import TestingSource

from examples.fibonacci import fibonacci


def computed_twice(
    flow: Dataflow, numbers: Source[int]
) -> KeyedStream[tuple[int, int]]:
    """Compute the Fibonacci number of each index in Python and in Rust.

    Args:
        flow: The dataflow to add the steps to.
        numbers: The indexes.

    Returns:
        The index as the key, with both results.
    """
    indexes = op.input("indexes", flow, numbers)
    keyed = op.key_on("key", indexes, str)
    in_python = op.map_value("in_python", keyed, fibonacci.fib)
    in_rust = op.map_value("in_rust", keyed, fibonacci_pyo3.fib)
    return op.join("results", in_python, in_rust)


def as_line(index_and_results: tuple[str, tuple[int, int]]) -> str:
    """Describe the results for one index.

    Args:
        index_and_results: What `computed_twice` makes.

    Returns:
        A line to print.

    Raises:
        ValueError: If the two differ.
    """
    n, (in_python, in_rust) = index_and_results
    if in_python != in_rust:
        msg = f"fib({n}) is {in_python} in Python and {in_rust} in Rust"
        raise ValueError(msg)
    return f"fib({n}) = {in_python} in Python and in Rust"


flow = Dataflow("fibonacci")
results = computed_twice(flow, TestingSource(range(21)))
op.output("out", op.map("line", results, as_line), StdOutSink())
