import millstream.operators as op
import pytest
from millstream.dataflow import f_repr

STEPS_INSIDE_MAP = ["flow.step.map", "flow.step.map.flat_map_batch"]


class Name(str):
    __slots__ = ()


def test_key_on_adds_a_key(evaluate):
    out = evaluate(["pear", "fig"], lambda up: op.key_on("step", up, lambda x: x[0]))
    assert out == [("p", "pear"), ("f", "fig")]


def test_key_on_takes_subclasses_of_str(evaluate):
    out = evaluate(["pear"], lambda up: op.key_on("step", up, Name))
    assert out == [("pear", "pear")]


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (1, "an `int`"),
        (None, "a `NoneType`"),
        (b"x", "a `bytes`"),
        (("a",), "a `tuple` of length 1"),
    ],
)
def test_key_must_be_a_string(fail, returned, got):
    def key(_x):
        return returned

    cause = fail([1], lambda up: op.key_on("step", up, key))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `key` {f_repr(key)} in step `flow.step` must be a `str`; "
        f"got {got}"
    )


def test_key_on_substeps(substep_ids):
    assert substep_ids(lambda up: op.key_on("step", up, str)) == STEPS_INSIDE_MAP


def test_key_rm_takes_the_key_off(evaluate):
    out = evaluate([("a", 1), ("b", None)], lambda up: op.key_rm("step", up))
    assert out == [1, None]


@pytest.mark.parametrize("item", [5, "ab", ["a", 2], ("a", 2, 4)])
def test_key_rm_needs_pairs(fail, item):
    cause = fail([item], lambda up: op.key_rm("step", up))
    assert isinstance(cause, TypeError)
    assert str(cause).startswith("step `flow.step` requires `(key, value)` 2-tuples")


def test_key_rm_substeps(substep_ids):
    assert substep_ids(lambda up: op.key_rm("step", up)) == STEPS_INSIDE_MAP
