import pickle
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import pytest
from millstream.connectors.demo import RandomMetricSource
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink

HOUR = timedelta(hours=1)


def build(source, resume_state=None):
    return source.build_part("flow.inp", source.list_parts()[0], resume_state)


def test_partition_is_named_after_the_metric():
    assert RandomMetricSource("volts").list_parts() == ["volts"]


def test_emits_values_under_the_name():
    values = iter([3, 1])
    part = build(RandomMetricSource("volts", next_random=lambda: next(values)))
    assert [part.next_batch(), part.next_batch()] == [[("volts", 3)], [("volts", 1)]]


def test_default_values_are_digits():
    part = build(RandomMetricSource("volts", timedelta()))
    values = {part.next_batch()[0][1] for _ in range(200)}
    assert values <= set(range(10))
    assert len(values) > 1


def test_first_value_is_due_at_once_and_the_others_at_the_interval():
    before = datetime.now(timezone.utc)
    part = build(RandomMetricSource("volts", HOUR))
    first = part.next_awake()
    assert before <= first <= datetime.now(timezone.utc)
    part.next_batch()
    assert part.next_awake() == first + HOUR


def test_ends_after_the_count_without_waiting():
    part = build(RandomMetricSource("volts", HOUR, count=2))
    part.next_batch()
    part.next_batch()
    assert part.next_awake() is None
    with pytest.raises(StopIteration):
        part.next_batch()


def test_no_count_no_values():
    with pytest.raises(StopIteration):
        build(RandomMetricSource("volts", count=0)).next_batch()


def test_resumes_with_what_is_left_of_the_count():
    source = RandomMetricSource("volts", timedelta(), count=3)
    part = build(source)
    part.next_batch()
    state = part.snapshot()
    part.next_batch()
    resumed = build(source, pickle.loads(pickle.dumps(state)))  # noqa: S301
    resumed.next_batch()
    resumed.next_batch()
    with pytest.raises(StopIteration):
        resumed.next_batch()


def test_end_to_end(entry_point):
    out = []
    flow = Dataflow("metrics")
    source = RandomMetricSource("volts", timedelta(), 3, lambda: 230)
    op.output("out", op.input("inp", flow, source), TestingSink(out))
    entry_point(flow)
    assert out == [("volts", 230)] * 3
