import millstream.operators as op
import pytest
from millstream.dataflow import f_repr


def is_even(x):
    return x % 2 == 0


def test_filter_keeps_the_trues_in_order(evaluate):
    out = evaluate(range(7), lambda up: op.filter("step", up, is_even), batch_size=3)
    assert out == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (1, "an `int`"),
        (0, "an `int`"),
        (None, "a `NoneType`"),
        ("yes", "a `str`"),
        ([], "a `list`"),
    ],
)
def test_filter_needs_a_real_bool(fail, returned, got):
    def predicate(_x):
        return returned

    cause = fail([1], lambda up: op.filter("step", up, predicate))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `predicate` {f_repr(predicate)} in step `flow.step` "
        f"must be a `bool`; got {got}"
    )


def test_the_error_of_the_predicate_is_the_cause(fail):
    cause = fail(["x"], lambda up: op.filter("step", up, is_even))
    assert isinstance(cause, TypeError)
    assert str(cause) == "not all arguments converted during string formatting"


def test_filter_substeps(substep_ids):
    assert substep_ids(lambda up: op.filter("step", up, is_even)) == [
        "flow.step.flat_map",
        "flow.step.flat_map.flat_map_batch",
    ]


def test_filter_value_looks_at_values_only(evaluate):
    items = [("a", 1), ("b", 2), ("c", 4)]
    out = evaluate(items, lambda up: op.filter_value("step", up, is_even))
    assert out == [("b", 2), ("c", 4)]


def test_filter_value_needs_a_real_bool(fail):
    cause = fail([("a", 1)], lambda up: op.filter_value("step", up, abs))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "return value of `predicate` <built-in function abs> in step `flow.step` "
        "must be a `bool`; got an `int`"
    )


@pytest.mark.parametrize("item", [5, ["a", 2], ("a", 2, 4)])
def test_filter_value_needs_pairs(fail, item):
    cause = fail([item], lambda up: op.filter_value("step", up, is_even))
    assert isinstance(cause, TypeError)
    assert str(cause).startswith("step `flow.step` requires `(key, value)` 2-tuples")


def test_filter_value_substeps(substep_ids):
    assert substep_ids(lambda up: op.filter_value("step", up, is_even)) == [
        "flow.step.filter",
        "flow.step.filter.flat_map",
        "flow.step.filter.flat_map.flat_map_batch",
    ]
