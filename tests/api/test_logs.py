"""What is logged, and what is never shown."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from millstream.recovery import init_db_dir

from tests.api.conftest import EVEN, FLOW, ITEMS
from tests.processes import TIMEOUT, finished

SECRET = "hunter2-canary"  # noqa: S105 # What must not be seen.


def run_to_its_end(tmp_path, *options, **variables):
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "go").touch()
    command = ("-m", "millstream.run", "flow.py", *options)
    code, out, err = finished(*command, folder=tmp_path, **variables)
    assert (code, out) == (0, "")
    return err


def messages(err):
    return [json.loads(line)["message"] for line in err.splitlines()]


def test_nothing_is_logged_unless_asked_for(tmp_path):
    assert run_to_its_end(tmp_path) == ""


def test_events_are_lines(tmp_path):
    err = run_to_its_end(tmp_path, "--log-level", "info", "-w", "2")
    lines = err.splitlines()
    assert len(lines) == 2
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
    assert re.fullmatch(rf"{moment} INFO started, with 2 workers", lines[0])
    assert re.fullmatch(rf"{moment} INFO finished: all sources have ended", lines[1])


def test_level_hides_what_is_below(tmp_path):
    assert run_to_its_end(tmp_path, MILLSTREAM_LOG_LEVEL="WARNING") == ""


def test_events_are_json(tmp_path):
    err = run_to_its_end(tmp_path, "--log-json")
    first = json.loads(err.splitlines()[0])
    assert first.pop("time")
    assert first == {
        "level": "INFO",
        "logger": "millstream",
        "message": "started, with 1 worker",
    }


FAILS = """
import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource

flow = Dataflow("flow")
up = op.input("inp", flow, TestingSource([1, 0]))
op.output("out", op.map("divide", up, lambda x: 1 / x), TestingSink([]))
"""


def ends_badly(tmp_path, *options, code, flow=FAILS):
    """What a run logs that fails, line by line."""
    (tmp_path / "flow.py").write_text(flow)
    command = ("-m", "millstream.run", "flow.py", "--log-json", *options)
    ended, out, err = finished(*command, folder=tmp_path)
    assert (ended, out) == (code, "")
    return [json.loads(line) for line in err.splitlines()]


SILENCED = """
import logging.config

