"""What becomes of the values in windows, against the windows of the reference.

`test_reference` says which values are in which window, and in which order.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import millstream.operators.windowing as win
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.windowing.test_reference import (
    NOW,
    START,
    Gap,
    Value,
    keyed_values,
    run,
    seconds,
    waits,
    windows,
)

forms = pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])
orders = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-come"])


@st.composite
def dense_values(draw):
    """Many to a window, of equal times or not in order, so that sessions merge."""
    size = draw(st.integers(5, 30))
    spans = draw(st.lists(seconds(-5, 25), min_size=size, max_size=size))
    keys = draw(st.lists(st.sampled_from("aab"), min_size=size, max_size=size))
    return [
        (key, Value(i, START + span))
        for i, (key, span) in enumerate(zip(keys, spans, strict=True))
    ]


class Case(NamedTuple):
    """Windows, items for them, and how they come."""

    kind: Any
    items: list[tuple[str, Value]]
    wait: timedelta
    batch_size: int
    workers: int

    def outputs(self, operator, *args, ts_getter=attrgetter("timestamp"), optimize):
        """For each key: its values, and what an operator makes of them."""
        by_time = win.EventClock(ts_getter, self.wait, lambda: NOW)
        out = run(
            self.items,
            lambda up: operator("step", up, by_time, self.kind.windower(), *args),
            self.batch_size,
            self.workers,
            optimize=optimize,
        )
        for key, got in out.items():
            yield key, [value for k, value in self.items if k == key], got

    def expected(self, values, *, ordered):
        return self.kind.expected(values, self.wait, ordered=ordered)

    def check(self, operator, *args, content, ordered, optimize):
        """See that the values of each window come to what they must."""
        for _, values, got in self.outputs(operator, *args, optimize=optimize):
            check(got, self.expected(values, ordered=ordered), content, ordered=ordered)


def cases(windows):
    return st.builds(
        Case,
        kind=windows,
        items=st.one_of(keyed_values(), dense_values(), dense_values()),
        wait=st.one_of(waits, st.just(timedelta.max)),
        batch_size=st.integers(1, 31),
        workers=st.integers(1, 3),
    )


def remainder(value):
    return value.number % 3


def append_number(numbers, value):
    return (*numbers, value.number)


def in_place(values, value):
    values.append(value)
    return values


def extend(values, others):
    values.extend(others)
    return values


def first_of_least(value, other):
    """Which of equal ones it is depends on the order, but not on how they merge."""
    return min(value, other, key=remainder)


# How to fold values, and what all values of a window come to. Those of sessions that
# have merged are one after another: so folds need not be commutative.
FOLDS = {
    "numbers": (
        tuple,
        append_number,
        lambda numbers, others: numbers + others,
        lambda values: tuple(value.number for value in values),
    ),
    "in_place": (list, in_place, extend, list),
    "sum": (
        int,
        lambda total, value: total + value.number,
        lambda total, other: total + other,
        lambda values: sum(value.number for value in values),
    ),
    "none": (
        lambda: None,
        lambda _state, _value: None,
        lambda _state, _other: None,
        lambda _values: None,
    ),
}


def check(got, expected, content, *, ordered):
    """Compare all that comes out for a key."""
    expected = expected._replace(
        down=[(window_id, content(values)) for window_id, values in expected.down]
    )
    if ordered:
        assert got == expected
    else:
        assert got.sorted() == expected.sorted()


@windows
@orders
@forms
@given(data=st.data(), fold=st.sampled_from(sorted(FOLDS)))
def test_fold_window(*, windows, ordered, optimize, data, fold):
    *how, content = FOLDS[fold]
    data.draw(cases(windows)).check(
        partial(win.fold_window, ordered=ordered),
        *how,
        content=content,
        ordered=ordered,
        optimize=optimize,
    )


@windows
@orders
@forms
@given(data=st.data(), into=st.sampled_from([list, set]))
def test_collect_window(*, windows, ordered, optimize, data, into):
    data.draw(cases(windows)).check(
        partial(win.collect_window, ordered=ordered),
        into,
        content=into,
        ordered=ordered,
        optimize=optimize,
    )


def reduced(values):
    """The first of those whose remainder is least."""
    return next(
        value for value in values if remainder(value) == min(map(remainder, values))
    )


# These take values as they come.
REDUCTIONS = {
    "reduce": (partial(win.reduce_window, reducer=first_of_least), reduced),
    "max": (win.max_window, max),
    "max-by": (
        partial(win.max_window, by=remainder),
        lambda values: max(values, key=remainder),
    ),
    "min": (win.min_window, min),
    "min-by": (
        partial(win.min_window, by=remainder),
        lambda values: min(values, key=remainder),
    ),
}


@windows
@forms
@given(data=st.data(), reduction=st.sampled_from(sorted(REDUCTIONS)))
def test_reduce_max_and_min_window(*, windows, optimize, data, reduction):
    operator, content = REDUCTIONS[reduction]
    data.draw(cases(windows)).check(
        operator, content=content, ordered=False, optimize=optimize
    )


@windows
@forms
@given(data=st.data())
def test_count_window(*, windows, optimize, data):
    """Its items have no key of their own: what is late is a whole item."""
    case = data.draw(cases(windows))
    outputs = case.outputs(
        win.count_window,
        itemgetter(0),
        ts_getter=lambda item: item[1].timestamp,
        optimize=optimize,
    )
    for key, values, got in outputs:
        expected = case.expected(values, ordered=False)
        late = [(window_id, (key, value)) for window_id, value in expected.late]
        check(got, expected._replace(late=late), len, ordered=False)


class Log(win.WindowLogic):
    """Emits each value at once, and all of them in the end."""

    def __init__(self, resume_state):
        self.values = list(resume_state or [])

    def on_value(self, value):
        self.values.append(value)
        return [("value", value)]

    def on_merge(self, original):
        self.values += original.values
        return (("merge", each) for each in original.values)

    def on_close(self):
        return [("close", self.values), ("count", len(self.values))]

    def snapshot(self):
        return list(self.values)


def emitted(down, kind):
    return [(window_id, each) for window_id, (name, each) in down if name == kind]


@windows
@orders
@forms
@given(data=st.data())
def test_window(*, windows, ordered, optimize, data):
    case = data.draw(cases(windows))
    operator = partial(win.window, ordered=ordered)
    for _, values, got in case.outputs(operator, Log, optimize=optimize):
        expected = case.expected(values, ordered=ordered)
        for name, content in (("close", list), ("count", len)):
            closed = got._replace(down=emitted(got.down, name))
            check(closed, expected, content, ordered=ordered)

        one_by_one = emitted(got.down, "value")
        in_windows = [
            (window_id, value) for window_id, ls in expected.down for value in ls
        ]
        merged = emitted(got.down, "merge")
        if isinstance(case.kind, Gap):
            # A window that has become part of another had an id of its own.
            assert sorted(value for _, value in one_by_one) == sorted(
                value for _, value in in_windows
            )
            in_merged = {each for _, meta in got.meta for each in meta.merged_ids}
            assert bool(merged) == bool(in_merged)
            assert not (merged and ordered)
        else:
            assert not merged
            # Stable: the order within each window stays.
            assert sorted(one_by_one, key=lambda each: each[0]) == sorted(
                in_windows, key=lambda each: each[0]
            )
