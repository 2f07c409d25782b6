"""Types of named aggregators; type checkers read this file.

Every `assert_type` is checked by mypy and pyright. Running it only shows that the
steps can be built.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import millstream.operators as op
import millstream.operators.aggregators as agg
import millstream.operators.windowing as win
from millstream.dataflow import Dataflow
from millstream.operators import KeyedStream
from millstream.operators.aggregators import Aggregator
from millstream.operators.windowing import WindowOut
from millstream.testing import TestingSource
from typing_extensions import assert_type

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
WINDOWER = win.TumblingWindower(timedelta(seconds=10), START)


@dataclass
class Order:
    at: datetime
    price: float
    pieces: int
    weight: Decimal
    took: timedelta


def _orders() -> KeyedStream[Order]:
    order = Order(START, 1.5, 2, Decimal("0.1"), timedelta(seconds=1))
    return op.input("orders", Dataflow("flow"), TestingSource([("a", order)]))


def _price(order: Order) -> float:
    return order.price


def _pieces(order: Order) -> int:
    return order.pieces


def _weight(order: Order) -> Decimal:
    return order.weight


def _took(order: Order) -> timedelta:
    return order.took


def test_aggregators_have_the_type_of_their_result() -> None:
    assert_type(agg.count(), Aggregator[object, int])
    assert_type(agg.sum(by=_pieces), Aggregator[Order, int])
    assert_type(agg.min(by=_took), Aggregator[Order, timedelta])
    assert_type(agg.max(by=_price), Aggregator[Order, float])
    assert_type(agg.first(by=_weight), Aggregator[Order, Decimal])
    assert_type(agg.last(_price), Aggregator[Order, float])


def test_a_mean_has_the_type_of_a_quotient() -> None:
    assert_type(agg.mean(by=_pieces), Aggregator[Order, float])
    assert_type(agg.mean(by=_price), Aggregator[Order, float])
    assert_type(agg.mean(by=_weight), Aggregator[Order, Decimal])
    assert_type(agg.mean(by=_took), Aggregator[Order, timedelta])


def test_of_values_themselves() -> None:
    greatest: Aggregator[int, int] = agg.max()
    mean: Aggregator[int, float] = agg.mean()
    numbers = op.map_value("pieces", _orders(), _pieces)
    aggregated = op.aggregate_final(
        "aggregate",
        numbers,
        {
            "n": agg.count(),
            "sum": agg.sum(),
            "mean": mean,
            "min": agg.min(None),
            "max": greatest,
            "first": agg.first(),
            "last": agg.last(),
        },
    )
    assert_type(aggregated, KeyedStream[dict[str, Any]])


def test_aggregate_final() -> None:
    orders = _orders()
    assert_type(
        op.aggregate_final("n", orders, {"n": agg.count()}),
        KeyedStream[dict[str, Any]],
    )
    assert_type(
        op.aggregate_final(
            "functions", orders, {"n": agg.count(), "mean": agg.mean(by=_price)}
        ),
        KeyedStream[dict[str, Any]],
    )
    assert_type(
        op.aggregate_final(
            "lambdas",
            orders,
            {
                "n": agg.count(),
                "sum": agg.sum(by=lambda order: order.price),
                "mean": agg.mean(by=lambda order: order.price),
                "last": agg.last(),
            },
        ),
        KeyedStream[dict[str, Any]],
    )
    assert_type(
        orders.then(op.aggregate_final, "then", {"max": agg.max(by=_price)}),
        KeyedStream[dict[str, Any]],
    )


def test_aggregate_window() -> None:
    orders = _orders()
    clock = win.EventClock[Order](lambda order: order.at, timedelta())
    assert_type(
        win.aggregate_window(
            "lambdas",
            orders,
            clock,
            WINDOWER,
            {"n": agg.count(), "max": agg.max(by=lambda order: order.price)},
        ),
        WindowOut[Order, dict[str, Any]],
    )
    assert_type(
        win.aggregate_window(
            "unordered",
            orders,
            win.SystemClock(),
            WINDOWER,
            {"mean": agg.mean(by=_price)},
            ordered=False,
        ),
        WindowOut[Order, dict[str, Any]],
    )


def test_wrong_types_are_found() -> None:
    # mypy fails here if it does *not* find the mistake: an unused ignore is an error.
    names = op.map_value("names", _orders(), str)
    op.aggregate_final("by", names, {"sum": agg.sum(by=_price)})  # type: ignore[misc]
    op.aggregate_final("mean", names, {"mean": agg.mean()})  # type: ignore[misc]
    agg.mean(by=str)  # type: ignore[arg-type]
