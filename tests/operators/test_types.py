import pytest
from millstream.operators._types import a_type, is_iterable, not_a_pair, wrong_return


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "an `int`"),
        (None, "a `NoneType`"),
        (("a", 1, 2), "a `tuple` of length 3"),
        (["a", 1], "a `list`"),
    ],
)
def test_a_type(value, expected):
    assert a_type(value) == expected


def test_not_a_pair_says_what_to_do():
    assert str(not_a_pair("flow.step", 5)) == (
        "step `flow.step` requires `(key, value)` 2-tuples from upstream; "
        "got an `int`; use `key_on` to add a key to each item"
    )


def test_wrong_return_names_the_function():
    assert str(wrong_return("flow.step", "mapper", len, "iterable", 5)) == (
        "return value of `mapper` <built-in function len> in step `flow.step` "
        "must be iterable; got an `int`"
    )


class OldSequence:
    def __getitem__(self, index):
        return "ab"[index]


@pytest.mark.parametrize(
    ("value", "expected"), [("ab", True), ([], True), (OldSequence(), True), (5, False)]
)
def test_is_iterable(value, expected):
    assert is_iterable(value) is expected
