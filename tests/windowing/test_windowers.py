import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import millstream.operators.windowing as win
import pytest
from millstream.operators.windowing import WindowMetadata

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001
ALIGN_TO = NAIVE.replace(tzinfo=timezone.utc)
EXTREMES = [win.UTC_MIN, win.UTC_MIN + SECOND, win.UTC_MAX - SECOND, win.UTC_MAX]


def at(second):
    return ALIGN_TO + second * SECOND


def meta(first, last, *merged_ids):
    return WindowMetadata(at(first), at(last), set(merged_ids))


def sliding(length, offset, resume_state=None):
    windower = win.SlidingWindower(length * SECOND, offset * SECOND, ALIGN_TO)
    return windower.build(resume_state)


def sessions(gap, resume_state=None):
    return win.SessionWindower(gap * SECOND).build(resume_state)


def open_all(logic, *seconds):
    """Put values in; return the windows of each, and which merged after it."""
    return [(list(logic.open_for(at(each))), list(logic.merged())) for each in seconds]


def exactly(message):
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (-11, [-4, -3]),
        (-1, [-2, -1]),
        (0, [-1, 0]),
        (4, [-1, 0]),
        (5, [0, 1]),
        (9, [0, 1]),
        (10, [1, 2]),
    ],
)
def test_sliding_windows_around_a_timestamp(second, expected):
    assert list(sliding(10, 5).open_for(at(second))) == expected
    assert list(sliding(10, 5).late_for(at(second))) == expected


def test_sliding_windows_whose_length_is_no_multiple_of_the_offset():
    logic = sliding(10, 4)
    assert [list(logic.late_for(at(each))) for each in (0, 1, 2, 4, 9, 10)] == [
        [-2, -1, 0],
        [-2, -1, 0],
        [-1, 0],
        [-1, 0, 1],
        [0, 1, 2],
        [1, 2],
    ]


@pytest.mark.parametrize(
    ("second", "expected"), [(-10, -1), (-0.000001, -1), (0, 0), (9.999999, 0), (10, 1)]
)
def test_tumbling_windows_around_a_timestamp(second, expected):
    logic = win.TumblingWindower(10 * SECOND, ALIGN_TO).build(None)
    assert list(logic.open_for(at(second))) == [expected]
    assert list(logic.late_for(at(second))) == [expected]


def test_windows_may_be_aligned_in_any_time_zone():
    tokyo = ALIGN_TO.astimezone(ZoneInfo("Asia/Tokyo"))
    logic = win.TumblingWindower(10 * SECOND, tokyo).build(None)
    assert list(logic.open_for(at(12).astimezone(ZoneInfo("America/Lima")))) == [1]
    assert logic.close_for(at(20)) == [(1, meta(10, 20))]


def test_a_window_closes_when_the_watermark_reaches_its_end():
    logic = sliding(10, 5)
    logic.open_for(at(7))
    assert logic.close_for(at(10) - MICROSECOND) == []
    assert logic.notify_at() == at(10)
    assert logic.close_for(at(10)) == [(0, meta(0, 10))]
    assert logic.notify_at() == at(15)
    assert logic.close_for(at(10)) == []
    assert logic.close_for(at(99)) == [(1, meta(5, 15))]
    assert logic.notify_at() is None


def test_windows_close_in_the_order_of_their_opening():
    logic = sliding(10, 10)
    open_all(logic, 25, 5, 15)
    assert [each for each, _ in logic.close_for(at(20))] == [0, 1]
    open_all(logic, 45, 35)
    assert [each for each, _ in logic.close_for(at(99))] == [2, 4, 3]


def test_a_grid_without_windows_is_empty():
    logic = sliding(10, 10)
    assert logic.is_empty()
    logic.open_for(at(1))
    assert not logic.is_empty()
    logic.close_for(at(10))
    assert logic.is_empty()


def test_a_grid_resumes_in_the_order_of_opening():
    logic = sliding(10, 10)
    open_all(logic, 25, 5, 15)
    state = logic.snapshot()
    logic.close_for(at(10))
    open_all(logic, 95)
    resumed = sliding(10, 10, state)
    assert list(resumed.open_for(at(6))) == [0]
    resumed.open_for(at(35))
    assert resumed.notify_at() == at(10)
    assert [each for each, _ in resumed.close_for(at(99))] == [2, 0, 1, 3]


