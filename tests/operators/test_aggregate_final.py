from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from operator import itemgetter
from types import MappingProxyType

import millstream.operators as op
import millstream.operators.aggregators as agg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.operators._aggregation import Aggregation
from millstream.operators.aggregators import Aggregator
from millstream.testing import TestingSink, TestingSource, run_main

ALL = {
    "n": agg.count(),
    "sum": agg.sum(),
    "mean": agg.mean(),
    "min": agg.min(),
    "max": agg.max(),
    "first": agg.first(),
    "last": agg.last(),
}

# The fixtures that run a flow build it anew each time.
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def keyed(*values):
    return [("a", each) for each in values]


def added(values):
    total, *others = values
    for each in others:
        total = total + each
    return total


def aggregated(values):
    return {
        "n": len(values),
        "sum": added(values),
        "mean": added(values) / len(values),
        "min": min(values),
        "max": max(values),
        "first": values[0],
        "last": values[-1],
    }


@pytest.fixture
def aggregate(evaluate_keyed):
    """Aggregate items; everything by default."""

    def aggregate(items, aggregators=ALL, batch_size=1):
        return evaluate_keyed(
            items, lambda up: op.aggregate_final("step", up, aggregators), batch_size
        )

    return aggregate


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_aggregates_each_key_at_the_end(aggregate, batch_size):
    items = [("b", 2), ("a", 10), ("b", 3), ("b", -4), ("a", -20)]
    assert aggregate(items, batch_size=batch_size) == [
        ("a", aggregated([10, -20])),
        ("b", aggregated([2, 3, -4])),
    ]


def test_results_are_in_the_order_of_the_aggregators(aggregate):
    aggregators = {"z": agg.last(), "a": agg.count(), "m": agg.first()}
    [(_, results)] = aggregate(keyed(1, 2), aggregators)
    assert list(results.items()) == [("z", 2), ("a", 2), ("m", 1)]


def test_any_mapping_will_do(aggregate):
    assert aggregate(keyed(1), MappingProxyType({"n": agg.count()})) == [
        ("a", {"n": 1})
    ]


def test_of_no_items_there_is_no_result(aggregate):
    assert aggregate([]) == []


def test_by_says_what_to_take_of_each_value(aggregate):
    aggregators = {
        name: Aggregator(each.kind, None if name == "n" else len)
        for name, each in ALL.items()
    }
    values = ["four", "one", "three"]
    assert aggregate(keyed(*values), aggregators) == [
        ("a", aggregated([len(each) for each in values]))
    ]


def test_values_may_be_taken_in_several_ways(aggregate):
    aggregators = {
        "least": agg.min(by=lambda pair: pair[0]),
        "greatest": agg.max(by=lambda pair: pair[1]),
        "greatest_pair": agg.max(),
        "both": agg.sum(by=sum),
    }
    assert aggregate(keyed((1, 9), (3, 4), (2, 5)), aggregators) == [
        ("a", {"least": 1, "greatest": 9, "greatest_pair": (3, 4), "both": 24})
    ]


def test_the_same_function_is_called_once_for_a_value(aggregate):
    seen = []

    def by(value):
        seen.append(value)
        return value

    aggregators = {"n": agg.count(), "min": agg.min(by), "mean": agg.mean(by=by)}
    out = aggregate([*keyed(1, 2), ("b", 3)], aggregators, batch_size=10)
    assert out == [
        ("a", {"n": 2, "min": 1, "mean": 1.5}),
        ("b", {"n": 1, "min": 3, "mean": 3.0}),
    ]
    assert sorted(seen) == [1, 2, 3]


def test_by_need_not_have_a_hash_or_be_true(aggregate):
    @dataclass
    class Times:
        factor: int

        def __call__(self, value):
            return self.factor * value

        def __bool__(self):
            return False

    out = aggregate(keyed(1, 2), {"sum": agg.sum(Times(2)), "max": agg.max(Times(3))})
    assert out == [("a", {"sum": 6, "max": 6})]


