"""Item types flow through a chain of operators; type checkers read this file.

Every `assert_type` is checked by mypy and pyright. Running it only shows that the
chains can be built.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeGuard

import millstream.operators as op
from millstream.dataflow import Dataflow, Stream, operator
from millstream.operators import BranchOut, KeyedStream, StatefulLogic, TTLCache
from millstream.operators.helpers import map_dict_value
from millstream.testing import TestingSink, TestingSource
from typing_extensions import assert_type


def _numbers(flow: Dataflow) -> Stream[int]:
    return op.input("numbers", flow, TestingSource([1, 2, 3]))


def _pairs(flow: Dataflow) -> KeyedStream[int]:
    return op.input("pairs", flow, TestingSource([("a", 1), ("b", 2)]))


def _half(x: int) -> float:
    return x / 2


def _is_str(x: int | str) -> TypeGuard[str]:
    return isinstance(x, str)


def _is_even(x: int) -> bool:
    return x % 2 == 0


def _half_of_even(x: int) -> float | None:
    return x / 2 if x % 2 == 0 else None


def _key(x: int) -> str:
    return str(x)


def _total(state: int | None, value: int) -> tuple[int | None, float]:
    total = (state or 0) + value
    return total, float(total)


def _totals(state: int | None, value: int) -> tuple[int | None, list[float]]:
    total = (state or 0) + value
    return total, [float(total)]


def _longer(longest: str, value: int) -> str:
    return max(longest, str(value), key=len)


def _enrich(cache: TTLCache[int, str], x: int) -> tuple[int, str]:
    return x, cache.get(x)


class _Total(StatefulLogic[int, float, int]):
    def __init__(self, resume_state: int | None) -> None:
        self._total = resume_state or 0

    def on_item(self, value: int) -> tuple[list[float], bool]:
        self._total += value
        return [float(self._total)], StatefulLogic.RETAIN

    def snapshot(self) -> int:
        return self._total


def test_input_takes_the_items_of_the_source() -> None:
    flow = Dataflow("flow")
    source = TestingSource([1, 2, 3])
    assert_type(op.input("inp", flow, source), Stream[int])


def test_stateless_operators() -> None:
    s = _numbers(Dataflow("flow"))
    assert_type(op.map("map", s, _half), Stream[float])
    assert_type(op.map("lambda", s, lambda x: f"{x}"), Stream[str])
    assert_type(op.flat_map("flat_map", s, lambda x: [str(x)]), Stream[str])
    assert_type(op.flat_map_batch("batch", s, lambda xs: map(str, xs)), Stream[str])
    assert_type(op.filter("filter", s, _is_even), Stream[int])
    assert_type(op.filter("filter_lambda", s, lambda x: x > 1), Stream[int])
    assert_type(op.filter_map("filter_map", s, _half_of_even), Stream[float])
    assert_type(op.key_on("key_on", s, _key), KeyedStream[int])
    assert_type(op.inspect("inspect", s), Stream[int])
    assert_type(op.inspect_debug("inspect_debug", s), Stream[int])
    assert_type(op.redistribute("redistribute", s), Stream[int])
    assert_type(op.enrich_cached("enrich", s, str, _enrich), Stream[tuple[int, str]])
    lists = op.map("lists", s, lambda x: [x])
    assert_type(op.flatten("flatten", lists), Stream[int])
    op.output("out", s, TestingSink(list[int]()))
    op.raises("raises", s)


def test_branch_narrows_by_a_type_guard() -> None:
    s = _numbers(Dataflow("flow"))
    assert_type(op.branch("even", s, _is_even), BranchOut[int, int])
    assert_type(op.branch("lambda", s, lambda x: x > 1).falses, Stream[int])
    mixed = op.merge("mixed", s, op.map("str", s, str))
    assert_type(mixed, Stream[int | str])
    assert_type(op.branch("is_str", mixed, _is_str), BranchOut[str, int | str])
    assert_type(op.filter("only_str", mixed, _is_str), Stream[str])
    keyed = op.key_on("key", mixed, str)
    assert_type(op.filter_value("only_str_value", keyed, _is_str), KeyedStream[str])


def test_merge_is_a_union() -> None:
    s = _numbers(Dataflow("flow"))
    strings = op.map("str", s, str)
    floats = op.map("float", s, _half)
    raw = op.map("bytes", s, lambda x: bytes([x]))
    lists = op.map("list", s, lambda x: [x])
    sets = op.map("set", s, lambda x: {x})
    assert_type(op.merge("one", s), Stream[int])
    assert_type(op.merge("same", s, s), Stream[int])
    assert_type(op.merge("two", s, strings), Stream[int | str])
    assert_type(op.merge("three", s, strings, raw), Stream[int | str | bytes])
    assert_type(
        op.merge("four", s, strings, raw, lists), Stream[int | str | bytes | list[int]]
    )
    assert_type(
        op.merge("five", s, strings, raw, lists, sets),
        Stream[int | str | bytes | list[int] | set[int]],
    )
    assert_type(
        op.merge("six", s, strings, raw, lists, sets, floats),
        Stream[int | str | bytes | list[int] | set[int] | float],
    )
    assert_type(op.merge("many", s, s, s, s, s, s, s), Stream[int])
    assert_type(op.merge("unpacked", *[s, s]), Stream[int])


def test_operators_on_values_keep_the_key() -> None:
    s = _pairs(Dataflow("flow"))
    assert_type(op.map_value("map", s, _half), KeyedStream[float])
    assert_type(op.flat_map_value("flat_map", s, lambda x: [str(x)]), KeyedStream[str])
    assert_type(op.filter_value("filter", s, _is_even), KeyedStream[int])
    assert_type(op.filter_map_value("filter_map", s, _half_of_even), KeyedStream[float])
    assert_type(op.key_rm("key_rm", s), Stream[int])


def test_stateful_operators() -> None:
    s = _pairs(Dataflow("flow"))
    assert_type(op.stateful("stateful", s, _Total), KeyedStream[float])
    assert_type(op.stateful_map("map", s, _total), KeyedStream[float])
    assert_type(op.stateful_flat_map("flat_map", s, _totals), KeyedStream[float])
    lists = op.collect("collect", s, timeout=timedelta(seconds=1), max_size=2)
    assert_type(lists, KeyedStream[list[int]])
    assert_type(op.fold_final("fold", s, str, _longer), KeyedStream[str])
    assert_type(op.reduce_final("reduce", s, lambda x, y: x + y), KeyedStream[int])
    assert_type(op.max_final("max", s), KeyedStream[int])
    assert_type(op.min_final("min", s, by=lambda x: -x), KeyedStream[int])
    assert_type(op.count_final("count", op.key_rm("rm", s), _key), KeyedStream[int])


def test_join_has_a_place_for_each_side() -> None:
    s = _pairs(Dataflow("flow"))
    strings = op.map_value("str", s, str)
    assert_type(op.join("one", s), KeyedStream[tuple[int]])
    assert_type(op.join("two", s, strings), KeyedStream[tuple[int, str]])
    assert_type(
        op.join("complete", s, strings, emit_mode="complete"),
        KeyedStream[tuple[int, str]],
    )
    assert_type(
        op.join("final", s, strings, insert_mode="product", emit_mode="final"),
        KeyedStream[tuple[int | None, str | None]],
    )
    assert_type(op.join("three", s, s, strings), KeyedStream[tuple[int, int, str]])
    assert_type(
        op.join("four", s, s, s, strings), KeyedStream[tuple[int, int, int, str]]
    )
    assert_type(
        op.join("five", s, s, s, s, strings),
        KeyedStream[tuple[int, int, int, int, str]],
    )
    assert_type(
        op.join("six", s, s, s, s, s, strings, emit_mode="running"),
        KeyedStream[
            tuple[
                int | None, int | None, int | None, int | None, int | None, str | None
            ]
        ],
    )
    assert_type(op.join("many", s, s, s, s, s, s, s), KeyedStream[tuple[int, ...]])


def test_then_chains_the_types() -> None:
    s = _numbers(Dataflow("flow"))
    assert_type(s.then(op.map, "map", _half), Stream[float])
    assert_type(s.then(op.filter_map, "filter_map", _half_of_even), Stream[float])
    assert_type(s.then(op.filter, "filter", _is_even), Stream[int])
    assert_type(s.then(op.branch, "branch", _is_even).trues, Stream[int])
    assert_type(s.then(op.inspect, "inspect"), Stream[int])
    chained = (
        s.then(op.flat_map, "repeat", lambda x: [x, x])
        .then(op.key_on, "key", _key)
        .then(op.map_value, "half", _half)
        .then(op.max_final, "max")
        .then(op.key_rm, "key_rm")
    )
    assert_type(chained, Stream[float])
    assert_type(_pairs(s.flow()).then(op.stateful_map, "t", _total), KeyedStream[float])


def test_a_custom_operator_keeps_its_types() -> None:
    @operator
    def halve(step_id: str, up: Stream[int], *, times: int = 1) -> Stream[float]:
        return op.map("halve", up, lambda x: x / 2**times)

    s = _numbers(Dataflow("flow"))
    assert_type(halve("halves", s), Stream[float])
    assert_type(halve("quarters", s, times=2), Stream[float])
    assert_type(s.then(halve, "eighths", times=3), Stream[float])


def test_wrong_item_types_are_found() -> None:
    # mypy fails here if it does *not* find the mistake: an unused ignore is an error.
    s = _numbers(Dataflow("flow"))
    op.map("map", s, str.upper)  # type: ignore[arg-type]
    op.map_value("map_value", s, str)  # type: ignore[arg-type]
    op.output("out", s, TestingSink(list[str]()))  # type: ignore[misc]
    s.then(op.map, "then", str.upper)  # type: ignore[arg-type]


def test_map_dict_value_keeps_the_type_of_the_dictionary() -> None:
    parse_age = map_dict_value("age", int)
    s = op.map("dict", _numbers(Dataflow("flow")), lambda x: {"age": x})
    assert_type(op.map("parse", s, parse_age), Stream[dict[str, int]])
    untyped: Stream[dict[str, Any]] = s
    assert_type(op.map("untyped", untyped, parse_age), Stream[dict[str, int]])
