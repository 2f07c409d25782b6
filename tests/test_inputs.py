import asyncio
import itertools
import queue
import re
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.inputs import (
    DynamicSource,
    FixedPartitionedSource,
    SimplePollingSource,
    StatefulSourcePartition,
    StatelessSourcePartition,
    batch,
    batch_async,
    batch_getter,
    batch_getter_ex,
)
from millstream.testing import TestingSink, poll_next_batch

HOUR = timedelta(hours=1)
MIDNIGHT = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "cls",
    [
        DynamicSource,
        FixedPartitionedSource,
        SimplePollingSource,
        StatefulSourcePartition,
        StatelessSourcePartition,
    ],
)
def test_what_must_be_defined_is_abstract(cls):
    with pytest.raises(TypeError, match="abstract"):
        cls()


def test_partitions_need_no_waiting_or_closing_by_default():
    class Nothing(StatelessSourcePartition):
        def next_batch(self):
            return []

    assert Nothing().next_awake() is None
    assert Nothing().close() is None


class Poll(SimplePollingSource):
    """Asks a function for items, and counts them as its state."""

    def __init__(self, getter, interval=HOUR, align_to=None):
        super().__init__(interval, align_to)
        self.getter = getter
        self.resumed_from = []

    def next_item(self):
        return self.getter()

    def resume(self, resume_state):
        self.resumed_from.append(resume_state)


def build(source, resume_state=None):
    return source.build_part("flow.inp", "singleton", resume_state)


def now():
    return datetime.now(timezone.utc)


def test_polling_has_one_partition():
    assert Poll(None).list_parts() == ["singleton"]


def test_polling_begins_now_unless_aligned():
    before = now()
    part = build(Poll(None))
    assert before <= part.next_awake() <= now()


@pytest.mark.parametrize(
    "align_to",
    [
        MIDNIGHT,
        MIDNIGHT + timedelta(days=36500),
        MIDNIGHT.astimezone(timezone(timedelta(hours=-3))),
    ],
)
def test_polling_begins_at_the_next_aligned_time(align_to):
    before = now()
    awake_at = build(Poll(None, align_to=align_to)).next_awake()
    assert before <= awake_at < now() + HOUR
    assert (awake_at - MIDNIGHT) % HOUR == timedelta()


def test_polling_begins_at_once_if_the_aligned_time_is_now(monkeypatch):
    monkeypatch.setattr("millstream.inputs._now", lambda: MIDNIGHT + 7 * HOUR)
    part = build(Poll(None, align_to=MIDNIGHT))
    assert part.next_awake() == MIDNIGHT + 7 * HOUR


def test_polling_continues_at_the_interval(monkeypatch):
    time = MIDNIGHT
    monkeypatch.setattr("millstream.inputs._now", lambda: time)
    part = build(Poll(lambda: "x"))
    times = []
    for _ in range(3):
        # The engine is a little late, but that doesn't add up.
        time = part.next_awake() + timedelta(minutes=5)
        assert part.next_batch() == ["x"]
        times.append(part.next_awake())
    assert times == [MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR]


def test_polling_skips_the_times_that_a_slow_getter_missed(monkeypatch):
    time = MIDNIGHT

    def slow():
        nonlocal time
        time += timedelta(hours=3, minutes=30)
        return "x"

    monkeypatch.setattr("millstream.inputs._now", lambda: time)
    part = build(Poll(slow))
    assert part.next_batch() == ["x"]
    assert part.next_awake() == MIDNIGHT + 4 * HOUR


def test_polling_without_an_item_waits_too():
    part = build(Poll(lambda: None))
    first = part.next_awake()
    assert part.next_batch() == []
    assert part.next_awake() == first + HOUR


@pytest.mark.parametrize("item", [0, "", [], False])
def test_polling_emits_what_is_false(item):
    assert build(Poll(lambda: item)).next_batch() == [item]


def test_polling_retries_outside_the_grid_and_returns_to_it(monkeypatch):
    time = MIDNIGHT
    monkeypatch.setattr("millstream.inputs._now", lambda: time)
    answers = iter([SimplePollingSource.Retry(timedelta(minutes=1)), "x"])

    def flaky():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    part = build(Poll(flaky))
    assert part.next_batch() == []
    assert part.next_awake() == MIDNIGHT + timedelta(minutes=1)
    time = part.next_awake()
    assert part.next_batch() == ["x"]
    assert part.next_awake() == MIDNIGHT + HOUR


def test_polling_ends_with_stop_iteration():
    part = build(Poll(lambda: next(iter([]))))
    with pytest.raises(StopIteration):
        part.next_batch()


def test_polling_without_interval_asks_again_at_once():
    numbers = itertools.count()
    part = build(Poll(lambda: next(numbers), timedelta()))
    assert part.next_awake() is None
    assert [part.next_batch(), part.next_batch()] == [[0], [1]]
    assert part.next_awake() is None


def test_polling_resumes_only_from_a_state():
    source = Poll(None)
    build(source)
    assert source.resumed_from == []
    build(source, 0)
    assert source.resumed_from == [0]


def test_polling_keeps_no_state_unless_told():
    assert build(Poll(None)).snapshot() is None


def test_polling_snapshots_through_the_source():
    class WithState(Poll):
        def snapshot(self):
            return "state"

    assert build(WithState(None)).snapshot() == "state"


