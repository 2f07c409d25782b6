import pickle
from datetime import datetime, timedelta, timezone

import millstream.operators.windowing as win
import pytest
from millstream.operators.windowing import WindowMetadata
from millstream.testing import TestingSource, TimeTestingGetter

SECOND = timedelta(seconds=1)


class Log(win.WindowLogic):
    """Emits whatever happens to a window, with all values that are in it."""

    def __init__(self, resume_state=None):
        self.values = resume_state or []

    def on_value(self, value):
        self.values.append(value)
        return [("value", *self.values)]

    def on_merge(self, original):
        self.values += original.values
        return [("merge", *self.values)]

    def on_close(self):
        return [("close", *self.values)]

    def snapshot(self):
        return list(self.values)


def window(clock, windower, builder=Log, **kwargs):
    return lambda up: win.window("step", up, clock, windower, builder, **kwargs)


@pytest.fixture
def now():
    return TimeTestingGetter(datetime(2030, 1, 1, tzinfo=timezone.utc))


@pytest.fixture
def moving_clock(now, at):
    """A clock whose values are their timestamps, and whose time the test moves on."""

    def moving_clock(wait=timedelta(), **kwargs):
        return win.EventClock(at, wait, now.get, **kwargs)

    return moving_clock


def stored(state):
    """As a state comes back from where it was stored."""
    return pickle.loads(pickle.dumps(state))  # noqa: S301


def events_of(returned):
    emits, discards = returned
    assert discards is False
    return list(emits)


def test_each_key_has_windows_of_its_own(run, event_clock, tumbling):
    items = [("b", 1), ("a", 12), ("b", 3), ("a", 14), ("b", 25)]
    assert run(items, window(event_clock(), tumbling)).down == [
        ("a", (1, ("value", 12))),
        ("a", (1, ("value", 12, 14))),
        ("a", (1, ("close", 12, 14))),
        ("b", (0, ("value", 1))),
        ("b", (0, ("value", 1, 3))),
        ("b", (2, ("value", 25))),
        ("b", (0, ("close", 1, 3))),
        ("b", (2, ("close", 25))),
    ]


def test_each_window_has_its_metadata_once(run, event_clock, tumbling, at):
    items = [("b", 1), ("a", 12), ("b", 3), ("a", 14), ("b", 25)]
    assert run(items, window(event_clock(), tumbling)).meta == [
        ("a", (1, WindowMetadata(at(10), at(20)))),
        ("b", (0, WindowMetadata(at(0), at(10)))),
        ("b", (2, WindowMetadata(at(20), at(30)))),
    ]


def test_a_value_is_in_each_of_several_windows(run, event_clock, at):
    windower = win.SlidingWindower(10 * SECOND, 5 * SECOND, at(0))
    out = run([("a", 7)], window(event_clock(), windower))
    assert out.down == [
        ("a", (0, ("value", 7))),
        ("a", (1, ("value", 7))),
        ("a", (0, ("close", 7))),
        ("a", (1, ("close", 7))),
    ]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_value_before_the_watermark_is_late(run, event_clock, tumbling, ordered):
    # Even if its window is still open.
    items = [("a", 5), ("a", 3), ("b", 3), ("a", 5), ("a", 4.999999)]
    out = run(items, window(event_clock(), tumbling, ordered=ordered))
    assert out.late == [("a", (0, 3)), ("a", (0, 4.999999))]
    assert out.down[-3:-2] == [("a", (0, ("close", 5, 5)))]


def test_a_late_value_has_the_ids_of_all_its_windows(run, event_clock, at):
    windower = win.SlidingWindower(10 * SECOND, 5 * SECOND, at(0))
    out = run([("a", 60), ("a", 7)], window(event_clock(), windower))
    assert out.late == [("a", (0, 7)), ("a", (1, 7))]


def test_a_late_value_belongs_to_no_session(run, event_clock, session):
    out = run([("a", 60), ("a", 7)], window(event_clock(), session))
    assert out.late == [("a", (win.LATE_SESSION_ID, 7))]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_ordered_windows_take_values_by_timestamp(
    run, event_clock, tumbling, batch_size
):
    items = [("a", each) for each in [(4, "x"), (2, "x"), (4, "y"), (1, "x"), (2, "y")]]
    out = run(items, window(event_clock(wait=3), tumbling), batch_size)
    assert out.down[-1] == (
        "a",
        (0, ("close", (1, "x"), (2, "x"), (2, "y"), (4, "x"), (4, "y"))),
    )