def test_late_values_open_no_window():
    logic = sliding(10, 5)
    logic.late_for(at(1))
    assert logic.notify_at() is None
    assert logic.close_for(win.UTC_MAX) == []


@pytest.mark.parametrize("timestamp", EXTREMES)
def test_a_grid_does_not_overflow(timestamp):
    for length in (SECOND, timedelta(days=365_000), timedelta.max):
        logic = win.SlidingWindower(length, length, ALIGN_TO).build(None)
        (window_id,) = logic.open_for(timestamp)
        assert win.UTC_MIN <= logic.notify_at() <= win.UTC_MAX
        ((closed_id, metadata),) = logic.close_for(win.UTC_MAX)
        assert closed_id == window_id
        assert metadata.open_time <= timestamp <= metadata.close_time


@pytest.mark.parametrize(
    "windower",
    [
        win.TumblingWindower(timedelta(days=365_000), ALIGN_TO),
        win.SessionWindower(timedelta.max),
        win.SessionWindower(timedelta()),
    ],
)
def test_all_windows_close_at_the_end(windower):
    logic = windower.build(None)
    logic.open_for(win.UTC_MAX)
    assert logic.close_for(win.UTC_MAX - MICROSECOND) == []
    ((_, metadata),) = logic.close_for(win.UTC_MAX)
    assert metadata.close_time == win.UTC_MAX


def test_a_value_within_the_gap_belongs_to_the_session():
    logic = sessions(5)
    assert open_all(logic, 10, 15, 20.000001, 10, 5) == [
        ([0], []),
        ([0], []),
        ([1], []),
        ([0], []),
        ([0], []),
    ]
    assert logic.close_for(win.UTC_MAX) == [
        (0, meta(5, 15)),
        (1, meta(20.000001, 20.000001)),
    ]


def test_a_gap_of_nothing_makes_sessions_of_equal_timestamps():
    logic = sessions(0)
    assert open_all(logic, 1, 1, 1.000001) == [([0], []), ([0], []), ([1], [])]


def test_sessions_merge_into_the_one_that_begins_first():
    logic = sessions(5)
    assert open_all(logic, 20, 10, 15) == [([0], []), ([1], []), ([1], [(0, 1)])]
    assert logic.merged() == []
    assert logic.close_for(win.UTC_MAX) == [(1, meta(10, 20, 0))]


def test_merged_ids_are_all_that_ever_merged():
    logic = sessions(5)
    open_all(logic, 30, 20, 10, 25, 15)
    assert logic.close_for(win.UTC_MAX) == [(2, meta(10, 30, 0, 1))]


def test_a_value_inside_a_session_changes_nothing():
    logic = sessions(5)
    open_all(logic, 10, 15, 20)
    assert open_all(logic, 12) == [([0], [])]
    assert logic.close_for(win.UTC_MAX) == [(0, meta(10, 20))]


def test_a_session_closes_when_the_watermark_is_beyond_the_gap():
    logic = sessions(5)
    open_all(logic, 10, 12)
    assert logic.close_for(at(17)) == []
    assert logic.notify_at() == at(17) + MICROSECOND
    assert logic.close_for(at(17) + MICROSECOND) == [(0, meta(10, 12))]
    assert logic.notify_at() is None


def test_sessions_close_in_the_order_of_their_opening():
    logic = sessions(5)
    open_all(logic, 60, 40, 20, 80)
    assert logic.notify_at() == at(25) + MICROSECOND
    closed = logic.close_for(at(70))
    assert closed == [(0, meta(60, 60)), (1, meta(40, 40)), (2, meta(20, 20))]


def test_the_ids_of_sessions_are_not_used_again():
    logic = sessions(5)
    assert logic.is_empty()
    open_all(logic, 10)
    logic.close_for(at(60))
    assert not logic.is_empty()
    assert open_all(sessions(5, logic.snapshot()), 100) == [([1], [])]
    assert open_all(logic, 100) == [([1], [])]


def test_sessions_resume():
    logic = sessions(5)
    open_all(logic, 30, 20, 10, 25)
    state = logic.snapshot()
    open_all(logic, 15, 35)
    logic.close_for(win.UTC_MAX)
    resumed = sessions(5, state)
    assert open_all(resumed, 15) == [([2], [(1, 2)])]
    assert resumed.close_for(win.UTC_MAX) == [(2, meta(10, 30, 0, 1))]


def test_late_values_of_sessions_have_no_session():
    logic = sessions(5)
    assert list(logic.late_for(at(1))) == [win.LATE_SESSION_ID]
    assert win.LATE_SESSION_ID == -1
    assert logic.notify_at() is None


