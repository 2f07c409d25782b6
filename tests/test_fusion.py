"""Fused steps do what the same steps do one by one, whatever stands beside what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import millstream.operators as op
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream.dataflow import Dataflow, Stream
from millstream.errors import MillstreamRuntimeError
from millstream.testing import TestingSink, TestingSource, run_main

Step = Callable[[str, Stream[Any]], Stream[Any]]

# Each step takes and makes `(str, int)` pairs, so that any can follow any other.
STEPS: dict[str, Step] = {
    "map": lambda n, s: op.map(n, s, lambda kv: (kv[0] + "m", kv[1] + 1)),
    "swap": lambda n, s: op.map(n, s, lambda kv: (str(kv[1]), len(kv[0]))),
    "filter": lambda n, s: op.filter(n, s, lambda kv: kv[1] % 3 != 0),
    "filter_map": lambda n, s: op.filter_map(
        n, s, lambda kv: None if kv[1] % 5 == 0 else kv
    ),
    "flat_map": lambda n, s: op.flat_map(
        n, s, lambda kv: [(kv[0], kv[1] + i) for i in range(kv[1] % 3)]
    ),
    "generator": lambda n, s: op.flat_map(
        n, s, lambda kv: ((kv[0] + "g", kv[1] * i) for i in range(2))
    ),
    "map_value": lambda n, s: op.map_value(n, s, lambda v: v * 2),
    "flat_map_value": lambda n, s: op.flat_map_value(n, s, lambda v: [v, v + 7]),
    "filter_value": lambda n, s: op.filter_value(n, s, lambda v: v % 2 == 0),
    "filter_map_value": lambda n, s: op.filter_map_value(
        n, s, lambda v: None if v % 7 == 0 else v - 1
    ),
    "flatten": lambda n, s: op.flatten(n + "_in", op.map(n, s, lambda kv: [kv, kv])),
    "rekey": lambda n, s: op.map_value(
        n + "_v", op.key_on(n, s, lambda kv: kv[0] + "k"), lambda kv: kv[1]
    ),
    "batch": lambda n, s: op.flat_map_batch(
        n, s, lambda batch: batch[: len(batch) + 1]
    ),
}
STEPS["unkey"] = lambda n, s: op.map_value(
    n + "_v",
    op.key_on(n + "_k", op.key_rm(n, s), lambda v: f"u{v % 4}"),
    lambda v: v + 1,
)

pairs = st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.integers(0, 30)))


def run(items: list[Any], names: list[str], batch_size: int, *, optimize: bool):
    flow = Dataflow("flow")
    up: Stream[Any] = op.input("inp", flow, TestingSource(items, batch_size))
    for number, name in enumerate(names):
        up = STEPS[name](f"{name}_{number}", up)
    out: list[Any] = []
    op.output("out", up, TestingSink(out))
    run_main(flow, optimize=optimize)
    return out


@given(
    items=pairs,
    names=st.lists(st.sampled_from(sorted(STEPS)), max_size=7),
    batch_size=st.integers(1, 5),
)
def test_any_chain_does_what_its_steps_do(items, names, batch_size):
    fused = run(items, names, batch_size, optimize=True)
    assert fused == run(items, names, batch_size, optimize=False)


def chain(*steps: Callable[[Stream[Any]], Stream[Any]], items: list[Any]):
    flow = Dataflow("flow")
    up: Stream[Any] = op.input("inp", flow, TestingSource(items, 10))
    for step in steps:
        up = step(up)
    out: list[Any] = []
    op.output("out", up, TestingSink(out))
    return flow, out


def test_a_new_key_does_not_reach_the_next_value():
    flow, out = chain(
        lambda s: op.flat_map_value("values", s, list),
        lambda s: op.key_on("key", s, lambda kv: kv[0] + kv[1]),
        lambda s: op.map_value("value", s, lambda kv: kv[1]),
        items=[("a", "xyz")],
    )
    run_main(flow)
    assert out == [("ax", "x"), ("ay", "y"), ("az", "z")]


def test_any_number_of_loops():
    steps = [
        lambda s, n=n: op.flat_map(f"loop_{n}", s, lambda x: [x]) for n in range(45)
    ]
    flow, out = chain(*steps, items=[1, 2])
    run_main(flow)
    assert out == [1, 2]


def test_no_batch_without_items():
    flow, out = chain(
        lambda s: op.filter("none", s, lambda _: False),
        lambda s: op.flat_map_batch("largest", s, lambda xs: [max(xs)]),
        items=[1, 2],
    )
    run_main(flow)
    assert out == []


def test_a_generator_is_read_before_the_next_step():
    def growing(_):
        grown = []
        for i in range(3):
            grown.append(i)
            yield grown

    flow, out = chain(
        lambda s: op.flat_map("grow", s, growing),
        lambda s: op.map("length", s, len),
        items=[0],
    )
    run_main(flow)
    assert out == [3, 3, 3]


def test_a_list_that_grows_while_it_is_read():
    kept: list[int] = [1, 2]
    flow, out = chain(
        lambda s: op.flat_map("kept", s, lambda _: kept),
        lambda s: op.inspect("more", s, lambda _id, x: kept.append(x)),
        items=[0],
    )
    run_main(flow)
    assert out == [1, 2]


def failing(after):
    def values(x):
        yield from after(x)
        msg = "failed"
        raise ValueError(msg)

    return values


@pytest.mark.parametrize(
    ("steps", "items", "message"),
    [
        (
            [
                lambda s: op.flat_map("a", s, failing(lambda x: [x * 10, x * 10 + 1])),
                lambda s: op.map("b", s, lambda x: -x),
            ],
            [7],
            "step `flow.a` failed while calling `mapper` on worker 0; the item was 7",
        ),
        (
            [
                lambda s: op.flat_map_value("a", s, failing(lambda x: [x])),
                lambda s: op.map("b", s, lambda kv: ("Z", kv[1] + 1)),
                lambda s: op.map_value("c", s, lambda v: v * 100),
            ],
            [("a", 1)],
            (
                "step `flow.a` failed while calling `mapper` on worker 0; "
                "the item was ('a', 1)"
            ),
        ),
        (
            [
                lambda s: op.map("a", s, lambda x: x + 1),
                lambda s: op.filter("b", s, lambda x: 1 / (x - 3) > 0),
            ],
            [9, 2],
            (
                "step `flow.b` failed while calling `predicate` on worker 0; "
                "the item was 3"
            ),
        ),
        (
            [
                lambda s: op.map("a", s, lambda x: x + 1),
                lambda s: op.flat_map_batch("b", s, lambda _xs: [1 / 0]),
            ],
            [1],
            "step `flow.b` failed while calling `mapper` on worker 0",
        ),
    ],
)
def test_the_step_and_the_item_that_failed_are_named(steps, items, message):
    flow, _ = chain(*steps, items=items)
    with pytest.raises(MillstreamRuntimeError) as caught:
        run_main(flow)
    assert str(caught.value) == message