def test_unordered_windows_take_values_as_they_arrive(run, event_clock, tumbling):
    items = [("a", each) for each in [(4, "x"), (2, "x"), (4, "y"), (1, "x"), (2, "y")]]
    out = run(items, window(event_clock(wait=3), tumbling, ordered=False), batch_size=5)
    assert out.down[-1] == (
        "a",
        (0, ("close", (4, "x"), (2, "x"), (4, "y"), (1, "x"), (2, "y"))),
    )


def test_an_ordered_value_waits_for_the_watermark(driver, event_clock, tumbling):
    logic = driver(window(event_clock(wait=5), tumbling))
    assert events_of(logic.on_batch([3, 1])) == []
    assert events_of(logic.on_batch([7])) == [("down", 0, ("value", 1))]
    assert events_of(logic.on_batch([8])) == [("down", 0, ("value", 1, 3))]


def test_an_unordered_value_waits_for_nothing(driver, event_clock, tumbling):
    logic = driver(window(event_clock(wait=5), tumbling, ordered=False))
    assert events_of(logic.on_batch([3, 1])) == [
        ("down", 0, ("value", 3)),
        ("down", 0, ("value", 3, 1)),
    ]


def test_windows_close_after_all_values_of_a_batch(driver, event_clock, tumbling, at):
    logic = driver(window(event_clock(), tumbling))
    assert events_of(logic.on_batch([1, 12, 3, 24])) == [
        ("late", 0, 3),
        ("down", 0, ("value", 1)),
        ("down", 1, ("value", 12)),
        ("down", 2, ("value", 24)),
        ("down", 0, ("close", 1)),
        ("meta", 0, WindowMetadata(at(0), at(10))),
        ("down", 1, ("close", 12)),
        ("meta", 1, WindowMetadata(at(10), at(20))),
    ]


def test_windows_close_in_the_order_of_their_opening(run, event_clock, tumbling):
    items = [("a", each) for each in [25, 5, 15]]
    out = run(items, window(event_clock(wait=60), tumbling, ordered=False))
    assert [window_id for _, (window_id, _) in out.meta] == [2, 0, 1]
    out = run(items, window(event_clock(wait=60), tumbling, ordered=True))
    assert [window_id for _, (window_id, _) in out.meta] == [0, 1, 2]


def test_all_is_applied_and_closed_at_the_end(run, event_clock, tumbling):
    items = [("a", each) for each in [25, 5, 15, 7]]
    out = run(items, window(event_clock(wait=timedelta.max), tumbling))
    assert out.down == [
        ("a", (0, ("value", 5))),
        ("a", (0, ("value", 5, 7))),
        ("a", (1, ("value", 15))),
        ("a", (2, ("value", 25))),
        ("a", (0, ("close", 5, 7))),
        ("a", (1, ("close", 15))),
        ("a", (2, ("close", 25))),
    ]
    assert out.late == []


@pytest.mark.parametrize("ordered", [True, False])
def test_a_closed_window_does_not_open_again(
    driver, moving_clock, now, tumbling, ordered
):
    logic = driver(window(moving_clock(), tumbling, ordered=ordered))
    logic.on_batch([5])
    now.advance(5 * SECOND)
    assert events_of(logic.on_notify())[0] == ("down", 0, ("close", 5))
    assert logic.notify_at() is None
    assert events_of(logic.on_batch([6])) == [("late", 0, 6)]
    assert events_of(logic.on_batch([12])) == [("down", 1, ("value", 12))]


def test_a_closed_window_does_not_open_again_after_a_resume(
    driver, moving_clock, now, tumbling
):
    add_steps = window(moving_clock(), tumbling)
    logic = driver(add_steps)
    logic.on_batch([5])
    now.advance(5 * SECOND)
    logic.on_notify()
    resumed = driver(add_steps, stored(logic.snapshot()))
    assert events_of(resumed.on_batch([6])) == [("late", 0, 6)]


@pytest.mark.parametrize("resumes", [True, False])
def test_the_id_of_a_session_is_not_used_again(
    driver, moving_clock, now, session, resumes
):
    add_steps = window(moving_clock(), session)
    logic = driver(add_steps)
    logic.on_batch([5])
    now.advance(11 * SECOND)
    assert events_of(logic.on_notify())[0] == ("down", 0, ("close", 5))
    if resumes:
        logic = driver(add_steps, logic.snapshot())
    assert events_of(logic.on_batch([6])) == [("late", win.LATE_SESSION_ID, 6)]
    assert events_of(logic.on_batch([20])) == [("down", 1, ("value", 20))]


