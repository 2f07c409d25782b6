import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import chain

import millstream.operators as op
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.inputs import (
    AbortExecution,
    StatelessSourcePartition,
)
from millstream.testing import (
    TestingSink,
    TestingSource,
    TimeTestingGetter,
    ffwd_iter,
    poll_next_batch,
    run_main,
)

HOUR = timedelta(hours=1)


def build(source, resume_state=None):
    return source.build_part("flow.inp", "iterable", resume_state)


def batches(part):
    """All batches up to the end, or up to an abort, which is then the last one."""
    found = []
    try:
        while True:
            found.append(part.next_batch())
    except StopIteration:
        return found
    except AbortExecution:
        return [*found, AbortExecution]


def test_source_has_one_partition():
    assert TestingSource([]).list_parts() == ["iterable"]


def test_source_emits_one_item_at_a_time():
    assert batches(build(TestingSource([1, 2, 3]))) == [[1], [2], [3]]


def test_source_emits_batches_and_what_is_left():
    assert batches(build(TestingSource(range(5), batch_size=2))) == [
        [0, 1],
        [2, 3],
        [4],
    ]


@pytest.mark.parametrize("ib", [(1, 2), {1: "a", 2: "b"}, iter([1, 2]), range(1, 3)])
def test_source_takes_any_iterable(ib):
    assert batches(build(TestingSource(ib))) == [[1], [2]]


def test_source_takes_no_more_from_an_iterator_than_it_emits():
    items = iter(range(5))
    build(TestingSource(items, batch_size=2)).next_batch()
    assert list(items) == [2, 3, 4]


@pytest.mark.parametrize("batch_size", [0, -1])
def test_source_refuses_a_batch_size_below_one(batch_size):
    message = f"`batch_size` must be at least 1, but it is {batch_size}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TestingSource([], batch_size)


def test_sentinel_ends_its_batch():
    items = [1, 2, TestingSource.PAUSE(timedelta()), 3, TestingSource.EOF(), 4]
    assert batches(build(TestingSource(items, batch_size=10))) == [[1, 2], [3]]


def test_eof_is_passed_by_the_next_execution():
    source = TestingSource([1, TestingSource.EOF(), 2, TestingSource.EOF()])
    first = build(source)
    assert batches(first) == [[1], []]
    second = build(source, first.snapshot())
    assert batches(second) == [[2], []]
    assert batches(build(source, second.snapshot())) == []


def test_eof_is_not_passed_before_it_is_reported():
    source = TestingSource([1, TestingSource.EOF(), 2], batch_size=2)
    part = build(source)
    assert part.next_batch() == [1]
    assert batches(build(source, part.snapshot())) == [[]]


def test_abort_fires_once():
    source = TestingSource([1, TestingSource.ABORT(), 2], batch_size=3)
    assert batches(build(source)) == [[1], AbortExecution]
    assert batches(build(source)) == [[1, 2]]


def test_pause_sets_the_time_of_the_next_batch_only():
    part = build(TestingSource([1, TestingSource.PAUSE(HOUR), 2], batch_size=2))
    assert part.next_awake() is None
    before = datetime.now(timezone.utc)
    assert part.next_batch() == [1]
    assert before + HOUR <= part.next_awake() <= datetime.now(timezone.utc) + HOUR
    assert part.next_batch() == [2]
    assert part.next_awake() is None


def test_resume_index_counts_every_element():
    fired = TestingSource.ABORT()
    items = [1, TestingSource.PAUSE(timedelta()), 2, fired, 3, TestingSource.EOF(), 4]
    batches(build(TestingSource([fired])))
    part = build(TestingSource(items))
    indexes = [part.snapshot()]
    for _ in range(5):
        part.next_batch()
        indexes.append(part.snapshot())
    with pytest.raises(StopIteration):
        part.next_batch()
    indexes.append(part.snapshot())
    # `1`, then the pause, `2`, the abort that is over and `3`, the end, twice: once
    # when it is met, and once when it is reported.
    assert indexes == [0, 1, 2, 3, 5, 5, 6]


@given(
    kinds=st.lists(st.sampled_from(["item", "pause", "fired", "eof"]), max_size=12),
    batch_size=st.integers(1, 4),
    taken=st.integers(0, 12),
)
def test_resume_emits_what_is_left(kinds, batch_size, taken):
    make = {
        "pause": lambda: TestingSource.PAUSE(timedelta()),
        "fired": lambda: TestingSource.ABORT(_triggered=True),
        "eof": TestingSource.EOF,
    }
    elements = [
        index if kind == "item" else make[kind]() for index, kind in enumerate(kinds)
    ]
    source = TestingSource(elements, batch_size)
    seen = []
    part = build(source)
    with suppress(StopIteration):
        for _ in range(taken):
            seen += part.next_batch()
    for _ in range(1 + kinds.count("eof")):
        part = build(source, part.snapshot())
        seen += chain.from_iterable(batches(part))
    assert seen == [index for index, kind in enumerate(kinds) if kind == "item"]