logging.config.dictConfig({"version": 1})
logging.disable(logging.CRITICAL)
logging.getLogger("millstream").setLevel(100)
"""


@pytest.mark.parametrize("before", ["", SILENCED])
@pytest.mark.parametrize("level", [(), ("--log-level", "critical")])
def test_failure_is_json_with_its_traceback(tmp_path, level, before):
    *_, last = ends_badly(tmp_path, *level, code=70, flow=before + FAILS)
    assert last["level"] == "CRITICAL"
    expected = "step `flow.divide` failed while calling `mapper`"
    assert last["message"].partition(": ")[2].startswith(expected)
    trace = last["exception"].splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert "ZeroDivisionError: division by zero" in trace
    assert not any("millstream/_exit.py" in line for line in trace)


@pytest.mark.parametrize(
    ("options", "flow", "code", "expected"),
    [
        (("-r", "nowhere"), FAILS, 76, "The recovery directory `nowhere` does not"),
        (("-i0", "-a", "192.0.2.1:1;a:1"), FAILS, 64, "the address `192.0.2.1:1` can"),
        ((), "flow = 1", 64, "`flow:flow` is not a `Dataflow` but an `int`"),
    ],
)
def test_what_ends_a_run_is_json(tmp_path, options, flow, code, expected):
    (entry,) = ends_badly(tmp_path, *options, code=code, flow=flow)
    assert entry["level"] == "CRITICAL"
    assert entry["message"].startswith(expected)
    assert "exception" not in entry


def test_option_holds_whatever_the_flow_does_to_logging(tmp_path):
    loggers = 'import logging.config\nlogging.config.dictConfig({"version": 1})\n'
    entries = ends_badly(tmp_path, code=70, flow=loggers + FAILS)
    assert "started, with 1 worker" in [entry["message"] for entry in entries]


def test_each_line_of_several_processes_is_json(tmp_path):
    entries = ends_badly(tmp_path, "-p", "2", code=70)
    (failure,) = (entry for entry in entries if entry["level"] == "CRITICAL")
    assert "ZeroDivisionError" in failure["exception"]


@pytest.mark.parametrize("level", ["info", "critical"])
@pytest.mark.parametrize("processes", [(), ("-p", "2")])
def test_interrupt_is_json(run, level, processes):
    options = ("--log-json", "--log-level", level, *processes)
    with run(*options, "--api", "{port}") as running:
        running.until(lambda: running.ready()[0] == 200)
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=TIMEOUT)
    assert running.process.returncode == 130
    last = json.loads(err.splitlines()[-1])
    assert last["level"] == "WARNING"
    assert last["message"] == "interrupted (KeyboardInterrupt)"


def test_hook_of_the_user_sees_what_fails(tmp_path):
    hook = "import sys\nsys.excepthook = lambda *_: print('seen', file=sys.stderr)\n"
    (tmp_path / "flow.py").write_text(hook + FAILS)
    command = ("-m", "millstream.run", "flow.py", "--log-json")
    code, _, err = finished(*command, folder=tmp_path)
    assert code == 70
    assert err.splitlines()[-1] == "seen"
    assert "CRITICAL" not in err


def test_joined_says_as_which_process(tmp_path):
    err = run_to_its_end(tmp_path, "--log-json", "-p", "2")
    entries = [json.loads(line) for line in err.splitlines()]
    joined = {
        (entry["process"], entry["message"])
        for entry in entries
        if entry["message"].startswith("joined")
    }
    assert joined == {
        (0, "joined as process 0 of 2"),
        (1, "joined as process 1 of 2"),
    }


def test_drained_and_resumed(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("--api", "{port}", "-r", "store", "-s", "0.05", "--log-json")
    with run(*options) as running:
        running.until_worked()
        running.process.send_signal(signal.SIGTERM)
        _, err = running.process.communicate(timeout=TIMEOUT)
    assert messages(err) == [
        f"serving http://127.0.0.1:{running.port}",
        "started, with 1 worker",
        "drained: the sources have stopped where they were",
    ]
    with run(*options) as running:
        running.until(lambda: running.ready()[0] == 200)
        code, err = running.finish()
    assert code == 0
    (resumed,) = (text for text in messages(err) if text.startswith("resumed"))
    assert re.fullmatch(r"resumed from epoch \d+", resumed)


def test_store_that_waits_is_a_warning(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("--api", "{port}", "-r", "store", "-s", "0.05", "--log-json")
    with run(*options) as running:
        running.until(lambda: running.ready()[0] == 200)
        path = tmp_path / "store" / "part-0.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            retries = ("millstream_store_retries_total",)
            running.until(lambda: running.metrics()[retries] > 0)
        code, err = running.finish()
    assert code == 0
    entries = [json.loads(line) for line in err.splitlines()]
    (first, *_) = (entry for entry in entries if entry["level"] == "WARNING")
    assert first["message"].startswith("the recovery store waits, after attempt 1: ")
    assert "the recovery store was retried, and goes on" in messages(err)


def test_lost_process_is_a_warning_and_all_start_again(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("-p", "2", "-r", "store", "--restart", "1", "--log-json")
    with run("--api", "{port}", *options) as running:
        running.until(lambda: running.ready()[0] == 200)
        children = f"/proc/{running.process.pid}/task/{running.process.pid}/children"
        with open(children) as file:  # noqa: PTH123 # It isn't a file of ours.
            os.kill(int(file.read().split()[1]), signal.SIGKILL)
        running.until(lambda: running.ready()[0] == 200)
        code, err = running.finish()
    assert code == 0
    texts = [line for line in err.splitlines() if "starting again" in line]
    (again,) = map(json.loads, texts)
    assert again["level"] == "WARNING"
    assert again["message"].startswith("starting again (1 of 1)")


def test_items_and_state_are_never_shown(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("--api", "{port}", "-r", "store", "-s", "0.05", "--log-level", "debug")
    with run(*options) as running:
        running.until_worked()
        paths = ("/metrics", "/health/ready", "/health/live", "/dataflow", "/")
        seen = [running.get(path)[1] for path in paths]
        code, err = running.finish()
    assert code == 0
    # The secret was really there.
    assert SECRET in (tmp_path / "part_0").read_text()
    for text in (*seen, err):
        assert text
        assert SECRET not in text


def terminal(tmp_path, *options):
    """What a run shows on a terminal."""
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "go").touch()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "millstream.run", "flow.py", *options]
    env = {**os.environ, "COLUMNS": "100", "LINES": "24", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # The other end is closed.
            break
        if not more:
            break
        shown += more
    os.close(ours)
    assert process.wait(TIMEOUT) == 0
    return shown.decode()


def test_progress_is_a_table_on_a_terminal(tmp_path):
    shown = terminal(tmp_path, "--progress")
    table = shown.rpartition("\x1b[J")[2].splitlines()
    assert table[0].startswith("step ")
    assert table[0].endswith(" keys")
    cells = {line.split()[0]: line.split()[1:] for line in table[1:-1]}
    assert list(cells) == [
        *("flow.numbers", "flow.plus", "flow.even", "flow.total", "flow.line"),
        "flow.out",
    ]
    assert cells["flow.numbers"][0] == str(ITEMS)
    assert cells["flow.total"][:2] == [str(EVEN), str(EVEN)]
    assert cells["flow.total"][3] == "3"


def test_progress_is_not_shown_elsewhere(tmp_path):
    assert run_to_its_end(tmp_path, "--progress") == ""
    assert terminal(tmp_path) == ""