def test_a_key_whose_windows_have_closed_keeps_a_small_state(
    driver, event_clock, tumbling
):
    logic = driver(window(event_clock(), tumbling))
    logic.on_batch(list(range(100)))
    logic.on_eof()
    state = logic.snapshot()
    assert (state.key.windower, state.key.windows, state.key.queue) == (None, {}, [])
    assert len(pickle.dumps(state)) < 350


def test_downtime_makes_no_value_late(driver, moving_clock, now, tumbling):
    add_steps = window(moving_clock(), tumbling)
    logic = driver(add_steps)
    logic.on_batch([5])
    state = logic.snapshot()
    now.advance(timedelta(days=1))
    resumed = driver(add_steps, state)
    assert events_of(resumed.on_batch([6])) == [("down", 0, ("value", 5, 6))]


def test_a_clock_that_goes_back_does_no_harm(driver, moving_clock, now, tumbling):
    logic = driver(window(moving_clock(), tumbling))
    logic.on_batch([5])
    now.advance(2 * SECOND)
    logic.on_notify()
    now.advance(timedelta(days=-1))
    assert events_of(logic.on_batch([7])) == [("down", 0, ("value", 5, 7))]
    assert events_of(logic.on_notify()) == []


def test_the_timer_is_for_the_next_window_to_close(driver, moving_clock, now, tumbling):
    logic = driver(window(moving_clock(), tumbling, ordered=False))
    logic.on_batch([15])
    assert logic.notify_at() == now.get() + 5 * SECOND
    logic = driver(window(moving_clock(10 * SECOND), tumbling, ordered=False))
    logic.on_batch([15, 8])
    assert logic.notify_at() == now.get() + 5 * SECOND


def test_the_timer_is_for_the_earliest_value_that_waits(
    driver, moving_clock, now, tumbling
):
    logic = driver(window(moving_clock(10 * SECOND), tumbling))
    logic.on_batch([9, 4, 6])
    assert logic.notify_at() == now.get() + 5 * SECOND
    now.advance(5 * SECOND)
    assert events_of(logic.on_notify()) == [("down", 0, ("value", 4))]
    assert logic.notify_at() == now.get() + 2 * SECOND


def test_the_timer_is_for_a_window_that_closes_before_the_next_value(
    driver, moving_clock, now, tumbling
):
    logic = driver(window(moving_clock(19 * SECOND), tumbling))
    assert events_of(logic.on_batch([5, 25])) == [("down", 0, ("value", 5))]
    assert logic.notify_at() == now.get() + 4 * SECOND


def test_there_is_no_timer_if_nothing_is_open(driver, event_clock, tumbling):
    logic = driver(window(event_clock(), tumbling))
    assert logic.notify_at() is None
    logic.on_batch([5])
    logic.on_eof()
    assert logic.notify_at() is None


def test_a_session_has_closed_when_its_timer_was_due(
    driver, moving_clock, now, session
):
    logic = driver(window(moving_clock(), session))
    logic.on_batch([5])
    now.now = logic.notify_at()
    assert [kind for kind, _, _ in events_of(logic.on_notify())] == ["down", "meta"]


def test_old_timestamps_do_not_keep_the_worker_busy(run, tumbling, at):
    # Time is read when the clock is built and before each batch; a timer that is
    # due at once would read it again and again.
    reads = []

    def now_getter():
        reads.append(datetime.now(timezone.utc))
        return reads[-1]

    clock = win.EventClock(at, timedelta(), now_getter)
    items = [("a", 1), TestingSource.PAUSE(timedelta(milliseconds=50))]
    out = run(items, window(clock, tumbling))
    assert out.down == [("a", (0, ("value", 1))), ("a", (0, ("close", 1)))]
    assert len(reads) == 2


def test_sessions_merge_after_the_value_between_them(driver, event_clock, session, at):
    logic = driver(window(event_clock(wait=60), session, ordered=False))
    logic.on_batch([20, 40])
    assert events_of(logic.on_batch([30])) == [
        ("down", 0, ("value", 20, 30)),
        ("down", 0, ("merge", 20, 30, 40)),
    ]
    assert events_of(logic.on_eof()) == [
        ("down", 0, ("close", 20, 30, 40)),
        ("meta", 0, WindowMetadata(at(20), at(40), {1})),
    ]