def test_polling_refuses_a_negative_interval():
    message = (
        "`interval` must not be negative, "
        "but it is `datetime.timedelta(days=-1, seconds=86399)`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Poll(None, timedelta(seconds=-1))


def test_polling_refuses_a_naive_align_to():
    message = (
        "`align_to` must have a timezone, but it is `datetime.datetime(2024, 1, 1, "
        "0, 0)`; add `tzinfo=timezone.utc` if it is meant in UTC"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Poll(None, align_to=MIDNIGHT.replace(tzinfo=None))


def test_polling_end_to_end(entry_point):
    answers = iter([1, None, SimplePollingSource.Retry(timedelta(milliseconds=1)), 2])

    def getter():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    out = []
    flow = Dataflow("polling")
    s = op.input("inp", flow, Poll(getter, timedelta(milliseconds=1)))
    op.output("out", s, TestingSink(out))
    entry_point(flow)
    assert out == [1, 2]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], []),
        ([1, 2], [[1, 2]]),
        (range(5), [[0, 1], [2, 3], [4]]),
        (iter("abc"), [["a", "b"], ["c"]]),
    ],
)
def test_batch(items, expected):
    assert list(batch(items, 2)) == expected


def test_batch_takes_no_more_than_it_needs():
    items = iter(range(5))
    assert next(batch(items, 2)) == [0, 1]
    assert next(items) == 2


def getter_of(answers):
    answers = iter(answers)

    def getter():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return getter


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], []),
        ([1, 2, 3], [[1, 2], [3]]),
        ([1, None, 2, 3], [[1], [2, 3]]),
        ([None, None], [[], []]),
        ([0, "", None], [[0, ""], []]),
    ],
)
def test_batch_getter(answers, expected):
    assert list(batch_getter(getter_of(answers), 2)) == expected


def test_batch_getter_yields_on_a_value_equal_to_the_one_given():
    answers = [1, float("3"), None, 2]
    assert list(batch_getter(getter_of(answers), 10, yield_on=3)) == [[1], [None, 2]]


def test_batch_getter_does_not_compare_items_with_none():
    class Array:
        def __eq__(self, other):
            msg = "the truth value of an array is ambiguous"
            raise ValueError(msg)

        __hash__ = None

    array = Array()
    (found,) = batch_getter(getter_of([array]), 1)
    assert found[0] is array


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], []),
        ([1, 2, 3], [[1, 2], [3]]),
        ([1, queue.Empty(), 2], [[1], [2]]),
        ([queue.Empty(), None], [[], [None]]),
    ],
)
def test_batch_getter_ex(answers, expected):
    assert list(batch_getter_ex(getter_of(answers), 2)) == expected


def test_batch_getter_ex_yields_on_the_exception_given():
    answers = [1, KeyError(), 2]
    assert list(batch_getter_ex(getter_of(answers), 9, LookupError)) == [[1], [2]]


def test_batch_getter_ex_ends_even_if_every_exception_is_yielded_on():
    assert list(batch_getter_ex(getter_of([1]), 9, Exception)) == [[1]]


def test_batch_getter_ex_passes_other_exceptions_on():
    batches = batch_getter_ex(getter_of([ZeroDivisionError()]), 2)
    with pytest.raises(ZeroDivisionError):
        next(batches)


async def numbers(count):
    for number in range(count):
        yield number


LONG = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, [[0, 1]]), (5, [[0, 1], [2, 3], [4]])]
)
def test_batch_async(count, expected):
    assert list(batch_async(numbers(count), LONG, 2)) == expected


def test_batch_async_keeps_what_is_still_awaited():
    async def waits():
        yield 1
        await gate.wait()
        yield 2

    gate = asyncio.Event()
    batches = batch_async(waits(), timedelta(milliseconds=5), 10)
    assert next(batches) == [1]
    assert next(batches) == []
    gate.set()
    assert next(batches) == [2]
    assert list(batches) == []


def test_batch_async_passes_exceptions_on():
    async def fails():
        yield 1
        raise ZeroDivisionError

    batches = batch_async(fails(), LONG, 1)
    assert next(batches) == [1]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_batch_async_stops_the_iterable_when_closed():
    events = []

    async def waits():
        try:
            yield 1
            await asyncio.sleep(3600)
        finally:
            events.append("cleaned up")

    batches = batch_async(waits(), timedelta(milliseconds=1), 1)
    assert next(batches) == [1]
    assert next(batches) == []
    batches.close()
    assert events == ["cleaned up"]


def test_batch_async_leaves_a_given_loop_open():
    loop = asyncio.new_event_loop()
    try:
        assert list(batch_async(numbers(3), LONG, 2, loop)) == [[0, 1], [2]]
        assert not loop.is_closed()
    finally:
        loop.close()


def test_batch_async_refuses_what_is_not_asynchronous():
    with pytest.raises(TypeError):
        next(batch_async([1, 2], LONG, 2))


class AsyncPartition(StatelessSourcePartition):
    def __init__(self):
        self.batches = batch_async(numbers(5), LONG, 2)

    def next_batch(self):
        return next(self.batches)


class AsyncSource(DynamicSource):
    def build(self, step_id, worker_index, worker_count):  # noqa: ARG002
        return AsyncPartition()


def test_batch_async_fits_next_batch():
    part = AsyncPartition()
    assert [poll_next_batch(part) for _ in range(3)] == [[0, 1], [2, 3], [4]]
    with pytest.raises(StopIteration):
        poll_next_batch(part)


def test_batch_async_end_to_end(entry_point):
    out = []
    flow = Dataflow("asynchronous")
    op.output("out", op.input("inp", flow, AsyncSource()), TestingSink(out))
    entry_point(flow)
    # Each worker has a source of its own.
    assert sorted(out) == sorted([*range(5)] * (len(out) // 5))
    assert len(out) >= 5
