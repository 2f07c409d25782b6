"""Where the API is served, when, and what it says of the run's health."""

from __future__ import annotations

import json
import signal
import socket

import pytest
from millstream.dataflow import Dataflow
from millstream.recovery import init_db_dir
from millstream.visualize import to_json

from tests.api.conftest import FLOW, free_port, listening
from tests.processes import TIMEOUT, finished

ENABLED = "MILLSTREAM_DATAFLOW_API_ENABLED"
PORT = "MILLSTREAM_DATAFLOW_API_PORT"
LOOPBACK = "0100007F"


def until_written(running):
    """Wait until the run has come to its sink, which no request is needed for."""
    part = running.folder / "part_0"
    running.until(lambda: part.exists() and part.read_text())


def test_nothing_listens_unless_asked_for(run):
    with run() as running:
        until_written(running)
        assert listening(running.process.pid) == []
        assert running.finish() == (0, "")


@pytest.mark.parametrize(
    "variables",
    [
        {"MILLSTREAM_API": "{port}"},
        *({ENABLED: enabled, PORT: "{port}"} for enabled in ("1", "true", "YES")),
    ],
)
def test_variables_ask_for_it(run, variables):
    with run(**variables) as running:
        running.until(lambda: running.get("/health/live")[0] == 200)
        assert listening(running.process.pid) == [f"{LOOPBACK}:{running.port:04X}"]


@pytest.mark.parametrize("enabled", ["0", "false", "NO", ""])
def test_variables_can_say_no(run, enabled):
    with run(**{ENABLED: enabled, PORT: "{port}"}) as running:
        until_written(running)
        assert listening(running.process.pid) == []


def test_option_counts_more_than_variables(run):
    with run("--api", "{port}", **{ENABLED: "0"}) as running:
        assert running.until(lambda: running.get("/health/live")[0] == 200)


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        (
            [],
            {ENABLED: "on"},
            f"`{ENABLED}` must be one of 1, true, yes, 0, false, no; got 'on'",
        ),
        (
            [],
            {ENABLED: "1", PORT: "x"},
            f"`{PORT}` must be a port, from 0 to 65535; got 'x'",
        ),
        (
            ["--api", "a:b:1"],
            {},
            (
                "argument --api: an address of the HTTP API must be `port` or "
                "`host:port`; got `a:b:1`"
            ),
        ),
        (
            ["--log-level", "loud"],
            {},
            (
                "argument --log-level: must be one of DEBUG, INFO, WARNING, ERROR, "
                "CRITICAL; got 'loud'"
            ),
        ),
    ],
)
def test_what_can_not_be_is_refused(tmp_path, options, variables, message):
    (tmp_path / "flow.py").write_text(FLOW)
    command = ("-m", "millstream.run", "flow.py", *options)
    ended = finished(*command, folder=tmp_path, **variables)
    assert ended == (64, "", f"millstream: {message}\n")


@pytest.mark.parametrize("options", [[], ["-w", "2"], ["-p", "2"]])
def test_taken_port_is_refused_before_any_item(tmp_path, options):
    (tmp_path / "flow.py").write_text(FLOW)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ("-m", "millstream.run", "flow.py", "--api", str(port), *options)
        ended = finished(*command, folder=tmp_path)
    message = (
        f"millstream: can't serve the HTTP API on `127.0.0.1:{port}`: another program "
        "uses that port; give another one, or 0 for any that is free\n"
    )
    assert ended == (64, "", message)
    assert not list(tmp_path.glob("part_*"))


DAWDLING = FLOW.replace(
    "def total(state, number):",
    """
import time


def total(state, number):
    # Busy when the run is to stop.
    while Path("dawdle").exists():
        Path("dawdling").touch()
        time.sleep(0.01)""",
)


def test_ready_when_the_workers_run_and_not_while_stopping(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    (tmp_path / "dawdle").touch()
    with run("--api", "{port}", "-r", "store", "-w", "2", flow=DAWDLING) as running:
        running.until(lambda: running.ready() == (200, "all workers run"))
        running.until((tmp_path / "dawdling").exists)
        running.process.send_signal(signal.SIGTERM)
        running.until(lambda: running.ready() == (503, "stopping"))
        assert running.get("/health/live") == (200, '{"live":true}')
        (tmp_path / "dawdle").unlink()
        assert running.process.wait(TIMEOUT) == 0


def test_not_ready_before_all_processes_have_joined(run, tmp_path):
    addresses = f"unix:{tmp_path / '0'};unix:{tmp_path / '1'}"
    with run("--api", "{port}", "-i", "0", "-a", addresses) as first:
        waiting = (503, "waiting for the other processes")
        first.until(lambda: first.ready() == waiting)
        with run("-i", "1", "-a", addresses) as second:
            first.until(lambda: first.ready() == (200, "all workers run"))
            (tmp_path / "go").touch()
            assert second.process.wait(TIMEOUT) == 0
            assert first.process.wait(TIMEOUT) == 0


def test_dataflow_is_described(run):
    with run("--api", "{port}") as running:
        running.until(lambda: running.get("/health/live")[0] == 200)
        status, text = running.get("/dataflow")
        described = json.loads(text)
    assert status == 200
    assert described["typ"] == "RenderedDataflow"
    names = [step["step_name"] for step in described["substeps"]]
    assert names == ["numbers", "plus", "even", "total", "line", "out"]
    physical = [each["step_ids"] for each in described["physical"]]
    assert ["flow.plus", "flow.even"] in physical
    empty = json.loads(to_json(Dataflow("empty")))
    assert set(described) == {*empty, "physical"}


@pytest.mark.parametrize("path", ["/", "/metrics/", "/health", "/../etc/passwd"])
def test_anything_else_is_not_found(run, path):
    with run("--api", "{port}") as running:
        running.until(lambda: running.get("/health/live")[0] == 200)
        assert running.get(path) == (404, '{"error":"there is nothing here"}')


def test_port_after_the_last_is_refused(tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    command = ("-m", "millstream.run", "flow.py", "--api", "65535", "-p", "2")
    code, _, err = finished(*command, folder=tmp_path)
    assert code == 64
    assert "process 1 can't serve the HTTP API on port 65535 + 1" in err


def test_run_leaves_its_port(tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "go").touch()
    command = ("-m", "millstream.run", "flow.py", "--api", str(free_port()))
    for _ in range(2):
        assert finished(*command, folder=tmp_path) == (0, "", "")