def test_the_session_that_begins_first_takes_the_other(run, event_clock, session, at):
    items = [("a", each) for each in [60, 40, 20, 50, 30]]
    out = run(items, window(event_clock(wait=99), session, ordered=False))
    assert out.down == [
        ("a", (0, ("value", 60))),
        ("a", (1, ("value", 40))),
        ("a", (2, ("value", 20))),
        ("a", (1, ("value", 40, 50))),
        ("a", (1, ("merge", 40, 50, 60))),
        ("a", (2, ("value", 20, 30))),
        ("a", (2, ("merge", 20, 30, 40, 50, 60))),
        ("a", (2, ("close", 20, 30, 40, 50, 60))),
    ]
    assert out.meta == [("a", (2, WindowMetadata(at(20), at(60), {0, 1})))]


def test_ordered_sessions_do_not_merge(run, event_clock, session, at):
    items = [("a", each) for each in [60, 40, 20, 50, 30, 75]]
    out = run(items, window(event_clock(wait=99), session))
    assert [event[0] for _, (_, event) in out.down].count("merge") == 0
    assert out.meta == [
        ("a", (0, WindowMetadata(at(20), at(60)))),
        ("a", (1, WindowMetadata(at(75), at(75)))),
    ]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    "windower",
    [
        win.TumblingWindower(SECOND, win.UTC_MAX),
        win.SlidingWindower(timedelta.max, timedelta.max, win.UTC_MIN),
        win.SessionWindower(SECOND),
        win.SessionWindower(timedelta.max),
    ],
)
@pytest.mark.parametrize("wait", [timedelta(), timedelta.max])
def test_extreme_timestamps_do_not_overflow(run, windower, wait, ordered):
    moments = [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        win.UTC_MIN,
        win.UTC_MAX,
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    ]
    clock = win.EventClock(moments.__getitem__, wait, lambda: win.UTC_MAX)
    items = [("a", each) for each in range(4)]
    out = run(items, window(clock, windower, ordered=ordered), batch_size=2)
    closed = [event[1:] for _, (_, event) in out.down if event[0] == "close"]
    assert [each for values in closed for each in values] == [0, 1, 2, 3]
    assert out.late == []


def test_emits_may_be_any_iterable(run, event_clock, tumbling):
    class Lazy(Log):
        def on_value(self, value):
            yield from (value, value)

        def on_close(self):
            return {"closed": None}

    out = run([("a", 1)], window(event_clock(), tumbling, Lazy))
    assert out.down == [("a", (0, 1)), ("a", (0, 1)), ("a", (0, "closed"))]


def test_none_is_a_value(run, tumbling, at):
    clock = win.EventClock(lambda _: at(1), timedelta())

    class Emitting(Log):
        def on_value(self, value):
            return [value]

        def on_close(self):
            return [None]

    out = run([("a", None)], window(clock, tumbling, Emitting))
    assert out.down == [("a", (0, None)), ("a", (0, None))]


class CalledLogic(win.ClockLogic):
    """Notes its calls; values are pairs of timestamp and watermark, in seconds."""

    def __init__(self, at, calls, state):
        self.at = at
        self.calls = calls
        self.calls.append(("build", state))

    def before_batch(self):
        self.calls.append(("before_batch",))

    def on_item(self, value):
        self.calls.append(("on_item", value))
        timestamp, watermark = value
        return self.at(timestamp), self.at(watermark)

    def on_notify(self):
        self.calls.append(("on_notify",))
        return self.at(20)

    def on_eof(self):
        self.calls.append(("on_eof",))
        return win.UTC_MAX

    def to_system_utc(self, timestamp):
        self.calls.append(("to_system_utc", timestamp))
        return timestamp + timedelta(days=365_000)

    def snapshot(self):
        return "state"


@pytest.fixture
def called_clock(at):
    class Called(win.Clock):
        def __init__(self):
            self.calls = []

        def build(self, resume_state):
            return CalledLogic(at, self.calls, resume_state)

    return Called()


