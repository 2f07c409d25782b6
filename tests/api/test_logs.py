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
