import millstream.operators as op
import pytest
from millstream.operators.helpers import map_dict_value


def test_transforms_one_value(evaluate):
    items = [{"name": "ann", "age": "31"}]
    mapper = map_dict_value("age", int)
    out = evaluate(items, lambda up: op.map("step", up, mapper))
    assert out == [{"name": "ann", "age": 31}]


def test_changes_the_dictionary_in_place():
    item = {"n": 1}
    assert map_dict_value("n", lambda n: n + 1)(item) is item
    assert item == {"n": 2}


def test_a_missing_key_is_an_error():
    with pytest.raises(KeyError, match=r"^'n'$"):
        map_dict_value("n", str)({"m": 1})
