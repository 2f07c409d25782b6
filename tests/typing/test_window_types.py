"""Item types flow through operators on windows; type checkers read this file.

Every `assert_type` is checked by mypy and pyright. Running it only shows that the
steps can be built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow, Stream
from millstream.operators import KeyedStream
from millstream.operators.windowing import WindowMetadata, WindowOut
from millstream.testing import TestingSource
from typing_extensions import assert_type

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
WINDOWER = win.TumblingWindower(timedelta(seconds=10), START)


@dataclass
class Order:
    at: datetime
    shop: str
    price: float


def _orders(step_id: str, flow: Dataflow) -> Stream[Order]:
    return op.input(step_id, flow, TestingSource([Order(START, "a", 1.5)]))


def _by_shop(flow: Dataflow) -> KeyedStream[Order]:
    return op.key_on("key", _orders("orders", flow), lambda order: order.shop)


def _at(order: Order) -> datetime:
    return order.at


def _clock() -> win.EventClock[Order]:
    return win.EventClock(_at, timedelta(seconds=1), scope="stream")


def _add(total: float, order: Order) -> float:
    return total + order.price


def _sum(total: float, other: float) -> float:
    return total + other


class _Total(win.WindowLogic[Order, str, float]):
    def __init__(self, resume_state: float | None) -> None:
        self._total = resume_state or 0.0

    def on_value(self, value: Order) -> Iterable[str]:
        self._total += value.price
        return ()

    def on_merge(self, original: _Total) -> Iterable[str]:
        self._total += original._total
        return ()

    def on_close(self) -> Iterable[str]:
        return (str(self._total),)

    def snapshot(self) -> float:
        return self._total


class _ManualLogic(win.ClockLogic[object, None]):
    def on_item(self, value: object) -> tuple[datetime, datetime]:  # noqa: ARG002
        return START, START

    def on_notify(self) -> datetime:
        return START

    def on_eof(self) -> datetime:
        return win.UTC_MAX

    def snapshot(self) -> None:
        return None


class _ManualClock(win.Clock[object, None]):
    def build(self, resume_state: None) -> _ManualLogic:  # noqa: ARG002
        return _ManualLogic()


def test_window() -> None:
    up = _by_shop(Dataflow("flow"))
    out = win.window("window", up, _clock(), WINDOWER, _Total)
    assert_type(out, WindowOut[Order, str])
    assert_type(out.down, KeyedStream[tuple[int, str]])
    assert_type(out.late, KeyedStream[tuple[int, Order]])
    assert_type(out.meta, KeyedStream[tuple[int, WindowMetadata]])


def test_any_clock_that_takes_the_values() -> None:
    up = _by_shop(Dataflow("flow"))
    assert_type(
        win.max_window("system", up, win.SystemClock(), WINDOWER, lambda o: o.price),
        WindowOut[Order, Order],
    )
    assert_type(
        win.max_window("manual", up, _ManualClock(), WINDOWER, lambda o: o.price),
        WindowOut[Order, Order],
    )
    of_anything = win.EventClock[object](lambda _: START, timedelta())
    assert_type(
        win.min_window("min", up, of_anything, WINDOWER, by=lambda o: o.price),
        WindowOut[Order, Order],
    )


def test_a_clock_may_be_made_in_place() -> None:
    up = _by_shop(Dataflow("flow"))
    out = win.collect_window(
        "collect", up, win.EventClock(lambda order: order.at, timedelta()), WINDOWER
    )
    assert_type(out, WindowOut[Order, list[Order]])


def test_fold_window() -> None:
    up = _by_shop(Dataflow("flow"))
    out = win.fold_window("fold", up, _clock(), WINDOWER, float, _add, _sum)
    assert_type(out, WindowOut[Order, float])
    out = win.fold_window(
        "unordered", up, _clock(), WINDOWER, float, _add, _sum, ordered=False
    )
    assert_type(out, WindowOut[Order, float])


def test_collect_window() -> None:
    flow = Dataflow("flow")
    up = _by_shop(flow)
    clock = _clock()
    assert_type(
        win.collect_window("default", up, clock, WINDOWER),
        WindowOut[Order, list[Order]],
    )
    assert_type(
        win.collect_window("unordered", up, clock, WINDOWER, ordered=False),
        WindowOut[Order, list[Order]],
    )
    assert_type(
        win.collect_window("list", up, clock, WINDOWER, list, ordered=False),
        WindowOut[Order, list[Order]],
    )
    assert_type(
        win.collect_window("set", up, clock, WINDOWER, into=set, ordered=False),
        WindowOut[Order, set[Order]],
    )
    prices = op.map_value("prices", up, lambda order: (order.shop, order.price))
    assert_type(
        win.collect_window("dict", prices, win.SystemClock(), WINDOWER, dict),
        WindowOut[tuple[str, float], dict[str, float]],
    )


def test_count_window() -> None:
    orders = _orders("orders", Dataflow("flow"))
    out = win.count_window("count", orders, _clock(), WINDOWER, lambda o: o.shop)
    assert_type(out, WindowOut[Order, int])


def test_reduce_window() -> None:
    up = _by_shop(Dataflow("flow"))
    out = win.reduce_window("reduce", up, _clock(), WINDOWER, lambda x, _: x)
    assert_type(out, WindowOut[Order, Order])


def test_join_window() -> None:
    flow = Dataflow("flow")
    orders = _by_shop(flow)
    names = op.map_value("names", orders, lambda order: order.shop)
    prices = op.map_value("prices", orders, lambda order: order.price)
    clock = win.SystemClock()
    assert_type(
        win.join_window("one", clock, WINDOWER, orders),
        WindowOut[Order, tuple[Order | None]],
    )
    assert_type(
        win.join_window("final", clock, WINDOWER, names, prices, ordered=False),
        WindowOut[str | float, tuple[str | None, float | None]],
    )
    assert_type(
        win.join_window("run", clock, WINDOWER, names, prices, emit_mode="running"),
        WindowOut[str | float, tuple[str | None, float | None]],
    )
    assert_type(
        win.join_window("all", clock, WINDOWER, names, prices, emit_mode="complete"),
        WindowOut[str | float, tuple[str, float]],
    )
    assert_type(
        win.join_window(
            "six",
            clock,
            WINDOWER,
            names,
            prices,
            orders,
            names,
            prices,
            orders,
            insert_mode="product",
            emit_mode="complete",
        ),
        WindowOut[str | float | Order, tuple[str, float, Order, str, float, Order]],
    )
    assert_type(
        win.join_window("many", clock, WINDOWER, *[names] * 7),
        WindowOut[str, tuple[str | None, ...]],
    )


def test_chains() -> None:
    up = _by_shop(Dataflow("flow"))
    out = up.then(win.fold_window, "fold", _clock(), WINDOWER, float, _add, _sum)
    assert_type(out, WindowOut[Order, float])
    rounded = op.map_value("round", out.down, lambda result: round(result[1]))
    assert_type(rounded, KeyedStream[int])


def test_wrong_types_are_found() -> None:
    # mypy fails here if it does *not* find the mistake: an unused ignore is an error.
    up = _by_shop(Dataflow("flow"))
    of_strings = win.EventClock[str](lambda _: START, timedelta())
    with pytest.raises(ValueError, match="scope"):
        win.EventClock(_at, timedelta(), scope="flow")  # type: ignore[arg-type]
    win.collect_window("clock", up, of_strings, WINDOWER)  # type: ignore[misc]
    win.reduce_window("reduce", up, _clock(), WINDOWER, _add)  # type: ignore[arg-type]
