"""A process that is asked to stop keeps all it has done."""

from __future__ import annotations

import re
import signal
import time

import pytest
from millstream.recovery import init_db_dir

from tests.counting import expected, written
from tests.processes import started


def wait_for_lines(counting, process):
    """Until the dataflow is in the middle of its work."""
    deadline = time.monotonic() + 30
    while len(written(counting.out)) < 200:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_signal_drains(counting, number, workers):
    slow = {"PAUSE": "0.005", "BATCH": "5"}
    with counting.start("drain", **slow) as process:
        wait_for_lines(counting, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    before = written(counting.out)
    assert 0 < len(before) < len(expected())
    # What was written is all kept: a run that is killed at once cuts nothing off.
    with counting.start("more", **slow) as process:
        process.kill()
    assert written(counting.out) == before
    with counting.start(workers, PAUSE="0", BATCH="50") as process:
        process.communicate(timeout=60)
    assert written(counting.out) == expected()


SLEEPS = """
import time

import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


def sleep(item):
    print(item, flush=True)
    time.sleep(60)


flow = Dataflow("flow")
items = op.input("inp", flow, TestingSource(["asleep"]))
op.output("out", op.map("sleep", items, sleep), StdOutSink())
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_drain_that_takes_too_long_ends(tmp_path, number, code, workers):
    (tmp_path / "flow.py").write_text(SLEEPS)
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 1)
    with started(
        *("-m", "millstream.run", "flow.py", "-r", str(store), "-w", workers),
        *("--drain-timeout", "0.3"),
        folder=tmp_path,
    ) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert err == "millstream: not drained within 0.3 s\n"


@pytest.mark.parametrize("second", [True, False], ids=["second-signal", "too-long"])
def test_drain_of_several_processes_that_is_cut_short_is_told(tmp_path, second):
    (tmp_path / "flow.py").write_text(SLEEPS)
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 1)
    with started(
        *("-m", "millstream.run", "flow.py", "-r", str(store), "-p", "3"),
        *("--drain-timeout", "10" if second else "0.3"),
        folder=tmp_path,
    ) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGTERM)
        if second:
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    if second:
        assert err == "millstream: terminated\n"
    else:
        told = r"(millstream: process \d: not drained within 0\.3 s\n)+"
        assert re.fullmatch(told, err), err


@pytest.mark.parametrize("processes", [(), ("-p", "2")])
def test_terminal_that_is_gone_says_so_twice(tmp_path, processes):
    naps = SLEEPS.replace("sleep(60)", "sleep(0.5)")
    naps = naps.replace('["asleep"]', '["asleep"] * 100, 1')
    (tmp_path / "flow.py").write_text(naps)
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 1)
    command = ("-m", "millstream.run", "flow.py", "-r", str(store), *processes)
    with started(*command, folder=tmp_path) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")


def test_hangup_that_is_used_for_something_else_drains_nothing(tmp_path):
    uses = "import signal\nsignal.signal(signal.SIGHUP, lambda *_: print('again'))\n"
    (tmp_path / "flow.py").write_text(uses + SLEEPS.replace("sleep(60)", "sleep(1)"))
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 1)
    command = ("-m", "millstream.run", "flow.py", "-r", str(store))
    with started(*command, folder=tmp_path) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert "again" in out.splitlines()
