"""`aggregate_final`: counts, sums and the like of each key, at the end of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.dataflow import operator
from millstream.operators._aggregation import Aggregation
from millstream.operators._types import KeyedStream, V, written_id
from millstream.operators.aggregators import Aggregator
from millstream.operators.final import fold_final
from millstream.operators.map import map_value

__all__ = ["aggregate_final"]


@operator
def aggregate_final(
    step_id: str, up: KeyedStream[V], aggregators: Mapping[str, Aggregator[V, Any]]
) -> KeyedStream[dict[str, Any]]:
    """Count, add up, or compare all values of each key, in several ways at once.

    On an input without an end, it never emits anything.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        aggregators: What to make of the values, each with a name for the result.
            `millstream.operators.aggregators` has them.

    Returns:
        A dictionary of the results for each key, at the end of the input, in the
        order of `aggregators`.

    Raises:
        TypeError: If `aggregators` isn't a mapping of names to aggregators.
        ValueError: If it is empty.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("aggregate_final_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 4)])
        >>> numbers = op.input("numbers", flow, source)
        >>> aggregated = op.aggregate_final(
        ...     "aggregate", numbers, {"n": agg.count(), "mean": agg.mean()}
        ... )
        >>> out = []
        >>> op.output("out", aggregated, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'n': 2, 'mean': 2.5}), ('b', {'n': 1, 'mean': 2.0})]
    """
    aggregation = Aggregation(written_id(up), aggregators)
    folded = fold_final("fold_final", up, tuple, aggregation.fold)
    return map_value("finish", folded, aggregation.finish)
