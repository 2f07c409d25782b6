"""Named aggregators: counts, sums, means and the like, several of them in one step.

Import this module as `agg`, and give a step a mapping of names to aggregators:

    import millstream.operators.aggregators as agg

    prices = op.aggregate_final(
        "prices",
        orders,
        {"n": agg.count(), "mean": agg.mean(by=lambda order: order.price)},
    )

`millstream.operators.aggregate_final` has their results for each key at the end of the
input, `millstream.operators.windowing.aggregate_window` for each window. An aggregator
says what is wanted, and not how: so the engine can do all of it but call `by`.

`by` takes out of each value what is to be aggregated. A function that several
aggregators of a step have in common is called once for each value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, overload

from millstream.operators._types import V, V_contra, W_co, X

__all__ = [
    "Aggregator",
    "Kind",
    "count",
    "first",
    "last",
    "max",
    "mean",
    "min",
    "sum",
]

Kind: TypeAlias = Literal["count", "sum", "mean", "min", "max", "first", "last"]
"""What an aggregator makes of values."""


@dataclass(frozen=True)
class Aggregator(Generic[V_contra, W_co]):
    """What to make of values, once for each result. The functions here make them.

    Args:
        kind: Which function has made it.
        by: Called with each value; returns what to take of it. None is for the value
            itself.
    """

    kind: Kind
    by: Callable[[V_contra], Any] | None = None


class _Divisible(Protocol[W_co]):
    """What has a mean: the type of the mean is that of a quotient."""

    def __truediv__(self, divisor: int, /) -> W_co: ...


def count() -> Aggregator[object, int]:
    """How many values there are.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("count_example")
        >>> source = TestingSource([("a", None), ("a", 3)])
        >>> values = op.input("values", flow, source)
        >>> counted = op.aggregate_final("count", values, {"n": agg.count()})
        >>> out = []
        >>> op.output("out", counted, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'n': 2})]
    """
    return Aggregator("count")


@overload
def sum() -> Aggregator[V, V]: ...


@overload
def sum(by: None) -> Aggregator[V, V]: ...


@overload
def sum(by: Callable[[V], X]) -> Aggregator[V, X]: ...


def sum(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """What values add up to, by ``+``.

    They are added to the first of them, and not to a zero, so that they can be whatever
    ``+`` takes: `decimal.Decimal`, `datetime.timedelta` and so on. Those which are
    `float` are added one after another, as with a loop.

    Args:
        by: Called with each value; returns what to add. The default is the value
            itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("sum_example")
        >>> source = TestingSource([("a", -5), ("a", 3), ("b", 1)])
        >>> numbers = op.input("numbers", flow, source)
        >>> sums = {"sum": agg.sum(), "sum_of_sizes": agg.sum(by=abs)}
        >>> out = []
        >>> added = op.aggregate_final("add", numbers, sums)
        >>> op.output("out", added, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'sum': -2, 'sum_of_sizes': 8}), ('b', {'sum': 1, 'sum_of_sizes': 1})]
    """
    return Aggregator("sum", by)


@overload
def mean() -> Aggregator[_Divisible[X], X]: ...


@overload
def mean(by: None) -> Aggregator[_Divisible[X], X]: ...


@overload
def mean(by: Callable[[V], _Divisible[X]]) -> Aggregator[V, X]: ...


def mean(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """The mean of values: their `sum`, divided by how many they are with ``/``.

    Args:
        by: Called with each value; returns what to take the mean of. The default is
            the value itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("mean_example")
        >>> source = TestingSource([("a", -5), ("a", 2)])
        >>> numbers = op.input("numbers", flow, source)
        >>> means = {"mean": agg.mean(), "mean_size": agg.mean(by=abs)}
        >>> out = []
        >>> averaged = op.aggregate_final("average", numbers, means)
        >>> op.output("out", averaged, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'mean': -1.5, 'mean_size': 3.5})]
    """
    return Aggregator("mean", by)


@overload
def min() -> Aggregator[V, V]: ...


@overload
def min(by: None) -> Aggregator[V, V]: ...


@overload
def min(by: Callable[[V], X]) -> Aggregator[V, X]: ...


def min(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """The least of values; of equal ones, the first.

    Args:
        by: Called with each value; returns what to find the least of. The result is
            the least of what it returned. The default is the value itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("min_example")
        >>> source = TestingSource([("a", -5), ("a", 3)])
        >>> numbers = op.input("numbers", flow, source)
        >>> least = {"least": agg.min(), "least_size": agg.min(by=abs)}
        >>> out = []
        >>> found = op.aggregate_final("find", numbers, least)
        >>> op.output("out", found, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'least': -5, 'least_size': 3})]
    """
    return Aggregator("min", by)


@overload
def max() -> Aggregator[V, V]: ...


@overload
def max(by: None) -> Aggregator[V, V]: ...


@overload
def max(by: Callable[[V], X]) -> Aggregator[V, X]: ...


def max(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """The greatest of values; of equal ones, the first.

    Args:
        by: Called with each value; returns what to find the greatest of. The result
            is the greatest of what it returned. The default is the value itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("max_example")
        >>> source = TestingSource([("a", -5), ("a", 3)])
        >>> numbers = op.input("numbers", flow, source)
        >>> greatest = {"greatest": agg.max(), "greatest_size": agg.max(by=abs)}
        >>> out = []
        >>> found = op.aggregate_final("find", numbers, greatest)
        >>> op.output("out", found, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'greatest': 3, 'greatest_size': 5})]
    """
    return Aggregator("max", by)


@overload
def first() -> Aggregator[V, V]: ...


@overload
def first(by: None) -> Aggregator[V, V]: ...


@overload
def first(by: Callable[[V], X]) -> Aggregator[V, X]: ...


def first(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """The first of values: to arrive, or by timestamp in an ordered window.

    When sessions merge, it is the first of the earlier session.

    Args:
        by: Called with each value; returns what to take of it. The default is the
            value itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("first_example")
        >>> source = TestingSource([("a", -5), ("a", 3), ("a", 4)])
        >>> numbers = op.input("numbers", flow, source)
        >>> firsts = {"first": agg.first(), "first_size": agg.first(by=abs)}
        >>> out = []
        >>> found = op.aggregate_final("find", numbers, firsts)
        >>> op.output("out", found, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'first': -5, 'first_size': 5})]
    """
    return Aggregator("first", by)


@overload
def last() -> Aggregator[V, V]: ...


@overload
def last(by: None) -> Aggregator[V, V]: ...


@overload
def last(by: Callable[[V], X]) -> Aggregator[V, X]: ...


def last(by: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any]:
    """The last of values: to arrive, or by timestamp in an ordered window.

    When sessions merge, it is the last of the later session.

    Args:
        by: Called with each value; returns what to take of it. The default is the
            value itself.

    Returns:
        The aggregator.

    Examples:
        >>> import millstream.operators as op
        >>> import millstream.operators.aggregators as agg
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("last_example")
        >>> source = TestingSource([("a", 3), ("a", 4), ("a", -5)])
        >>> numbers = op.input("numbers", flow, source)
        >>> lasts = {"last": agg.last(), "last_size": agg.last(by=abs)}
        >>> out = []
        >>> found = op.aggregate_final("find", numbers, lasts)
        >>> op.output("out", found, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', {'last': -5, 'last_size': 5})]
    """
    return Aggregator("last", by)
