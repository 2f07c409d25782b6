from datetime import datetime, timezone
from threading import Event

import millstream.operators as op
import pytest
from millstream.dataflow import f_repr
from millstream.operators import StatefulLogic


class Logic(StatefulLogic):
    """Emits each value; a subclass changes one thing."""

    def __init__(self, resume_state=None):
        assert resume_state is None

    def on_item(self, value):
        return [value], StatefulLogic.RETAIN

    def snapshot(self):
        return None


class Counting(Logic):
    """Numbers the values of a key, until "reset"; says at the end how many it saw."""

    def __init__(self, resume_state=None):
        super().__init__(resume_state)
        self.count = 0

    def on_item(self, value):
        self.count += 1
        return [(self.count, value)], value == "reset"

    def on_eof(self):
        return (f"{self.count} in all",), StatefulLogic.DISCARD


def stateful(builder):
    return lambda up: op.stateful("step", up, builder)


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_a_discard_begins_anew_also_within_a_batch(evaluate_keyed, batch_size):
    items = [("b", "x"), ("a", "x"), ("b", "reset"), ("b", "y"), ("a", "reset")]
    assert evaluate_keyed(items, stateful(Counting), batch_size) == [
        ("a", (1, "x")),
        ("a", (2, "reset")),
        ("b", (1, "x")),
        ("b", (2, "reset")),
        ("b", (1, "y")),
        ("b", "1 in all"),
    ]


def test_the_builder_is_called_for_each_new_state(evaluate):
    built = []

    def builder(resume_state):
        built.append(resume_state)
        return Counting(resume_state)

    items = [("a", "x"), ("a", "reset"), ("a", "reset"), ("b", "x")]
    evaluate(items, stateful(builder), batch_size=4)
    assert built == [None, None, None]


def test_on_notify_is_called_when_it_is_due(evaluate, paused_until):
    notified = Event()

    class Reminded(Logic):
        def on_notify(self):
            notified.set()
            return ["due"], StatefulLogic.DISCARD

        def notify_at(self):
            return None if notified.is_set() else datetime.now(timezone.utc)

        def on_eof(self):
            return ["end"], StatefulLogic.DISCARD

    out = evaluate(paused_until(notified, [("a", 1)], [("a", 2)]), stateful(Reminded))
    assert out == [("a", 1), ("a", "due"), ("a", 2), ("a", "end")]


@pytest.mark.parametrize(
    "emits", [(1, 2), [1, 2], {1: 0, 2: 0}], ids=["tuple", "list", "dict"]
)
def test_emits_may_be_any_iterable(evaluate, emits):
    class Emitting(Logic):
        def on_item(self, _value):
            return (x for x in emits), StatefulLogic.RETAIN

        def on_eof(self):
            return emits, StatefulLogic.RETAIN

    out = evaluate([("a", 0)], stateful(Emitting))
    assert out == [("a", 1), ("a", 2), ("a", 1), ("a", 2)]


@pytest.mark.parametrize("callback", ["on_item", "on_eof"])
@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_the_error_of_what_makes_emits_iterable_is_the_cause(fail, callback, kind):
    error = kind("mine")

    class Lazy:
        def __iter__(self):
            raise error

    class Emitting(Logic):
        pass

    setattr(Emitting, callback, lambda *_: (Lazy(), StatefulLogic.RETAIN))
    assert fail([("a", 0)], stateful(Emitting)) is error


@pytest.mark.parametrize(
    ("returned", "expected", "got"),
    [
        (None, "a 2-tuple of `(emits, is_discarded)`", "a `NoneType`"),
        ([[], False], "a 2-tuple of `(emits, is_discarded)`", "a `list`"),
        (((),), "a 2-tuple of `(emits, is_discarded)`", "a `tuple` of length 1"),
        (((), 1), "`(emits, is_discarded)` with a real `bool`", "an `int`"),
        (((), None), "`(emits, is_discarded)` with a real `bool`", "a `NoneType`"),
        ((5, False), "`(emits, is_discarded)` with iterable `emits`", "an `int`"),
    ],
)
def test_a_wrong_return_is_a_type_error(fail, returned, expected, got):
    class Wrong(Logic):
        def on_item(self, _value):
            return returned

    cause = fail([("a", 0)], stateful(Wrong))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `on_item` {f_repr(Wrong.on_item)} in step `flow.step` "
        f"must be {expected}; got {got}"
    )


def test_a_type_error_within_the_emits_is_its_own(fail):
    class Failing(Logic):
        def on_item(self, value):
            return (abs(x) for x in [value]), StatefulLogic.RETAIN

    cause = fail([("a", "x")], stateful(Failing))
    assert str(cause) == "bad operand type for abs(): 'str'"


@pytest.mark.parametrize("callback", ["on_item", "on_eof", "notify_at"])
def test_the_error_of_a_callback_is_the_cause(fail, callback):
    error = ZeroDivisionError("mine")

    def failing(*_args):
        raise error

    class Failing(Logic):
        pass

    setattr(Failing, callback, failing)
    assert fail([("a", 0)], stateful(Failing)) is error


def test_the_builder_must_return_a_logic(fail):
    def builder(_resume_state):
        return 5

    cause = fail([("a", 0)], stateful(builder))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        f"return value of `builder` {f_repr(builder)} in step `flow.step` "
        "must be a `StatefulLogic`; got an `int`"
    )


@pytest.mark.parametrize("item", [5, ["a", 1], ("a", 1, 2), (1, "a")])
def test_needs_pairs_with_string_keys(fail, item):
    assert isinstance(fail([item], stateful(Logic)), TypeError)


def test_substeps(substep_ids):
    assert substep_ids(stateful(Logic)) == ["flow.step.stateful_batch"]
