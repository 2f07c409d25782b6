import time
from datetime import datetime, timedelta, timezone
from threading import Event
from zoneinfo import ZoneInfo

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.operators import StatefulBatchLogic
from millstream.testing import TestingSink, TestingSource, run_main


class Logic(StatefulBatchLogic):
    """Emits each value; a subclass changes one thing."""

    def __init__(self, resume_state=None):
        assert resume_state is None

    def on_batch(self, values):
        return values, StatefulBatchLogic.RETAIN

    def snapshot(self):
        return None


class Counting(Logic):
    """Numbers the values of a key; says at the end how many they were."""

    def __init__(self, resume_state=None):
        super().__init__(resume_state)
        self.count = 0

    def on_batch(self, values):
        first = self.count
        self.count += len(values)
        return enumerate(values, start=first), StatefulBatchLogic.RETAIN

    def on_eof(self):
        return (f"{self.count} in all",), StatefulBatchLogic.DISCARD


class Once(Logic):
    """Discards itself at once; fails if it is called again."""

    called = False

    def on_batch(self, values):
        assert not self.called
        self.called = True
        return values, StatefulBatchLogic.DISCARD

    def on_eof(self):
        return ["end"], StatefulBatchLogic.RETAIN


def stateful_batch(builder):
    return lambda up: op.stateful_batch("step", up, builder)


def test_each_key_has_a_state_of_its_own(evaluate_keyed):
    items = [("b", "x"), ("a", "x"), ("b", "y"), ("b", "z")]
    assert evaluate_keyed(items, stateful_batch(Counting)) == [
        ("a", (0, "x")),
        ("a", "1 in all"),
        ("b", (0, "x")),
        ("b", (1, "y")),
        ("b", (2, "z")),
        ("b", "3 in all"),
    ]


def test_a_discarded_object_is_not_called_again(evaluate_keyed):
    items = [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5)]
    assert evaluate_keyed(items, stateful_batch(Once)) == [
        ("a", 1),
        ("a", 3),
        ("a", 4),
        ("b", 2),
        ("b", 5),
    ]


def test_the_values_of_a_batch_come_together_in_order(evaluate_keyed):
    class Batches(Logic):
        def on_batch(self, values):
            assert isinstance(values, list)
            return [tuple(values)], StatefulBatchLogic.RETAIN

    items = [("b", 1), ("a", 2), ("b", 3), ("a", 4)]
    out = evaluate_keyed(items, stateful_batch(Batches), batch_size=4)
    assert out == [("a", (2, 4)), ("b", (1, 3))]


def test_all_values_of_a_key_meet_in_one_place(evaluate_keyed):
    def add_steps(up):
        spread = op.redistribute("spread", up)
        return op.stateful_batch("step", spread, Counting)

    items = [(key, "x") for key in "abcdefgh" for _ in range(20)]
    out = evaluate_keyed(items, add_steps, batch_size=10)
    totals = [item for item in out if isinstance(item[1], str)]
    assert totals == [(key, "20 in all") for key in "abcdefgh"]


def test_keys_are_in_order_within_a_batch():
    # Only on each worker, so this has one.
    flow = Dataflow("flow")
    items = [("b", 1), ("a", 2), ("b", 3), ("a", 4)]
    up = op.input("inp", flow, TestingSource(items, batch_size=4))
    out = []
    op.output("out", op.stateful_batch("step", up, Logic), TestingSink(out))
    run_main(flow)
    assert out == [("a", 2), ("a", 4), ("b", 1), ("b", 3)]