def test_a_clock_of_the_user_is_called_as_it_says(driver, called_clock, tumbling, at):
    add_steps = window(called_clock, tumbling)
    logic = driver(add_steps)
    assert events_of(logic.on_batch([(3, 1), (2, 2)])) == [
        ("down", 0, ("value", (2, 2)))
    ]
    assert logic.notify_at() == at(3) + timedelta(days=365_000)
    logic = driver(add_steps, logic.snapshot())
    assert events_of(logic.on_notify())[0] == ("down", 0, ("value", (2, 2), (3, 1)))
    logic.on_eof()
    assert called_clock.calls == [
        ("build", None),
        ("before_batch",),
        ("on_item", (3, 1)),
        ("on_item", (2, 2)),
        ("to_system_utc", at(3)),
        ("build", "state"),
        ("on_notify",),
        ("on_eof",),
    ]


def test_a_clock_of_the_user_runs(run, called_clock, tumbling):
    items = [("a", (15, 5)), ("a", (3, 5)), ("a", (14, 16))]
    out = run(items, window(called_clock, tumbling))
    assert out.late == [("a", (0, (3, 5))), ("a", (1, (14, 16)))]
    assert out.down[-1] == ("a", (1, ("close", (15, 5))))


def test_the_watermark_of_a_clock_must_not_go_back(fail, called_clock, tumbling):
    items = [("a", (9, 5)), ("a", (9, 4))]
    cause = fail(items, lambda up: window(called_clock, tumbling)(up).down)
    assert isinstance(cause, ValueError)
    assert str(cause) == (
        "the watermark in step `flow.step` must not go back; its clock returned "
        "2024-01-01T00:00:04+00:00 after 2024-01-01T00:00:05+00:00"
    )


def test_the_watermark_must_be_an_aware_datetime(fail, tumbling, at):
    class Wrong(win.Clock):
        def build(self, resume_state):
            logic = CalledLogic(at, [], resume_state)
            logic.on_item = lambda value: (at(value), None)
            return logic

    cause = fail([("a", 1)], lambda up: window(Wrong(), tumbling)(up).down)
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "the watermark in step `flow.step` must be an aware `datetime`; "
        "got a `NoneType`"
    )


class PairLogic(win.WindowerLogic):
    """A window for each value; two of them become a third, which is closed by hand."""

    def __init__(self, opened):
        self.opened = opened
        self.to_merge = []
        self.to_close = []

    def open_for(self, _timestamp):
        self.opened += 1
        if self.opened % 2 == 0:
            pair = 100 + self.opened
            self.to_merge = [(self.opened - 1, pair), (self.opened, pair)]
            self.to_close.append(pair)
        return [self.opened]

    def late_for(self, _timestamp):
        return []

    def merged(self):
        merged, self.to_merge = self.to_merge, []
        return merged

    def close_for(self, watermark):
        closed, self.to_close = self.to_close, []
        return [(each, WindowMetadata(watermark, watermark)) for each in closed]

    def notify_at(self):
        return None

    def is_empty(self):
        return False

    def snapshot(self):
        return self.opened


class Pairs(win.Windower):
    def build(self, resume_state):
        return PairLogic(resume_state or 0)


def test_a_windower_of_the_user_may_do_as_it_likes(run, event_clock):
    items = [("a", each) for each in [1, 2, 0, 3]]
    out = run(items, window(event_clock(), Pairs()), batch_size=4)
    assert out.late == []
    assert out.down == [
        ("a", (1, ("value", 1))),
        ("a", (2, ("value", 2))),
        ("a", (102, ("merge", 1))),
        ("a", (102, ("merge", 1, 2))),
        ("a", (3, ("value", 3))),
        ("a", (102, ("close", 1, 2))),
    ]
    assert [window_id for _, (window_id, _) in out.meta] == [102]


@pytest.mark.parametrize("callback", ["merged", "close_for"])
def test_only_open_windows_merge_and_close(fail, event_clock, callback, at):
    class Wrong(win.Windower):
        def build(self, _resume_state):
            logic = PairLogic(0)
            returned = {
                "merged": [(7, 1)],
                "close_for": [(7, WindowMetadata(at(0), at(1)))],
            }[callback]
            setattr(logic, callback, lambda *_: returned)
            return logic

    cause = fail([("a", 1)], lambda up: window(event_clock(), Wrong())(up).down)
    assert isinstance(cause, ValueError)
    assert str(cause) == (
        "the windower of step `flow.step` closed or merged window 7, which isn't open"
    )