sizes = st.integers(-(2**1000), 2**1000)
near_the_edges = st.sampled_from([2**53, 2**63, 2**64]).flatmap(
    lambda edge: st.integers(edge - 3, edge + 3)
)
ints = st.one_of(
    st.integers(-9, 9), near_the_edges, near_the_edges.map(lambda n: -n), sizes
)
floats = st.floats()
numbers = {
    "ints": ints,
    "floats": floats,
    "ints and floats": st.one_of(ints, floats),
    "bools and ints": st.one_of(st.booleans(), ints),
    "Decimals": st.decimals(allow_nan=False, allow_infinity=False),
    "Decimals and ints": st.one_of(
        st.decimals(-(10**9), 10**9, places=3), st.integers(-(10**9), 10**9)
    ),
    "Fractions and floats": st.one_of(
        st.fractions(-9, 9, max_denominator=99), st.floats(-9, 9)
    ),
    "durations": st.timedeltas(timedelta(-(10**6)), timedelta(10**6)),
}


@pytest.mark.parametrize("numbers", numbers.values(), ids=numbers)
@with_fixtures
@given(data=st.data())
def test_numbers(aggregate, numbers, data):
    items = data.draw(st.lists(st.tuples(st.sampled_from("abc"), numbers)))
    expected = [
        (key, aggregated([value for k, value in items if k == key]))
        for key in sorted({key for key, _ in items})
    ]
    out = aggregate(items, batch_size=data.draw(st.integers(1, 10)))
    # By their text: 1, 1.0 and True are different, and nan is nan.
    assert repr(out) == repr(expected)


@pytest.mark.parametrize(
    ("value", "mean"),
    [
        (True, 1.0),
        (-0.0, -0.0),
        (nan, nan),
        (-inf, -inf),
        (2**53 + 1, 2.0**53),
        (2**64, 2.0**64),
        (Decimal("0.10"), Decimal("0.10")),
        (Fraction(1, 3), Fraction(1, 3)),
        (timedelta(1), timedelta(1)),
    ],
)
def test_a_single_value_stays_what_it_is(aggregate, value, mean):
    [(_, results)] = aggregate(keyed(value))
    assert results.pop("n") == 1
    assert repr(results.pop("mean")) == repr(mean)
    assert repr(results) == repr(dict.fromkeys(results, value))


def test_sums_go_beyond_64_bits(aggregate):
    values = [2**63 - 1, 1, -(2**64), -1]
    assert aggregate(keyed(*values)) == [("a", aggregated(values))]


def test_the_mean_of_integers_is_rounded_once(aggregate):
    # As floats, both are rounded before they are divided.
    values = [2**53 + 1, 0, 0]
    assert aggregated(values)["mean"] != float(2**53 + 1) / 3.0
    assert aggregate(keyed(*values)) == [("a", aggregated(values))]


def test_what_is_not_a_number_stays_where_it_was(aggregate):
    extremes = {"min": agg.min(), "max": agg.max()}
    assert repr(aggregate(keyed(nan, 1.0), extremes)) == (
        "[('a', {'min': nan, 'max': nan})]"
    )
    assert aggregate(keyed(1.0, nan, 2.0), extremes) == [
        ("a", {"min": 1.0, "max": 2.0})
    ]


def test_of_equals_the_first_stays(aggregate):
    values = [1, 1.0, True, Decimal(1)]
    assert repr(aggregate(keyed(*values), {"min": agg.min(), "max": agg.max()})) == (
        "[('a', {'min': 1, 'max': 1})]"
    )


def test_none_is_a_value(aggregate):
    aggregators = {"n": agg.count(), "first": agg.first(), "last": agg.last()}
    assert aggregate(keyed(None, 1, None), aggregators) == [
        ("a", {"n": 3, "first": None, "last": None})
    ]
    assert aggregate(keyed(None), {"min": agg.min(), "sum": agg.sum()}) == [
        ("a", {"min": None, "sum": None})
    ]