def test_eof_ends_a_dataflow(entry_point):
    out = []
    flow = Dataflow("ends")
    items = [1, 2, TestingSource.EOF(), 3]
    s = op.input("inp", flow, TestingSource(items))
    op.output("out", s, TestingSink(out))
    entry_point(flow)
    assert out == [1, 2]


def test_abort_stops_a_dataflow_once(entry_point):
    out = []
    flow = Dataflow("aborts")
    s = op.input("inp", flow, TestingSource([1, TestingSource.ABORT(), 2]))
    op.output("out", s, TestingSink(out))
    entry_point(flow)
    # What is in flight is dropped.
    assert out in ([], [1])
    out.clear()
    entry_point(flow)
    assert out == [1, 2]


def test_items_before_an_abort_arrive_with_one_worker():
    out = []
    flow = Dataflow("aborts")
    s = op.input("inp", flow, TestingSource([1, TestingSource.ABORT(), 2]))
    op.output("out", s, TestingSink(out))
    run_main(flow)
    assert out == [1]


def test_pause_holds_back_its_own_source_only(entry_point):
    out = []
    flow = Dataflow("pauses")
    pause = TestingSource.PAUSE(timedelta(milliseconds=50))
    slow = op.input("slow", flow, TestingSource([1, pause, 2]))
    fast = op.input("fast", flow, TestingSource(["a", "b"]))
    op.output("out", op.merge("merge", slow, fast), TestingSink(out))
    entry_point(flow)
    assert sorted(out, key=str) == [1, 2, "a", "b"]
    assert out.index(1) < out.index(2)


def test_clock_advances_only_when_told():
    clock = TimeTestingGetter(datetime(2024, 1, 1, tzinfo=timezone.utc))
    assert clock.get() == datetime(2024, 1, 1, tzinfo=timezone.utc)
    clock.advance(HOUR)
    assert clock.get() == datetime(2024, 1, 1, 1, tzinfo=timezone.utc)
    assert clock.now == clock.get()


@pytest.mark.parametrize(("n", "rest"), [(0, [0, 1, 2]), (2, [2]), (3, []), (4, [])])
def test_ffwd_iter(n, rest):
    items = iter(range(3))
    ffwd_iter(items, n)
    assert list(items) == rest


class ScriptedPartition(StatelessSourcePartition):
    """Gives one batch of the script after another, then empty ones."""

    def __init__(self, script, delay=None):
        self.script = iter(script)
        self.delay = delay
        self.awake_at = None
        self.calls = 0

    def next_batch(self):
        self.calls += 1
        if self.awake_at is not None:
            assert datetime.now(timezone.utc) >= self.awake_at
        return next(self.script, [])

    def next_awake(self):
        if self.delay is not None:
            self.awake_at = datetime.now(timezone.utc) + self.delay
        return self.awake_at


def test_poll_passes_over_empty_batches():
    part = ScriptedPartition([[], [], [1, 2], [3]])
    assert poll_next_batch(part) == [1, 2]
    assert part.calls == 3


def test_poll_takes_any_iterable():
    assert poll_next_batch(ScriptedPartition([(), iter([1])])) == [1]


def test_poll_waits_for_next_awake():
    part = ScriptedPartition([[], [1]], delay=timedelta(milliseconds=5))
    assert poll_next_batch(part) == [1]


def test_poll_gives_up_without_spinning():
    part = ScriptedPartition([])
    message = "the partition had no items within 0.02 seconds"
    with pytest.raises(TimeoutError, match=f"^{re.escape(message)}$"):
        poll_next_batch(part, timedelta(milliseconds=20))
    assert 1 <= part.calls <= 21


def test_poll_does_not_wait_for_what_is_too_late():
    part = ScriptedPartition([[1]], delay=HOUR)
    with pytest.raises(TimeoutError):
        poll_next_batch(part, timedelta(minutes=30))
    assert part.calls == 0


def test_poll_asks_once_even_without_time():
    assert poll_next_batch(ScriptedPartition([[1]]), timedelta()) == [1]


def test_poll_passes_the_end_on():
    part = build(TestingSource([1]))
    assert poll_next_batch(part) == [1]
    with pytest.raises(StopIteration):
        poll_next_batch(part)
