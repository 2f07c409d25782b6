"""Signals are heard while a run waits for its store."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing

import pytest
from millstream.recovery import init_db_dir

from tests.processes import started

FLOW = """
import sys
import time

import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource

flow = Dataflow("flow")
items = op.input("inp", flow, TestingSource([("a", 1), ("b", 2)]))
sums = op.stateful_map("sum", items, lambda s, n: ((s or 0) + n, (s or 0) + n))


def show(item):
    print(item, flush=True)
    time.sleep(0.5)
    return item


shown = op.map("show", sums, show)
op.output("out", op.filter("none", shown, lambda _: False), StdOutSink())
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_second_signal_ends_a_run_that_waits_for_a_locked_store(
    tmp_path, number, code, workers
):
    (tmp_path / "flow.py").write_text(FLOW)
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 1)
    with (
        closing(sqlite3.connect(store / "part-0.sqlite3")) as other,
        started(
            *("-m", "millstream.run", "flow.py", "-r", str(store), "-w", workers),
            folder=tmp_path,
        ) as process,
    ):
        assert process.stdout.readline().startswith("(")
        other.execute("BEGIN IMMEDIATE")
        # By now the workers are done, and the end waits for the store.
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(number)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(number)
        begun = time.monotonic()
        process.communicate(timeout=20)
    assert time.monotonic() - begun < 3
    assert process.returncode == code