def test_values_are_not_changed(aggregate):
    values = [[1], [2], [3]]
    assert aggregate(keyed(*values), {"sum": agg.sum()}) == [("a", {"sum": [1, 2, 3]})]
    assert values == [[1], [2], [3]]


def test_text_can_be_added(aggregate):
    assert aggregate(keyed("x", "y", "z"), {"sum": agg.sum()}) == [
        ("a", {"sum": "xyz"})
    ]


def test_the_order_of_a_key_is_kept_between_workers(aggregate):
    items = [(key, n) for n in range(100) for key in "abc"]
    ends = {"first": agg.first(), "last": agg.last()}
    assert aggregate(items, ends, batch_size=7) == [
        (key, {"first": 0, "last": 99}) for key in "abc"
    ]


def test_a_state_is_not_changed_by_what_follows():
    aggregation = Aggregation("flow.step", ALL)
    states = [()]
    for value in [1, 2, 3]:
        states.append(aggregation.fold(states[-1], value))
    assert [aggregation.finish(state) for state in states[1:]] == [
        aggregated([1]),
        aggregated([1, 2]),
        aggregated([1, 2, 3]),
    ]


@pytest.mark.parametrize(
    ("values", "aggregator", "error", "message"),
    [
        (
            [1, "x"],
            agg.sum(),
            TypeError,
            "unsupported operand type(s) for +: 'int' and 'str'",
        ),
        (
            [1, "x"],
            agg.mean(),
            TypeError,
            "unsupported operand type(s) for +: 'int' and 'str'",
        ),
        (
            ["x"],
            agg.mean(),
            TypeError,
            "unsupported operand type(s) for /: 'str' and 'int'",
        ),
        (
            [1, None],
            agg.min(),
            TypeError,
            "'<' not supported between instances of 'NoneType' and 'int'",
        ),
        (
            [1, None],
            agg.max(),
            TypeError,
            "'>' not supported between instances of 'NoneType' and 'int'",
        ),
        (
            [10**400, 0.5],
            agg.sum(),
            OverflowError,
            "int too large to convert to float",
        ),
        (
            [10**400],
            agg.mean(),
            OverflowError,
            "integer division result too large for a float",
        ),
    ],
)
def test_what_can_not_be_aggregated(fail, values, aggregator, error, message):
    cause = fail(
        keyed(*values), lambda up: op.aggregate_final("step", up, {"x": aggregator})
    )
    assert type(cause) is error
    assert str(cause) == message


@pytest.mark.parametrize(
    "make", [agg.sum, agg.mean, agg.min, agg.max, agg.first, agg.last]
)
def test_the_error_of_by_is_the_cause(fail, make):
    error = ZeroDivisionError("mine")

    def by(_value):
        raise error

    def add_steps(up):
        return op.aggregate_final("step", up, {"n": agg.count(), "x": make(by=by)})

    assert fail(keyed(1), add_steps) is error


def test_the_error_names_the_result_that_could_not_be_made():
    aggregators = {
        "price": agg.sum(by=itemgetter(0)),
        "tax": agg.sum(by=itemgetter(1)),
    }
    flow = Dataflow("flow")
    up = op.input("in", flow, TestingSource([("key", (1, 2)), ("key", (3, "four"))]))
    op.output("out", op.aggregate_final("step", up, aggregators), TestingSink([]))
    with pytest.raises(MillstreamRuntimeError) as raised:
        run_main(flow)
    assert str(raised.value) == (
        "step `flow.step` failed while making the `sum` named `tax` for key `key` "
        "on worker 0"
    )


def test_needs_pairs(fail):
    cause = fail([5], lambda up: op.aggregate_final("step", up, ALL))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "step `flow.step` requires `(key, value)` 2-tuples from upstream; "
        "got an `int`; use `key_on` to add a key to each item"
    )


