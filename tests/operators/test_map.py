import millstream.operators as op
import pytest


def test_map_transforms_each_item_in_order(evaluate):
    out = evaluate([1, 2, 3], lambda up: op.map("step", up, lambda x: x * 2))
    assert out == [2, 4, 6]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_map_gives_the_same_for_any_batches(evaluate, batch_size):
    out = evaluate(range(50), lambda up: op.map("step", up, str), batch_size)
    assert out == [str(x) for x in range(50)]


def test_map_keeps_none(evaluate):
    assert evaluate([1, 2], lambda up: op.map("step", up, lambda _: None)) == [
        None,
        None,
    ]


def test_the_error_of_the_mapper_is_the_cause(fail):
    cause = fail(["1", "x"], lambda up: op.map("step", up, int))
    assert isinstance(cause, ValueError)
    assert str(cause) == "invalid literal for int() with base 10: 'x'"


def test_stop_iteration_in_a_mapper_is_an_error(fail):
    # And not the end of the batch, silently without the rest of its items.
    cause = fail([1, 2], lambda up: op.map("step", up, lambda _: next(iter(()))))
    assert isinstance(cause, StopIteration)


def test_map_substeps(substep_ids):
    assert substep_ids(lambda up: op.map("step", up, str)) == [
        "flow.step.flat_map_batch"
    ]


def test_map_value_keeps_the_key(evaluate):
    items = [("a", 1), ("b", 2)]
    out = evaluate(items, lambda up: op.map_value("step", up, lambda x: x * 2))
    assert out == [("a", 2), ("b", 4)]


@pytest.mark.parametrize(
    ("item", "got"),
    [
        (5, "an `int`"),
        ("ab", "a `str`"),
        (["a", 1], "a `list`"),
        (("a",), "a `tuple` of length 1"),
        (("a", 1, 2), "a `tuple` of length 3"),
        (None, "a `NoneType`"),
    ],
)
def test_map_value_needs_pairs(fail, item, got):
    cause = fail([item], lambda up: op.map_value("step", up, str))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "step `flow.step` requires `(key, value)` 2-tuples from upstream; "
        f"got {got}; use `key_on` to add a key to each item"
    )


def test_map_value_substeps(substep_ids):
    assert substep_ids(lambda up: op.map_value("step", up, str)) == [
        "flow.step.map",
        "flow.step.map.flat_map_batch",
    ]
