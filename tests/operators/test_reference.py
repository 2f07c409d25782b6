"""The stateful operators agree with an evaluation of all values at once.

The reference is plain Python on the list of the values of a key; it has no batch, no
worker, and no end of the input that it must wait for.
"""

from __future__ import annotations

import operator
from datetime import timedelta
from functools import reduce
from itertools import product

import millstream.operators as op
import millstream.operators.aggregators as agg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main

KEYS = "abcd"
DAY = timedelta(days=1)

forms = pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])
batch_sizes = st.integers(1, 41)
worker_counts = st.integers(1, 3)


def keyed(values):
    return st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=40)


small = st.integers(-4, 4)
# Some of them are equal and can be told apart, by their `repr`.
numbers = st.one_of(small, small.map(float))
floats = st.one_of(small, st.floats(allow_nan=False))


def run(items, add_steps, batch_size, workers, *, optimize):
    """What comes out for each key that has anything."""
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(items, batch_size))
    out = []
    op.output("out", add_steps(up), TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=workers, optimize=optimize)
    return by_key(out)


def by_key(pairs):
    grouped = {}
    for key, value in pairs:
        grouped.setdefault(key, []).append(value)
    return grouped


def evaluate(items, reference):
    """The same from a function of all values of a key."""
    results = {key: list(reference(ls)) for key, ls in by_key(items).items()}
    return {key: ls for key, ls in results.items() if ls}


# `stateful_map`, `stateful_flat_map`: a total that is forgotten at each 0.


def total_and_count(state, value):
    total, count = state or (0, 0)
    total, count = total + value, count + 1
    return None if value == 0 else (total, count), (total, count)


def since_zeros(values):
    """The values since the last 0 before each value, and that value."""
    for i in range(len(values)):
        start = max((j + 1 for j in range(i) if values[j] == 0), default=0)
        yield values[start : i + 1]


def expected_totals(values):
    return [(sum(each), len(each)) for each in since_zeros(values)]


def repeat_total(state, value):
    state, (total, _count) = total_and_count(state, value)
    return state, (total for _ in range(abs(value) % 3))


def expected_repeats(values):
    totals = expected_totals(values)
    for value, (total, _count) in zip(values, totals, strict=True):
        yield from [total] * (abs(value) % 3)


# `stateful`: the values so far; at each 0, they are emitted and begin anew.


class UntilZero(op.StatefulLogic):
    def __init__(self, resume_state):
        self.values = list(resume_state or [])

    def on_item(self, value):
        self.values.append(value)
        if value == 0:
            return [("zero", self.values)], self.DISCARD
        return [] if value < 0 else [value], self.RETAIN

    def on_eof(self):
        return [("eof", self.values)], self.DISCARD

    def snapshot(self):
        return list(self.values)


def expected_until_zero(values):
    runs = list(since_zeros(values))
    for value, until in zip(values, runs, strict=True):
        if value == 0:
            yield "zero", until
        elif value > 0:
            yield value
    if values[-1] != 0:
        yield "eof", runs[-1]


# `stateful_batch`: a maximum and a count, which don't depend on batches.


class GreatestSoFar(op.StatefulBatchLogic):
    def __init__(self, resume_state):
        self.values = list(resume_state or [])

    def on_batch(self, values):
        emits = []
        for value in values:
            self.values.append(value)
            emits.append(max(self.values))
        return iter(emits), self.RETAIN

    def on_eof(self):
        return (len(self.values),), self.DISCARD

    def snapshot(self):
        return list(self.values)


def expected_greatest(values):
    yield from (max(values[: i + 1]) for i in range(len(values)))
    yield len(values)


def add_stateful_batch(up):
    return op.stateful_batch("step", up, GreatestSoFar)


ITEM_BY_ITEM = {
    "stateful_map": (
        lambda up: op.stateful_map("step", up, total_and_count),
        expected_totals,
    ),
    "stateful_flat_map": (
        lambda up: op.stateful_flat_map("step", up, repeat_total),
        expected_repeats,
    ),
    "stateful": (
        lambda up: op.stateful("step", up, UntilZero),
        expected_until_zero,
    ),
    "stateful_batch": (add_stateful_batch, expected_greatest),
}


@forms
@pytest.mark.parametrize("name", ITEM_BY_ITEM)
@given(items=keyed(small), batch_size=batch_sizes, workers=worker_counts)
def test_item_by_item(name, optimize, items, batch_size, workers):
    add_steps, reference = ITEM_BY_ITEM[name]
    got = run(items, add_steps, batch_size, workers, optimize=optimize)
    assert got == evaluate(items, reference)


def remainder(value):
    return value % 3


def append(values, value):
    values.append(value)
    return values


def alternating(total, value):
    """Depends on the order of values, and may be None."""
    total = value - (total or 0)
    return total or None


FINAL = {
    "fold_final": (
        lambda up: op.fold_final("step", up, list, append),
        list,
    ),
    "fold_final-none": (
        lambda up: op.fold_final("step", up, lambda: None, alternating),
        lambda values: reduce(alternating, values, None),
    ),
    # Depends on the order of values, but not on how they are grouped.
    "reduce_final": (
        lambda up: op.reduce_final(
            "step", op.map_value("tuples", up, lambda value: (value,)), operator.add
        ),
        tuple,
    ),
    "count_final": (
        lambda up: op.count_final("step", up, operator.itemgetter(0)),
        len,
    ),
    "max_final": (lambda up: op.max_final("step", up), max),
    "max_final-by": (
        lambda up: op.max_final("step", up, by=remainder),
        lambda values: max(values, key=remainder),
    ),
    "min_final": (lambda up: op.min_final("step", up), min),
    "min_final-by": (
        lambda up: op.min_final("step", up, by=remainder),
        lambda values: min(values, key=remainder),
    ),
}


