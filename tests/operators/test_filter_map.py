import millstream.operators as op
import pytest


def half_of_even(x):
    return None if x % 2 else x // 2


def test_filter_map_drops_none_only(evaluate):
    values = {"a": 0, "b": None, "c": False, "d": "", "e": 5}
    out = evaluate(values, lambda up: op.filter_map("step", up, values.get))
    assert out == [0, False, "", 5]


def test_filter_map_keeps_the_order(evaluate):
    out = evaluate(range(7), lambda up: op.filter_map("step", up, half_of_even), 3)
    assert out == [0, 1, 2, 3]


def test_the_error_of_the_mapper_is_the_cause(fail):
    cause = fail(["x"], lambda up: op.filter_map("step", up, int))
    assert isinstance(cause, ValueError)


def test_filter_map_substeps(substep_ids):
    assert substep_ids(lambda up: op.filter_map("step", up, half_of_even)) == [
        "flow.step.flat_map",
        "flow.step.flat_map.flat_map_batch",
    ]


def test_filter_map_value_keeps_the_key(evaluate):
    items = [("a", 4), ("b", 3), ("c", 0)]
    out = evaluate(items, lambda up: op.filter_map_value("step", up, half_of_even))
    assert out == [("a", 2), ("c", 0)]


@pytest.mark.parametrize("item", [5, ["a", 2], ("a", 2, 4)])
def test_filter_map_value_needs_pairs(fail, item):
    cause = fail([item], lambda up: op.filter_map_value("step", up, half_of_even))
    assert isinstance(cause, TypeError)
    assert str(cause).startswith("step `flow.step` requires `(key, value)` 2-tuples")


def test_filter_map_value_substeps(substep_ids):
    assert substep_ids(lambda up: op.filter_map_value("step", up, half_of_even)) == [
        "flow.step.flat_map_value",
        "flow.step.flat_map_value.flat_map",
        "flow.step.flat_map_value.flat_map.flat_map_batch",
    ]
