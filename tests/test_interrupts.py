"""Ctrl-C while a dataflow runs that a script has started."""

from __future__ import annotations

import signal
import textwrap
import time
from datetime import timedelta

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main

from tests.processes import started

QUICK = 8
"""A few seconds, since machines may be busy; each flow would run for longer."""

SCRIPT = """
import itertools
import time
from datetime import timedelta

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.operators import StatefulBatchLogic
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main

is_ready = False

def ready():
    global is_ready
    if not is_ready:
        is_ready = True
        print("ready", flush=True)

{steps}

{entry_point}
"""

ENTRY_POINTS = {
    "run_main": "run_main(flow)",
    "cluster-1": "cluster_main(flow, [], 0)",
    "cluster-2": "cluster_main(flow, [], 0, worker_count_per_proc=2)",
}

STEPS = {
    "items without end": """
        def seen(number):
            ready()
            return number

        flow = Dataflow("endless")
        numbers = op.input("numbers", flow, TestingSource(itertools.count()))
        op.output("out", op.map("seen", numbers, seen), TestingSink([]))
    """,
    "nothing to do": """
        class Nothing(TestingSource):
            def build_part(self, *args):
                ready()
                return super().build_part(*args)

        pauses = [TestingSource.PAUSE(timedelta(hours=1))]
        flow = Dataflow("idle")
        op.output("out", op.input("numbers", flow, Nothing(pauses)), TestingSink([]))
    """,
    "the end of many keys": """
        class Slow(StatefulBatchLogic):
            def on_batch(self, values):
                return [], StatefulBatchLogic.RETAIN

            def on_eof(self):
                ready()
                time.sleep(0.02)
                return [], StatefulBatchLogic.DISCARD

            def snapshot(self):
                return None

        flow = Dataflow("slow_end")
        source = TestingSource([(str(key), None) for key in range(1000)], 1000)
        items = op.input("items", flow, source)
        slow = op.stateful_batch("slow", items, lambda _resume_state: Slow())
        op.output("out", slow, TestingSink([]))
    """,
    "a long batch": """
        def count(xs):
            ready()
            number = 0
            while number >= 0:
                number += 1
            return xs

        flow = Dataflow("long_batch")
        numbers = op.input("numbers", flow, TestingSource([1]))
        op.output("out", op.flat_map_batch("count", numbers, count), TestingSink([]))
    """,
    "a batch of many items": """
        def count(x):
            ready()
            return sum(range(x))

        flow = Dataflow("large_batch")
        numbers = op.input("numbers", flow, TestingSource([10_000] * 200_000, 200_000))
        op.output("out", op.map("count", numbers, count), TestingSink([]))
    """,
}


@pytest.mark.parametrize("entry_point", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_interrupt(tmp_path, steps, entry_point):
    script = SCRIPT.format(steps=textwrap.dedent(steps), entry_point=entry_point)
    (tmp_path / "script.py").write_text(script, "utf-8")
    with started("script.py", folder=tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=QUICK)
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("\nKeyboardInterrupt\n")
    assert err.count("Traceback") == 1
    # What an uncaught `KeyboardInterrupt` makes of a Python process.
    assert process.returncode == -signal.SIGINT


TIDY = """
import time
from datetime import datetime, timedelta, timezone

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.inputs import DynamicSource, StatelessSourcePartition
from millstream.testing import TestingSink, cluster_main

class Idle(StatelessSourcePartition):
    def __init__(self, worker):
        self.worker = worker

    def next_batch(self):
        raise AssertionError("it is never asked")

    def next_awake(self):
        return datetime.now(timezone.utc) + timedelta(hours=1)

    def close(self):
        print("closing", self.worker, flush=True)
        until = time.monotonic() + {seconds}
        while time.monotonic() < until:
            pass
        print("closed", self.worker, flush=True)

class Source(DynamicSource):
    def build(self, step_id, worker, workers):
        print("built", worker, flush=True)
        return Idle(worker)

flow = Dataflow("idle")
op.output("out", op.input("numbers", flow, Source()), TestingSink([]))
cluster_main(flow, [], 0, worker_count_per_proc={workers})
"""


def said_by_each(process, what, workers):
    """Wait until every worker has said something."""
    lines = {process.stdout.readline() for _ in range(workers)}
    assert lines == {f"{what} {worker}\n" for worker in range(workers)}


@pytest.mark.parametrize("workers", [1, 2])
def test_who_tidies_up_is_not_interrupted(tmp_path, workers):
    script = TIDY.format(workers=workers, seconds=0.3)
    (tmp_path / "script.py").write_text(script, "utf-8")
    with started("script.py", folder=tmp_path) as process:
        said_by_each(process, "built", workers)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=QUICK)
    closed = [line for line in out.splitlines() if line.startswith("closed")]
    assert sorted(closed) == [f"closed {worker}" for worker in range(workers)]
    assert err.endswith("\nKeyboardInterrupt\n")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("workers", [1, 2])
def test_second_interrupt_ends_who_tidies_up(tmp_path, workers):
    script = TIDY.format(workers=workers, seconds=60)
    (tmp_path / "script.py").write_text(script, "utf-8")
    with started("script.py", folder=tmp_path) as process:
        said_by_each(process, "built", workers)
        process.send_signal(signal.SIGINT)
        said_by_each(process, "closing", workers)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=QUICK)
    assert "closed" not in out
    assert err.endswith("\nKeyboardInterrupt\n")
    assert process.returncode == -signal.SIGINT


BUSY = """
import itertools

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main

class Source(TestingSource):
    def list_parts(self):
        return [str(number) for number in range(4)]

flow = Dataflow("busy")
numbers = op.input("numbers", flow, Source(itertools.count(), batch_size=10))
numbers = op.map("negate", op.redistribute("spread", numbers), lambda x: -x)
print("ready", flush=True)
op.output("out", op.filter("none", numbers, bool), TestingSink([]))
cluster_main(flow, [], 0, worker_count_per_proc=4)
"""


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.01, 0.02])
def test_interrupts_of_busy_workers_never_hang(tmp_path, pause):
    (tmp_path / "script.py").write_text(BUSY, "utf-8")
    for _ in range(3):
        with started("script.py", folder=tmp_path) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=QUICK)
        assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("workers", [1, 3])
def test_what_a_signal_handler_raises_is_raised(workers):
    class OwnError(Exception):
        pass

    def handler(_number, _frame):
        raise OwnError

    flow = Dataflow("flow")
    pause = TestingSource.PAUSE(timedelta(seconds=30))
    numbers = op.input("inp", flow, TestingSource([1, pause, 2]))
    op.output("out", numbers, TestingSink([]))
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(OwnError):
            cluster_main(flow, [], 0, worker_count_per_proc=workers)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
