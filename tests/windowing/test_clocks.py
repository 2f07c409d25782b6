import re
from datetime import datetime, timedelta, timezone
from threading import Event
from zoneinfo import ZoneInfo

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.operators.windowing.clocks import _SystemClockLogic
from millstream.testing import TimeTestingGetter

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
OLD = datetime(1999, 1, 1, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
LAST = win.UTC_MAX - timedelta(microseconds=1)


def identity(x):
    return x


@pytest.fixture
def now():
    return TimeTestingGetter(NOW)


def event_logic(now, wait=timedelta(), resume_state=None, **kwargs):
    """The logic of a clock whose values are their timestamps."""
    return win.EventClock(identity, wait, now.get, **kwargs).build(resume_state)


def exactly(message):
    return f"^{re.escape(message)}$"


def test_event_clock_watermark_follows_the_latest_timestamp(now):
    logic = event_logic(now, 5 * SECOND)
    logic.before_batch()
    assert logic.on_item(OLD) == (OLD, OLD - 5 * SECOND)
    assert logic.on_item(OLD + 7 * SECOND) == (OLD + 7 * SECOND, OLD + 2 * SECOND)
    assert logic.on_item(OLD + SECOND) == (OLD + SECOND, OLD + 2 * SECOND)


def test_event_clock_watermark_begins_at_the_beginning_of_time(now):
    logic = event_logic(now)
    assert logic.on_notify() == win.UTC_MIN
    now.advance(SECOND)
    assert logic.on_notify() == win.UTC_MIN + SECOND


def test_event_clock_watermark_moves_on_with_the_system_time(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(OLD)
    now.advance(3 * SECOND)
    assert logic.on_notify() == OLD + 3 * SECOND
    assert logic.on_item(OLD + 2 * SECOND)[1] == OLD + 3 * SECOND
    assert logic.on_item(OLD + 4 * SECOND)[1] == OLD + 4 * SECOND


def test_event_clock_reads_the_system_time_once_for_a_batch(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(OLD)
    now.advance(SECOND)
    assert logic.on_item(OLD)[1] == OLD
    logic.before_batch()
    assert logic.on_item(OLD)[1] == OLD + SECOND


def test_event_clock_stands_still_when_the_system_time_goes_back(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(OLD)
    now.advance(3 * SECOND)
    assert logic.on_notify() == OLD + 3 * SECOND
    now.advance(timedelta(hours=-1))
    logic.before_batch()
    assert logic.on_item(OLD)[1] == OLD + 3 * SECOND
    assert logic.on_notify() == OLD + 3 * SECOND
    now.advance(timedelta(hours=1, seconds=1))
    assert logic.on_notify() == OLD + 4 * SECOND


def test_event_clock_that_waits_forever_keeps_its_watermark_at_the_beginning(now):
    logic = event_logic(now, timedelta.max)
    logic.before_batch()
    assert logic.on_item(win.UTC_MAX) == (win.UTC_MAX, win.UTC_MIN)
    assert logic.on_item(win.UTC_MIN) == (win.UTC_MIN, win.UTC_MIN)
    now.advance(SECOND)
    assert logic.on_notify() == win.UTC_MIN + SECOND


def test_event_clock_at_the_end_leaves_its_state_alone(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(OLD)
    assert logic.on_eof() == win.UTC_MAX
    assert logic.snapshot() == OLD
    assert logic.on_item(OLD)[1] == OLD


def test_event_clock_watermark_is_the_last_moment_only_at_the_end(now):
    logic = event_logic(now)
    logic.before_batch()
    assert logic.on_item(win.UTC_MAX) == (win.UTC_MAX, LAST)
    now.advance(SECOND)
    assert logic.on_notify() == LAST
    assert logic.on_item(win.UTC_MAX) == (win.UTC_MAX, LAST)
    assert logic.snapshot() == LAST
    assert logic.on_eof() == win.UTC_MAX


@pytest.mark.parametrize(
    "timestamp",
    [
        datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime.min.replace(tzinfo=timezone.utc),
        datetime.max.replace(tzinfo=timezone.utc),
    ],
)
@pytest.mark.parametrize("wait", [timedelta(), SECOND, timedelta.max])
def test_event_clock_does_not_overflow(now, timestamp, wait):
    logic = event_logic(now, wait)
    logic.before_batch()
    _, watermark = logic.on_item(timestamp)
    assert win.UTC_MIN <= watermark <= LAST
    now.now = win.UTC_MAX
    assert watermark <= logic.on_notify() <= LAST
    assert logic.to_system_utc(timestamp) is None or timestamp < OLD


def test_event_clock_keeps_only_its_watermark(now):
    logic = event_logic(now, SECOND)
    logic.before_batch()
    logic.on_item(OLD)
    now.advance(5 * SECOND)
    logic.before_batch()
    assert logic.snapshot() == OLD + 4 * SECOND


def test_event_clock_does_not_move_on_while_the_dataflow_is_down(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(OLD)
    state = logic.snapshot()
    now.advance(timedelta(days=1))
    resumed = event_logic(now, resume_state=state)
    resumed.before_batch()
    assert resumed.on_item(OLD) == (OLD, OLD)
    now.advance(SECOND)
    assert resumed.on_notify() == OLD + SECOND


def test_event_clock_says_when_its_watermark_gets_to_a_timestamp(now):
    logic = event_logic(now, 5 * SECOND)
    logic.before_batch()
    logic.on_item(OLD)
    due = logic.to_system_utc(OLD + 2 * SECOND)
    assert due == NOW + 7 * SECOND
    now.now = due - timedelta(microseconds=1)
    assert logic.on_notify() < OLD + 2 * SECOND
    now.now = due
    assert logic.on_notify() == OLD + 2 * SECOND


def test_event_clock_never_gets_to_the_end_by_itself(now):
    logic = event_logic(now)
    logic.before_batch()
    logic.on_item(LAST - SECOND)
    assert logic.to_system_utc(LAST) == NOW + SECOND
    assert logic.to_system_utc(win.UTC_MAX) is None


def test_event_clock_asks_to_system_utc(now):
    logic = event_logic(now, to_system_utc=lambda timestamp: timestamp + SECOND)
    assert logic.to_system_utc(OLD) == OLD + SECOND
    assert event_logic(now, to_system_utc=lambda _: None).to_system_utc(OLD) is None


def test_event_clock_takes_its_arguments_by_position(now):
    clock = win.EventClock(identity, SECOND, now.get, identity)
    assert clock.build(None).to_system_utc(OLD) == OLD
    assert win.EventClock(identity, SECOND).build(None).on_item(OLD)[0] == OLD


def test_event_clock_knows_any_time_zone(now):
    tokyo = OLD.astimezone(ZoneInfo("Asia/Tokyo"))
    logic = event_logic(now)
    logic.before_batch()
    assert logic.on_item(tokyo) == (tokyo, OLD)


@pytest.mark.parametrize(
    ("wait", "error", "message"),
    [
        (
            5,
            TypeError,
            (
                "`wait_for_system_duration` of an `EventClock` must be a "
                "`datetime.timedelta`; got an `int`"
            ),
        ),
        (
            -SECOND,
            ValueError,
            (
                "`wait_for_system_duration` of an `EventClock` must not be negative; "
                f"got `{-SECOND!r}`"
            ),
        ),
    ],
)
def test_event_clock_refuses_a_wrong_wait(wait, error, message):
    with pytest.raises(error, match=exactly(message)):
        win.EventClock(identity, wait)


def test_now_getter_must_return_an_aware_datetime():
    clock = win.EventClock(identity, SECOND, datetime.now)
    expected = (
        f"return value of `now_getter` {datetime.now!r} must be an aware `datetime`; "
        "got a naive one; give it a time zone, for example with "
        "`.replace(tzinfo=timezone.utc)`"
    )
    with pytest.raises(ValueError, match=exactly(expected)):
        clock.build(None)


@pytest.mark.parametrize(
    ("timestamp", "error", "got"),
    [
        ("today", TypeError, "a `str`"),
        (None, TypeError, "a `NoneType`"),
        (1.5, TypeError, "a `float`"),
        (
            datetime(2024, 1, 1),  # noqa: DTZ001
            ValueError,
            (
                "a naive one; give it a time zone, for example with "
                "`.replace(tzinfo=timezone.utc)`"
            ),
        ),
    ],
)
def test_ts_getter_must_return_an_aware_datetime(fail, tumbling, timestamp, error, got):
    def add_steps(up):
        clock = win.EventClock(lambda _: timestamp, SECOND)
        return win.collect_window("step", up, clock, tumbling).down

    cause = fail([("a", 0)], add_steps)
    assert type(cause) is error
    assert str(cause) == (
        "the timestamp of a value in step `flow.step` must be an aware `datetime`; "
        f"got {got}"
    )


def test_the_error_of_ts_getter_is_the_cause(fail, tumbling):
    error = ZeroDivisionError("mine")

    def ts_getter(_value):
        raise error

    def add_steps(up):
        clock = win.EventClock(ts_getter, SECOND)
        return win.collect_window("step", up, clock, tumbling).down

    assert fail([("a", 0)], add_steps) is error


def test_system_clock_gives_the_time_of_arrival(now):
    logic = _SystemClockLogic(now.get, None)
    logic.before_batch()
    assert logic.on_item("x") == (NOW, NOW)
    now.advance(SECOND)
    assert logic.on_item("y") == (NOW, NOW)
    assert logic.on_notify() == NOW + SECOND
    assert logic.on_item("z") == (NOW + SECOND, NOW + SECOND)
    assert logic.on_eof() == win.UTC_MAX
    assert logic.to_system_utc(OLD) == OLD


def test_system_clock_stands_still_when_the_system_time_goes_back(now):
    logic = _SystemClockLogic(now.get, None)
    logic.before_batch()
    now.advance(-SECOND)
    logic.before_batch()
    assert logic.on_item("x") == (NOW, NOW)
    assert logic.on_notify() == NOW
    resumed = _SystemClockLogic(now.get, logic.snapshot())
    resumed.before_batch()
    assert resumed.on_item("x") == (NOW, NOW)


def test_system_clock_is_on_time(run):
    windower = win.TumblingWindower(timedelta(days=1_000_000), win.UTC_MIN)
    items = [("a", i) for i in range(20)]
    out = run(
        items,
        lambda up: win.collect_window("step", up, win.SystemClock(), windower),
        batch_size=3,
    )
    assert out.down == [("a", (0, list(range(20))))]
    assert out.late == []


@pytest.mark.parametrize(
    "clock", [win.SystemClock(), win.EventClock(lambda _: OLD, timedelta())]
)
def test_a_window_closes_when_its_time_has_come(evaluate, paused_until, clock):
    closed = Event()

    def add_steps(up):
        windower = win.SessionWindower(timedelta(milliseconds=20))
        lists = win.collect_window("step", up, clock, windower)
        return op.inspect("note", lists.down, lambda _step_id, _item: closed.set())

    # The source goes on only after the window of "a" has closed.
    items = paused_until(closed, [("a", 1), ("a", 2)], [("b", 3)])
    out = evaluate(items, add_steps, batch_size=2)
    assert out == [("a", (0, [1, 2])), ("b", (0, [3]))]