@forms
@pytest.mark.parametrize("name", FINAL)
@given(items=keyed(numbers), batch_size=batch_sizes, workers=worker_counts)
def test_final(name, optimize, items, batch_size, workers):
    add_steps, reference = FINAL[name]
    got = run(items, add_steps, batch_size, workers, optimize=optimize)
    expected = evaluate(items, lambda values: [reference(values)])
    assert sorted(map(repr, got.items())) == sorted(map(repr, expected.items()))


def add_up(values):
    return reduce(operator.add, values)


AGGREGATES = {
    "sum": (agg.sum, add_up),
    "mean": (agg.mean, lambda values: add_up(values) / len(values)),
    "min": (agg.min, min),
    "max": (agg.max, max),
    "first": (agg.first, lambda values: values[0]),
    "last": (agg.last, lambda values: values[-1]),
}


@forms
@given(
    items=keyed(floats),
    names=st.lists(st.sampled_from(["count", *AGGREGATES]), min_size=1, unique=True),
    batch_size=batch_sizes,
    workers=worker_counts,
)
def test_aggregate_final(optimize, items, names, batch_size, workers):
    aggregators = {}
    for name in names:
        if name == "count":
            aggregators[name] = agg.count()
        else:
            make, _ = AGGREGATES[name]
            aggregators |= {name: make(), f"{name}_by": make(by=abs)}

    def reference(values):
        sizes = [abs(value) for value in values]
        result = {}
        for name in names:
            if name == "count":
                result[name] = len(values)
            else:
                _, function = AGGREGATES[name]
                result |= {name: function(values), f"{name}_by": function(sizes)}
        return [result]

    got = run(
        items,
        lambda up: op.aggregate_final("step", up, aggregators),
        batch_size,
        workers,
        optimize=optimize,
    )
    expected = evaluate(items, reference)
    # With their types, the sign of zero, and what is not a number.
    assert sorted(map(repr, got.items())) == sorted(map(repr, expected.items()))


@forms
@given(
    items=keyed(small),
    max_size=st.integers(-1, 7),
    timeout=st.sampled_from([DAY, timedelta.max]),
    batch_size=batch_sizes,
    workers=worker_counts,
)
def test_collect(*, optimize, items, max_size, timeout, batch_size, workers):
    def reference(values):
        size = max(max_size, 1)
        return [values[i : i + size] for i in range(0, len(values), size)]

    got = run(
        items,
        lambda up: op.collect("step", up, timeout, max_size),
        batch_size,
        workers,
        optimize=optimize,
    )
    assert got == evaluate(items, reference)


SIDES = 3
sides_and_values = st.tuples(st.integers(0, SIDES - 1), st.none() | small)
insert_modes = pytest.mark.parametrize("insert_mode", ["first", "last", "product"])
KEPT = {
    "first": lambda values: values[:1],
    "last": lambda values: values[-1:],
    "product": lambda values: values,
}


def add_join(count, insert_mode, emit_mode):
    """A join of `count` sides, which are parts of one stream."""

    def add_steps(up):
        sides = [
            op.map_value(
                f"value_{i}",
                op.filter_value(
                    f"side_{i}", up, lambda value, i=i: value[0] % count == i
                ),
                operator.itemgetter(1),
            )
            for i in range(count)
        ]
        return op.join("step", *sides, insert_mode=insert_mode, emit_mode=emit_mode)

    return add_steps


def kept_of_sides(values, count, insert_mode):
    keep = KEPT[insert_mode]
    return [
        keep([value for side, value in values if side % count == i])
        for i in range(count)
    ]


def rows(kept):
    return list(product(*(values or [None] for values in kept)))


@forms
@insert_modes
@given(
    items=keyed(sides_and_values),
    count=st.integers(1, SIDES),
    batch_size=batch_sizes,
    workers=worker_counts,
)
def test_join_final(*, insert_mode, optimize, items, count, batch_size, workers):
    got = run(
        items,
        add_join(count, insert_mode, "final"),
        batch_size,
        workers,
        optimize=optimize,
    )
    expected = evaluate(
        items, lambda values: rows(kept_of_sides(values, count, insert_mode))
    )
    assert got == expected


# Values one by one: the order in which sides arrive is not promised otherwise.
one_by_one = st.lists(st.tuples(st.sampled_from("ab"), sides_and_values), max_size=16)


@forms
@insert_modes
@given(items=one_by_one, count=st.integers(1, SIDES))
def test_join_running(insert_mode, optimize, items, count):
    def reference(values):
        for i in range(len(values)):
            yield from rows(kept_of_sides(values[: i + 1], count, insert_mode))

    add_steps = add_join(count, insert_mode, "running")
    got = run(items, add_steps, 1, 1, optimize=optimize)
    assert got == evaluate(items, reference)


@forms
@insert_modes
@given(items=one_by_one, count=st.integers(1, SIDES))
def test_join_complete(insert_mode, optimize, items, count):
    def reference(values):
        start = 0
        for i in range(len(values)):
            kept = kept_of_sides(values[start : i + 1], count, insert_mode)
            if all(kept):
                yield from rows(kept)
                start = i + 1

    add_steps = add_join(count, insert_mode, "complete")
    got = run(items, add_steps, 1, 1, optimize=optimize)
    assert got == evaluate(items, reference)