@pytest.mark.parametrize("callback", ["on_value", "on_merge", "on_close"])
def test_a_callback_must_return_an_iterable(fail, event_clock, session, callback):
    class Wrong(Log):
        pass

    setattr(Wrong, callback, lambda *_: None)
    getattr(Wrong, callback).__name__ = callback
    add_steps = window(event_clock(wait=60), session, Wrong, ordered=False)
    items = [("a", 20), ("a", 40), ("a", 30)]
    cause = fail(items, lambda up: add_steps(up).down)
    assert isinstance(cause, TypeError)
    assert str(cause).startswith(f"return value of `{callback}` <function '")
    assert str(cause).endswith(
        " in step `flow.step` must be an iterable of values to emit; got a `NoneType`"
    )


@pytest.mark.parametrize("callback", ["on_value", "on_merge", "on_close"])
def test_the_error_of_a_callback_is_the_cause(fail, event_clock, session, callback):
    error = TypeError("mine")

    def failing(*_args):
        raise error
        yield

    class Failing(Log):
        pass

    setattr(Failing, callback, failing)
    add_steps = window(event_clock(wait=60), session, Failing, ordered=False)
    items = [("a", 20), ("a", 40), ("a", 30)]
    assert fail(items, lambda up: add_steps(up).down) is error


def test_the_builder_must_return_a_logic(fail, event_clock, tumbling):
    add_steps = window(event_clock(), tumbling, len)
    cause = fail([("a", 1)], lambda up: add_steps(up).down)
    assert isinstance(cause, TypeError)
    add_steps = window(event_clock(), tumbling, lambda _: 5)
    cause = fail([("a", 1)], lambda up: add_steps(up).down)
    assert str(cause).endswith(
        " in step `flow.step` must be a `WindowLogic`; got an `int`"
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda up, windower: win.window("step", up, windower, windower, Log),
            "`clock` of step `flow.step` must be a `Clock`; got a `TumblingWindower`",
        ),
        (
            lambda up, _: win.collect_window(
                "step", up, win.SystemClock(), timedelta(1)
            ),
            "`windower` of step `flow.step` must be a `Windower`; got a `timedelta`",
        ),
        (
            lambda up, windower: win.join_window("step", None, windower, up),
            "`clock` of step `flow.step` must be a `Clock`; got a `NoneType`",
        ),
    ],
)
def test_the_clock_and_the_windower_are_checked(substep_ids, tumbling, build, message):
    with pytest.raises(TypeError) as raised:
        substep_ids(lambda up: build(up, tumbling))
    assert str(raised.value) == message


def test_state_of_all_windows_and_waiting_values_resumes(driver, event_clock, at):
    windower = win.SlidingWindower(10 * SECOND, 5 * SECOND, at(0))
    add_steps = window(event_clock(wait=5), windower)
    logic = driver(add_steps)
    logic.on_batch([(8, "x"), (3, "x"), (6, "x"), (8, "y")])
    state = stored(logic.snapshot())
    expected = events_of(logic.on_batch([(8, "z"), (2, "x"), (11, "x")]))
    expected += events_of(logic.on_eof())
    resumed = driver(add_steps, state)
    out = events_of(resumed.on_batch([(8, "z"), (2, "x"), (11, "x")]))
    assert out + events_of(resumed.on_eof()) == expected
    assert (
        "down",
        1,
        ("close", (6, "x"), (8, "x"), (8, "y"), (8, "z"), (11, "x")),
    ) in (expected)


def test_a_snapshot_does_not_change_later(driver, event_clock, session):
    logic = driver(window(event_clock(wait=5), session))
    logic.on_batch([1, 7, 9])
    state = logic.snapshot()
    frozen = pickle.dumps(state)
    logic.on_batch([30])
    logic.on_eof()
    assert pickle.dumps(state) == frozen


def test_substeps(substep_ids, event_clock, tumbling):
    assert [
        each
        for each in substep_ids(window(event_clock(), tumbling))
        if each.count(".") == 2
    ] == [
        "flow.step.stateful_batch",
        "flow.step.unwrap_down",
        "flow.step.unwrap_late",
        "flow.step.unwrap_meta",
    ]


@pytest.mark.parametrize("base", [win.ClockLogic, win.WindowerLogic, win.WindowLogic])
def test_a_logic_must_have_the_abstract_methods(base):
    class Half(base):
        pass

    with pytest.raises(TypeError, match="snapshot"):
        Half()


def test_constants():
    assert timedelta(0) == win.ZERO_TD
    assert datetime(1, 1, 1, tzinfo=timezone.utc) == win.UTC_MIN
    assert datetime.max.replace(tzinfo=timezone.utc) == win.UTC_MAX