@pytest.mark.parametrize(
    ("aggregators", "error", "message"),
    [
        (
            [agg.count()],
            TypeError,
            (
                "`aggregators` of step `flow.step` must be a mapping of names to "
                'aggregators, such as `{"n": agg.count()}`; got a `list`'
            ),
        ),
        (
            agg.count(),
            TypeError,
            (
                "`aggregators` of step `flow.step` must be a mapping of names to "
                'aggregators, such as `{"n": agg.count()}`; got an `Aggregator`'
            ),
        ),
        (
            {},
            ValueError,
            (
                "`aggregators` of step `flow.step` must not be empty; add one, such as "
                '`{"n": agg.count()}`'
            ),
        ),
        (
            {5: agg.count()},
            TypeError,
            (
                "names in `aggregators` of step `flow.step` must be `str`; "
                "got `5`, an `int`"
            ),
        ),
        (
            {"n": 5},
            TypeError,
            (
                "'n' in `aggregators` of step `flow.step` must be an `Aggregator`; "
                "got an `int`"
            ),
        ),
        (
            {"n": agg.count(), "mean": agg.mean},
            TypeError,
            (
                "'mean' in `aggregators` of step `flow.step` must be an `Aggregator`; "
                "got a `function`; did you mean `agg.mean()`?"
            ),
        ),
        (
            {"high": max},
            TypeError,
            (
                "'high' in `aggregators` of step `flow.step` must be an `Aggregator`; "
                "got a `builtin_function_or_method`; did you mean `agg.max()`?"
            ),
        ),
        (
            {"n": len},
            TypeError,
            (
                "'n' in `aggregators` of step `flow.step` must be an `Aggregator`; "
                "got a `builtin_function_or_method`"
            ),
        ),
        (
            {"high": agg.max(by="price")},
            TypeError,
            (
                "`by` of 'high' in `aggregators` of step `flow.step` must be callable; "
                "got `'price'`, a `str`"
            ),
        ),
        (
            {"m": Aggregator("median")},
            ValueError,
            (
                "the kind of 'm' in `aggregators` of step `flow.step` must be one of "
                "`count`, `sum`, `mean`, `min`, `max`, `first`, `last`; got `median`"
            ),
        ),
    ],
)
def test_refuses_other_aggregators(substep_ids, aggregators, error, message):
    with pytest.raises(error) as raised:
        substep_ids(lambda up: op.aggregate_final("step", up, aggregators))
    assert str(raised.value) == message


def test_substeps(substep_ids):
    assert substep_ids(lambda up: op.aggregate_final("step", up, ALL)) == [
        "flow.step.fold_final",
        "flow.step.fold_final.stateful",
        "flow.step.fold_final.stateful.stateful_batch",
        "flow.step.finish",
        "flow.step.finish.map",
        "flow.step.finish.map.flat_map_batch",
    ]


class Shifted(tuple):
    """A tuple whose items are one place further on."""

    __slots__ = ()

    def __getitem__(self, index):
        return super().__getitem__(index + 1)


@pytest.mark.parametrize("value", [(1, 2, 3), [1, 2, 3], Shifted([1, 2, 3, 4])])
@pytest.mark.parametrize("index", [0, 1, -2])
def test_itemgetter_takes_what_it_says(evaluate, value, index):
    def add(up):
        by = itemgetter(index)
        return op.aggregate_final("step", up, {"first": agg.first(by=by)})

    assert evaluate([("a", value)], add) == [("a", {"first": value[index]})]


def test_itemgetter_beyond_the_end_is_an_error(fail):
    def add(up):
        return op.aggregate_final("step", up, {"sum": agg.sum(by=itemgetter(2))})

    error = fail([("a", (1, 2))], add)
    assert repr(error) == "IndexError('tuple index out of range')"
