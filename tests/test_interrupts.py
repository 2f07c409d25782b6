"""Ctrl-C while a dataflow runs that a script has started."""

from __future__ import annotations

import signal
import textwrap
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
import itertools
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
        until = time.monotonic() + 0.3
        steps = 0
        while time.monotonic() < until:
            steps += 1
        print("closed", self.worker, flush=True)

class Source(DynamicSource):
    def build(self, step_id, worker, workers):
        print("built", worker, flush=True)
        return Idle(worker)

flow = Dataflow("idle")
op.output("out", op.input("numbers", flow, Source()), TestingSink([]))
cluster_main(flow, [], 0, worker_count_per_proc={workers})
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_who_tidies_up_is_not_interrupted(tmp_path, workers):
    (tmp_path / "script.py").write_text(TIDY.format(workers=workers), "utf-8")
    with started("script.py", folder=tmp_path) as process:
        built = {process.stdout.readline() for _ in range(workers)}
        assert built == {f"built {worker}\n" for worker in range(workers)}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=QUICK)
    assert set(out.splitlines()) == {f"closed {worker}" for worker in range(workers)}
    assert err.endswith("\nKeyboardInterrupt\n")
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
