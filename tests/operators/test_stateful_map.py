import millstream.operators as op
import pytest
from millstream.dataflow import f_repr
from millstream.operators.stateful_map import _MapperLogic


def total(state, value):
    state = (state or 0) + value
    return state, state


def total_and_value(state, value):
    state = (state or 0) + value
    return state, [value, state]


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_stateful_map_keeps_a_state_for_each_key(evaluate_keyed, batch_size):
    items = [("b", 1), ("a", 10), ("b", 2), ("b", 3), ("a", 20)]
    out = evaluate_keyed(
        items, lambda up: op.stateful_map("step", up, total), batch_size
    )
    assert out == [("a", 10), ("a", 30), ("b", 1), ("b", 3), ("b", 6)]


def test_stateful_map_emits_none(evaluate):
    out = evaluate(
        [("a", 1)], lambda up: op.stateful_map("step", up, lambda s, _: (s, None))
    )
    assert out == [("a", None)]


@pytest.mark.parametrize("batch_size", [1, 10])
def test_state_none_begins_anew(evaluate, batch_size):
    def up_to_two(state, _value):
        count = (state or 0) + 1
        return (None if count == 2 else count), count

    items = [("a", 0)] * 5
    out = evaluate(items, lambda up: op.stateful_map("step", up, up_to_two), batch_size)
    assert out == [("a", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 1)]


def test_a_false_state_is_kept(evaluate):
    def seen_before(state, _value):
        return 0, state is not None

    out = evaluate(
        [("a", 1), ("a", 2)], lambda up: op.stateful_map("step", up, seen_before)
    )
    assert out == [("a", False), ("a", True)]


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (5, "an `int`"),
        ([1, 2], "a `list`"),
        ("ab", "a `str`"),
        ((1,), "a `tuple` of length 1"),
        ((1, 2, 3), "a `tuple` of length 3"),
    ],
)
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (op.stateful_map, "a 2-tuple of `(updated_state, emit_value)`"),
        (op.stateful_flat_map, "a 2-tuple of `(updated_state, emit_values)`"),
    ],
)
def test_mapper_must_return_a_pair(fail, operator, expected, returned, got):
    def mapper(_state, _value):
        return returned

    cause = fail([("a", 1)], lambda up: operator("step", up, mapper))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `mapper` {f_repr(mapper)} in step `flow.step` "
        f"must be {expected}; got {got}"
    )


@pytest.mark.parametrize("operator", [op.stateful_map, op.stateful_flat_map])
def test_the_error_of_the_mapper_is_the_cause(fail, operator):
    error = ZeroDivisionError("mine")

    def mapper(_state, _value):
        raise error

    assert fail([("a", 1)], lambda up: operator("step", up, mapper)) is error


def test_stateful_flat_map_emits_any_number(evaluate_keyed):
    def changes(last, value):
        return value, [] if last == value else [last, value]

    items = [("a", 1), ("a", 1), ("a", 2), ("b", 1)]
    out = evaluate_keyed(items, lambda up: op.stateful_flat_map("step", up, changes))
    assert out == [
        ("a", None),
        ("a", 1),
        ("a", 1),
        ("a", 2),
        ("b", None),
        ("b", 1),
    ]


@pytest.mark.parametrize("emits", [iter, dict.fromkeys, lambda x: (y for y in x)])
def test_stateful_flat_map_takes_any_iterable(evaluate, emits):
    def mapper(state, value):
        return state, emits(value)

    out = evaluate([("a", "xy")], lambda up: op.stateful_flat_map("step", up, mapper))
    assert out == [("a", "x"), ("a", "y")]


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_the_error_of_what_makes_values_iterable_is_the_cause(fail, kind):
    error = kind("mine")

    class Lazy:
        def __iter__(self):
            raise error

    def mapper(state, _value):
        return state, Lazy()

    cause = fail([("a", 0)], lambda up: op.stateful_flat_map("step", up, mapper))
    assert cause is error


def test_stateful_flat_map_must_return_iterable_values(fail):
    cause = fail([("a", 1)], lambda up: op.stateful_flat_map("step", up, total))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `mapper` {f_repr(total)} in step `flow.step` must be "
        "`(updated_state, emit_values)` with iterable `emit_values`; got an `int`"
    )


def test_the_snapshot_is_a_copy():
    logic = _MapperLogic("flow.step", lambda state, value: ([*state, value], ()), [0])
    logic.on_item(1)
    state = logic.snapshot()
    assert state == [0, 1]
    assert state is not logic.snapshot()


def test_stateful_map_substeps(substep_ids):
    assert substep_ids(lambda up: op.stateful_map("step", up, total)) == [
        "flow.step.stateful_flat_map",
        "flow.step.stateful_flat_map.stateful",
        "flow.step.stateful_flat_map.stateful.stateful_batch",
    ]


def test_stateful_flat_map_substeps(substep_ids):
    ids = substep_ids(lambda up: op.stateful_flat_map("step", up, total_and_value))
    assert ids == ["flow.step.stateful", "flow.step.stateful.stateful_batch"]
