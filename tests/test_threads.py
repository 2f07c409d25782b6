"""What user code keeps for a thread: there as long as the worker is."""

from __future__ import annotations

import contextvars
import threading

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main


@pytest.mark.parametrize("workers", [1, 3])
def test_thread_local_data_stays_from_batch_to_batch(workers):
    kept = threading.local()
    made: list[int] = []

    def connection(item):
        if not hasattr(kept, "connection"):
            kept.connection = object()
            made.append(threading.get_ident())
        return item

    out: list[int] = []
    flow = Dataflow("thread_local")
    stream = op.input("in", flow, TestingSource(range(300), batch_size=1))
    stream = op.redistribute("spread", stream)
    stream = op.map("connect", stream, connection)
    op.output("out", stream, TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert sorted(out) == list(range(300))
    assert len(made) == len(set(made)) == workers


@pytest.mark.parametrize("workers", [1, 2])
def test_context_variables_stay_from_batch_to_batch(workers):
    seen = contextvars.ContextVar("seen", default=0)

    def count(item):
        seen.set(seen.get() + 1)
        return (threading.get_ident(), seen.get())

    out: list[tuple[int, int]] = []
    flow = Dataflow("context_variables")
    stream = op.input("in", flow, TestingSource(range(100), batch_size=1))
    stream = op.redistribute("spread", stream)
    stream = op.map("count", stream, count)
    op.output("out", stream, TestingSink(out))
    context = contextvars.copy_context()
    context.run(cluster_main, flow, [], 0, worker_count_per_proc=workers)
    of_thread: dict[int, list[int]] = {}
    for thread, number in out:
        of_thread.setdefault(thread, []).append(number)
    assert len(of_thread) == workers
    for numbers in of_thread.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
