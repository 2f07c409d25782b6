from operator import add

import millstream.operators as op
import pytest
from millstream.dataflow import f_repr
from millstream.operators.final import _FoldFinalLogic

PAIRS = [("b", 2), ("a", 10), ("b", 3), ("b", -4), ("a", -20)]


def append(values, value):
    return [*values, value]


def concatenate(left, right):
    """A reducer that shows in which order it was called, and skips nothing."""
    return f"{left}{right}"


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_fold_final_folds_in_order(evaluate_keyed, batch_size):
    out = evaluate_keyed(
        PAIRS, lambda up: op.fold_final("step", up, list, append), batch_size
    )
    assert out == [("a", [10, -20]), ("b", [2, 3, -4])]


def test_fold_final_has_an_accumulator_for_each_key(evaluate_keyed):
    def fold(values, value):
        values.append(value)
        return values

    out = evaluate_keyed(PAIRS, lambda up: op.fold_final("step", up, list, fold))
    assert out == [("a", [10, -20]), ("b", [2, 3, -4])]


def test_fold_final_takes_none_as_an_accumulator(evaluate):
    seen = []

    def fold(accumulator, value):
        seen.append(accumulator)
        return "not yet" if value == 1 else None

    items = [("a", 1), ("a", 2), ("a", 3)]
    out = evaluate(items, lambda up: op.fold_final("step", up, lambda: "new", fold))
    assert out == [("a", None)]
    assert seen == ["new", "not yet", None]


def test_a_snapshot_tells_no_state_from_the_state_none():
    logic = _FoldFinalLogic(lambda _state, value: value, "new")
    logic.on_item(None)
    assert logic.snapshot() == (None,)


def test_the_snapshot_is_a_copy():
    logic = _FoldFinalLogic(lambda state, value: [*state, value], [])
    logic.on_item(1)
    assert logic.snapshot() == ([1],)
    assert logic.snapshot()[0] is not logic.snapshot()[0]


def test_of_no_items_there_is_no_result(evaluate):
    assert evaluate([], lambda up: op.fold_final("step", up, list, append)) == []


def test_fold_final_substeps(substep_ids):
    assert substep_ids(lambda up: op.fold_final("step", up, list, append)) == [
        "flow.step.stateful",
        "flow.step.stateful.stateful_batch",
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_reduce_final_combines_in_order(evaluate_keyed, batch_size):
    out = evaluate_keyed(
        [("a", "x"), ("b", "y"), ("a", "z"), ("a", "w")],
        lambda up: op.reduce_final("step", up, concatenate),
        batch_size,
    )
    assert out == [("a", "xzw"), ("b", "y")]


def test_reduce_final_over_all_workers(evaluate_keyed):
    def add_steps(up):
        return op.reduce_final("step", op.redistribute("spread", up), add)

    items = [(key, n) for key in "abc" for n in range(100)]
    out = evaluate_keyed(items, add_steps, batch_size=7)
    assert out == [("a", 4950), ("b", 4950), ("c", 4950)]


@pytest.mark.parametrize("batch_size", [1, 10])
def test_reduce_final_takes_none_as_a_value(evaluate_keyed, batch_size):
    items = [("a", None), ("b", None), ("b", 1), ("c", 1), ("c", None), ("c", 2)]
    out = evaluate_keyed(
        items, lambda up: op.reduce_final("step", up, concatenate), batch_size
    )
    assert out == [("a", None), ("b", "None1"), ("c", "1None2")]


@pytest.mark.parametrize("batch_size", [1, 10])
def test_reduce_final_goes_on_from_none(evaluate, batch_size):
    def last(_left, right):
        return right

    items = [("a", 1), ("a", None), ("a", 2), ("a", None)]
    out = evaluate(items, lambda up: op.reduce_final("step", up, last), batch_size)
    assert out == [("a", None)]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            5,
            (
                "step `flow.step` requires `(key, value)` 2-tuples from upstream; "
                "got an `int`; use `key_on` to add a key to each item"
            ),
        ),
        (
            ([], 1),
            "step `flow.step` requires `str` keys from upstream; got a `list`",
        ),
    ],
)
@pytest.mark.parametrize(
    "add_steps",
    [
        lambda up: op.reduce_final("step", up, add),
        lambda up: op.max_final("step", up),
        lambda up: op.min_final("step", up),
    ],
    ids=["reduce", "max", "min"],
)
def test_needs_pairs_with_string_keys(fail, add_steps, item, message):
    cause = fail([item], add_steps)
    assert isinstance(cause, TypeError)
    assert str(cause) == message


def test_the_error_of_the_reducer_is_the_cause(fail):
    cause = fail([("a", 1), ("a", "x")], lambda up: op.reduce_final("step", up, add))
    assert isinstance(cause, TypeError)
    assert str(cause) == "unsupported operand type(s) for +: 'int' and 'str'"


def test_reduce_final_substeps(substep_ids):
    assert substep_ids(lambda up: op.reduce_final("step", up, add)) == [
        "flow.step.pre_reduce",
        "flow.step.fold_final",
        "flow.step.fold_final.stateful",
        "flow.step.fold_final.stateful.stateful_batch",
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_count_final(evaluate_keyed, batch_size):
    words = ["to", "be", "or", "not", "to", "be"]
    out = evaluate_keyed(
        words, lambda up: op.count_final("step", up, lambda x: x), batch_size
    )
    assert out == [("be", 2), ("not", 1), ("or", 1), ("to", 2)]


def test_count_final_needs_string_keys(fail):
    def key(x):
        return x

    cause = fail([5], lambda up: op.count_final("step", up, key))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `key` {f_repr(key)} in step `flow.step` must be a `str`; "
        "got an `int`"
    )


def test_count_final_substeps(substep_ids):
    assert substep_ids(lambda up: op.count_final("step", up, str)) == [
        "flow.step.init_count",
        "flow.step.init_count.flat_map_batch",
        "flow.step.sum",
        "flow.step.sum.pre_reduce",
        "flow.step.sum.fold_final",
        "flow.step.sum.fold_final.stateful",
        "flow.step.sum.fold_final.stateful.stateful_batch",
    ]


def test_max_and_min_final(evaluate_keyed):
    assert evaluate_keyed(PAIRS, lambda up: op.max_final("step", up)) == [
        ("a", 10),
        ("b", 3),
    ]
    assert evaluate_keyed(PAIRS, lambda up: op.min_final("step", up)) == [
        ("a", -20),
        ("b", -4),
    ]


def test_max_and_min_final_by(evaluate_keyed):
    assert evaluate_keyed(PAIRS, lambda up: op.max_final("step", up, by=abs)) == [
        ("a", -20),
        ("b", -4),
    ]
    assert evaluate_keyed(PAIRS, lambda up: op.min_final("step", up, by=abs)) == [
        ("a", 10),
        ("b", 2),
    ]


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("operator", [op.max_final, op.min_final])
def test_of_equals_the_first_stays(evaluate, operator, batch_size):
    items = [("a", "one"), ("a", "two"), ("a", "six")]
    out = evaluate(items, lambda up: operator("step", up, by=len), batch_size)
    assert out == [("a", "one")]


@pytest.mark.parametrize("operator", [op.max_final, op.min_final])
def test_max_and_min_final_substeps(substep_ids, operator):
    assert substep_ids(lambda up: operator("step", up)) == [
        "flow.step.reduce_final",
        "flow.step.reduce_final.pre_reduce",
        "flow.step.reduce_final.fold_final",
        "flow.step.reduce_final.fold_final.stateful",
        "flow.step.reduce_final.fold_final.stateful.stateful_batch",
    ]
