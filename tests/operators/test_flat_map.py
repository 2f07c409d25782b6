import millstream.operators as op
import pytest
from millstream.dataflow import f_repr

STEPS_INSIDE_FLAT_MAP = ["flow.step.flat_map", "flow.step.flat_map.flat_map_batch"]


def fail_within(_x):
    """Yield an item, and then fail as something that is not iterable would."""
    yield 1
    msg = "mine"
    raise TypeError(msg)


def test_flat_map_chains_the_results(evaluate):
    out = evaluate([0, 1, 2, 3], lambda up: op.flat_map("step", up, range))
    assert out == [0, 0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    "mapper",
    [
        lambda x: [x, x],
        lambda x: (y for y in (x, x)),
        lambda x: iter((x, x)),
        lambda x: str(x) * 2,
    ],
    ids=["list", "generator", "iterator", "str"],
)
def test_flat_map_takes_any_iterable(evaluate, mapper):
    out = evaluate([1, 2], lambda up: op.flat_map("step", up, mapper), batch_size=2)
    assert [int(x) for x in out] == [1, 1, 2, 2]


def test_a_mapper_may_reuse_the_list_it_returns(evaluate):
    found = []

    def mapper(x):
        found[:] = [x]
        return found

    out = evaluate([1, 2, 3], lambda up: op.flat_map("step", up, mapper), batch_size=3)
    assert out == [1, 2, 3]


def test_flat_map_must_return_an_iterable(fail):
    cause = fail([1], lambda up: op.flat_map("step", up, abs))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "return value of `mapper` <built-in function abs> in step `flow.step` "
        "must be iterable; got an `int`"
    )


@pytest.mark.parametrize("mapper", [fail_within, len], ids=["iterating", "calling"])
def test_a_type_error_of_the_mapper_is_its_own(fail, mapper):
    cause = fail([5], lambda up: op.flat_map("step", up, mapper))
    assert isinstance(cause, TypeError)
    assert "mapper" not in str(cause)


def test_flat_map_substeps(substep_ids):
    assert substep_ids(lambda up: op.flat_map("step", up, range)) == [
        "flow.step.flat_map_batch"
    ]


def test_flat_map_value_keeps_the_key(evaluate):
    items = [("a", 2), ("b", 0), ("c", 1)]
    out = evaluate(items, lambda up: op.flat_map_value("step", up, range))
    assert out == [("a", 0), ("a", 1), ("c", 0)]


def test_flat_map_value_takes_generators(evaluate):
    def twice(value):
        yield value
        yield value

    out = evaluate([("a", 1)], lambda up: op.flat_map_value("step", up, twice))
    assert out == [("a", 1), ("a", 1)]


def test_flat_map_value_must_return_an_iterable(fail):
    def mapper(value):
        return value

    cause = fail([("a", 1)], lambda up: op.flat_map_value("step", up, mapper))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `mapper` {f_repr(mapper)} in step `flow.step` "
        "must be iterable; got an `int`"
    )


def test_a_type_error_within_the_values_is_its_own(fail):
    cause = fail([("a", 1)], lambda up: op.flat_map_value("step", up, fail_within))
    assert isinstance(cause, TypeError)
    assert str(cause) == "mine"


@pytest.mark.parametrize("item", [5, "ab", ["a", [1]], ("a", [1], [2])])
def test_flat_map_value_needs_pairs(fail, item):
    cause = fail([item], lambda up: op.flat_map_value("step", up, list))
    assert isinstance(cause, TypeError)
    assert str(cause).startswith("step `flow.step` requires `(key, value)` 2-tuples")


def test_flat_map_value_substeps(substep_ids):
    ids = substep_ids(lambda up: op.flat_map_value("step", up, range))
    assert ids == STEPS_INSIDE_FLAT_MAP


def test_flatten_takes_iterables_apart(evaluate):
    items = [[1, 2], [], (3,), {4: "x"}, "56"]
    out = evaluate(items, lambda up: op.flatten("step", up))
    assert out == [1, 2, 3, 4, "5", "6"]


def test_flatten_takes_generators(evaluate):
    out = evaluate([iter([1, 2]), (x for x in [3])], lambda up: op.flatten("step", up))
    assert out == [1, 2, 3]


def test_flatten_needs_iterables(fail):
    cause = fail([5], lambda up: op.flatten("step", up))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "step `flow.step` requires iterables from upstream; got an `int`"
    )


class Unwilling:
    def __init__(self, _x):
        pass

    def __iter__(self):
        msg = "mine"
        raise TypeError(msg)


@pytest.mark.parametrize("item_of", [fail_within, Unwilling])
def test_a_type_error_within_an_iterable_is_its_own(fail, item_of):
    cause = fail([item_of(0)], lambda up: op.flatten("step", up))
    assert isinstance(cause, TypeError)
    assert str(cause) == "mine"


def test_flatten_substeps(substep_ids):
    assert substep_ids(lambda up: op.flatten("step", up)) == STEPS_INSIDE_FLAT_MAP