@pytest.mark.parametrize("utc", [timezone.utc, ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")])
def test_on_notify_is_called_once_when_it_is_due(evaluate, paused_until, utc):
    notified = Event()

    class Reminded(Logic):
        at = None

        def on_batch(self, values):
            if not notified.is_set():
                self.at = datetime.now(utc) + timedelta(milliseconds=20)
            return values, StatefulBatchLogic.RETAIN

        def on_notify(self):
            assert datetime.now(utc) >= self.at
            self.at = None
            notified.set()
            return ["due"], StatefulBatchLogic.RETAIN

        def notify_at(self):
            return self.at

    items = paused_until(notified, [("a", 1)], [("a", 2)])
    out = evaluate(items, stateful_batch(Reminded))
    assert out == [("a", 1), ("a", "due"), ("a", 2)]


class Reminded(Logic):
    """Asks to be called in a second, unless it gets other values."""

    at = None

    def on_batch(self, values):
        soon = datetime.now(timezone.utc) + timedelta(seconds=1)
        self.at = soon if values == ["remind me"] else None
        return values, values == ["discard"]

    def on_notify(self):
        return ["due"], StatefulBatchLogic.DISCARD

    def notify_at(self):
        return self.at


@pytest.mark.parametrize("entry_point", [run_main], indirect=True)
@pytest.mark.parametrize("cancel", ["never mind", "discard"])
def test_a_notification_is_cancelled(evaluate, paused_until, cancel):
    """By a later None from `notify_at`, and by a discard."""
    over = Event()

    class Last(Reminded):
        def on_notify(self):
            over.set()
            return super().on_notify()

    # The second key is due after the first would have been.
    items = [("a", "remind me"), ("a", cancel), ("b", "remind me")]
    out = evaluate(paused_until(over, items, []), stateful_batch(Last))
    assert out == [*items, ("b", "due")]


@pytest.mark.parametrize("entry_point", [run_main], indirect=True)
def test_a_time_in_the_past_does_not_make_a_busy_loop(evaluate):
    begin = time.monotonic()
    calls = 0

    class Impatient(Logic):
        def on_notify(self):
            nonlocal calls
            calls += 1
            return [], StatefulBatchLogic.RETAIN

        def notify_at(self):
            return datetime(2024, 1, 1, tzinfo=timezone.utc)

    pause = TestingSource.PAUSE(timedelta(seconds=1.5))
    evaluate([("a", 1), pause], stateful_batch(Impatient))
    # At once, and then once a second.
    assert 2 <= calls <= 2 + int(time.monotonic() - begin)


@pytest.mark.parametrize("callback", ["on_batch", "on_eof"])
@pytest.mark.parametrize(
    "emits",
    [lambda: (1, 2), lambda: [1, 2], lambda: iter([1, 2]), {1: 0, 2: 0}.keys],
    ids=["tuple", "list", "iterator", "keys"],
)
def test_emits_may_be_any_iterable(evaluate, callback, emits):
    class Emitting(Logic):
        def on_batch(self, _values):
            return (), StatefulBatchLogic.RETAIN

    setattr(Emitting, callback, lambda *_: (emits(), StatefulBatchLogic.RETAIN))
    assert evaluate([("a", 0)], stateful_batch(Emitting)) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize("callback", ["on_batch", "on_eof"])
def test_an_emitted_string_is_not_taken_apart(fail, callback):
    class Emitting(Logic):
        def on_batch(self, _values):
            return (), StatefulBatchLogic.RETAIN

    setattr(Emitting, callback, lambda *_: ("xy", StatefulBatchLogic.RETAIN))
    cause = fail([("a", 0)], stateful_batch(Emitting))
    assert isinstance(cause, TypeError)
    assert str(cause).endswith(
        "must be `(emits, is_discarded)` with `emits` in a list: "
        "a `str` would be taken apart; got a `str`"
    )


@pytest.mark.parametrize("callback", ["on_batch", "on_eof"])
def test_the_error_of_what_makes_emits_iterable_is_the_cause(fail, callback):
    error = ValueError("mine")

    class Lazy:
        def __iter__(self):
            raise error

    class Emitting(Logic):
        pass

    setattr(Emitting, callback, lambda *_: (Lazy(), StatefulBatchLogic.RETAIN))
    assert fail([("a", 0)], stateful_batch(Emitting)) is error


@pytest.mark.parametrize("callback", ["on_batch", "on_eof"])
@pytest.mark.parametrize(
    "returned", [None, [], ((),), ((), False, ()), ((), 1), ((), None), (5, False)]
)
def test_a_wrong_return_is_a_type_error(fail, callback, returned):
    class Wrong(Logic):
        pass

    setattr(Wrong, callback, lambda *_: returned)
    cause = fail([("a", 0)], stateful_batch(Wrong))
    assert isinstance(cause, TypeError)
    assert callback in str(cause)


@pytest.mark.parametrize(
    ("at", "error"),
    [
        (datetime(2024, 1, 1), ValueError),  # noqa: DTZ001
        (5, TypeError),
        ("now", TypeError),
    ],
)
def test_notify_at_must_be_an_aware_datetime(fail, at, error):
    class Wrong(Logic):
        def notify_at(self):
            return at

    cause = fail([("a", 0)], stateful_batch(Wrong))
    assert isinstance(cause, error)
    assert "`notify_at`" in str(cause)


@pytest.mark.parametrize("callback", ["on_batch", "on_eof", "notify_at"])
def test_the_error_of_a_callback_is_the_cause(fail, callback):
    error = ZeroDivisionError("mine")

    def failing(*_args):
        raise error

    class Failing(Logic):
        pass

    setattr(Failing, callback, failing)
    assert fail([("a", 0)], stateful_batch(Failing)) is error


def test_the_error_of_the_builder_is_the_cause(fail):
    error = ZeroDivisionError("mine")

    def builder(_resume_state):
        raise error

    assert fail([("a", 0)], stateful_batch(builder)) is error


def test_the_builder_must_return_a_logic(fail):
    cause = fail([("a", 0)], stateful_batch(lambda _resume_state: 5))
    assert isinstance(cause, TypeError)
    assert "StatefulBatchLogic`" in str(cause)
    assert "`int`" in str(cause)


@pytest.mark.parametrize(
    ("item", "needed"),
    [
        (5, "`(key, value)` 2-tuples"),
        ("ab", "`(key, value)` 2-tuples"),
        (["a", 1], "`(key, value)` 2-tuples"),
        (("a", 1, 2), "`(key, value)` 2-tuples"),
        ((1, "a"), "`str`"),
        ((None, "a"), "`str`"),
    ],
)
def test_needs_pairs_with_string_keys(fail, item, needed):
    cause = fail([item], stateful_batch(Logic))
    assert isinstance(cause, TypeError)
    assert needed in str(cause)


def test_a_logic_must_have_the_abstract_methods():
    class Half(StatefulBatchLogic):
        def on_batch(self, values):
            return values, StatefulBatchLogic.RETAIN

    with pytest.raises(TypeError, match="snapshot"):
        Half()


def test_constants():
    assert StatefulBatchLogic.RETAIN is False
    assert StatefulBatchLogic.DISCARD is True