@pytest.mark.parametrize("gap", [timedelta(), SECOND, timedelta.max])
def test_sessions_do_not_overflow(gap):
    logic = win.SessionWindower(gap).build(None)
    for timestamp in EXTREMES:
        logic.open_for(timestamp)
        logic.merged()
        logic.close_for(min(timestamp, win.UTC_MAX - MICROSECOND))
    assert logic.notify_at() == win.UTC_MAX
    last, metadata = list(logic.close_for(win.UTC_MAX))[-1]
    assert metadata.close_time == win.UTC_MAX
    assert last == {timedelta(): 3, SECOND: 1, timedelta.max: 0}[gap]


def test_metadata_has_a_set_of_its_own():
    one = WindowMetadata(ALIGN_TO, ALIGN_TO)
    one.merged_ids.add(1)
    assert WindowMetadata(ALIGN_TO, ALIGN_TO).merged_ids == set()


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: win.TumblingWindower(10, ALIGN_TO),
            TypeError,
            (
                "`length` of a `TumblingWindower` must be a `datetime.timedelta`; "
                "got an `int`"
            ),
        ),
        (
            lambda: win.TumblingWindower(timedelta(), ALIGN_TO),
            ValueError,
            (
                "`length` of a `TumblingWindower` must be positive; "
                "got `datetime.timedelta(0)`"
            ),
        ),
        (
            lambda: win.TumblingWindower(SECOND, NAIVE),
            ValueError,
            (
                "`align_to` of a `TumblingWindower` must be an aware `datetime`; got a "
                "naive one; give it a time zone, for example with "
                "`.replace(tzinfo=timezone.utc)`"
            ),
        ),
        (
            lambda: win.TumblingWindower(SECOND, "2024"),
            TypeError,
            (
                "`align_to` of a `TumblingWindower` must be an aware `datetime`; "
                "got a `str`"
            ),
        ),
        (
            lambda: win.SlidingWindower(-SECOND, SECOND, ALIGN_TO),
            ValueError,
            (
                "`length` of a `SlidingWindower` must be positive; "
                "got `datetime.timedelta(days=-1, seconds=86399)`"
            ),
        ),
        (
            lambda: win.SlidingWindower(SECOND, timedelta(), ALIGN_TO),
            ValueError,
            (
                "`offset` of a `SlidingWindower` must be positive; "
                "got `datetime.timedelta(0)`"
            ),
        ),
        (
            lambda: win.SlidingWindower(SECOND, None, ALIGN_TO),
            TypeError,
            (
                "`offset` of a `SlidingWindower` must be a `datetime.timedelta`; "
                "got a `NoneType`"
            ),
        ),
        (
            lambda: win.SlidingWindower(SECOND, 2 * SECOND, ALIGN_TO),
            ValueError,
            (
                "`offset` of a `SlidingWindower` must not be longer than its `length`, "
                "or values between windows would get lost; got "
                "`datetime.timedelta(seconds=2)`, which is longer than "
                "`datetime.timedelta(seconds=1)`"
            ),
        ),
        (
            lambda: win.SlidingWindower(SECOND, SECOND, NAIVE.date()),
            TypeError,
            (
                "`align_to` of a `SlidingWindower` must be an aware `datetime`; "
                "got a `date`"
            ),
        ),
        (
            lambda: win.SessionWindower(5),
            TypeError,
            "`gap` of a `SessionWindower` must be a `datetime.timedelta`; got an `int`",
        ),
        (
            lambda: win.SessionWindower(-MICROSECOND),
            ValueError,
            (
                "`gap` of a `SessionWindower` must not be negative; "
                f"got `{-MICROSECOND!r}`"
            ),
        ),
    ],
)
def test_a_windower_refuses_wrong_arguments(build, error, message):
    with pytest.raises(error, match=exactly(message)):
        build()


def test_windowers_take_their_arguments_by_position_and_by_name():
    length, offset = 2 * SECOND, SECOND
    assert win.SlidingWindower(length, offset, ALIGN_TO) == win.SlidingWindower(
        length=length, offset=offset, align_to=ALIGN_TO
    )
    assert win.TumblingWindower(length, ALIGN_TO) == win.TumblingWindower(
        length=length, align_to=ALIGN_TO
    )
    assert win.SessionWindower(length) == win.SessionWindower(gap=length)
