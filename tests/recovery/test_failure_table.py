"""Failures that no other file is about: a slow sink, much state, lost logs, modes."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import TestingSink, TestingSource, run_main

from tests.counting import expected, written
from tests.processes import finished
from tests.recovery.watching import HERE, length, wait_until
from tests.slow_sink import check_memory


@pytest.mark.parametrize("interval", ["0", "0.1", "1", "60"])
def test_slow_sink_costs_no_memory(tmp_path, interval):
    """D13: once, all that came within an epoch was in memory."""
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 2)
    check_memory(20_000, interval, store)


def cost_of_a_start(store, keys):
    """Seconds of processor time to load so many keys, and nothing else."""
    store.mkdir()
    init_db_dir(store, 1)
    flow, out = Dataflow("flow"), []
    items = [(str(number), number) for number in range(keys)]
    up = op.input("inp", flow, TestingSource(items, 1000))
    latest = op.stateful_map("latest", up, lambda _state, value: (value, value))
    op.output("out", latest, TestingSink(out))
    config = RecoveryConfig(store)
    run_main(flow, recovery_config=config)
    assert len(out) == keys
    costs = []
    for _ in range(3):
        before = time.process_time()
        run_main(flow, recovery_config=config)
        costs.append(time.process_time() - before)
    assert len(out) == keys
    return min(costs)


def test_loading_grows_with_the_state_only(tmp_path):
    """D14: once, eight times as many keys took thirty times as long to load."""
    few = cost_of_a_start(tmp_path / "few", 25_000)
    many = cost_of_a_start(tmp_path / "many", 200_000)
    assert many < 16 * few


@pytest.fixture
def killed(counting):
    """A store whose run was killed, with commits that are in its logs only."""
    slow = {"BATCH": "5", "PAUSE": "0.01"}
    with counting.start("killed", interval="0.05", **slow) as process:
        wait_until(lambda: length(counting) > 500, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    logs = sorted(path.name for path in counting.store.glob("*-wal"))
    assert logs == ["part-0.sqlite3-wal", "part-1.sqlite3-wal"]
    assert all(path.stat().st_size for path in counting.store.glob("*-wal"))
    return counting


def run(counting):
    """The exit code, standard output and standard error of a run to the end."""
    args = ("-m", "millstream.run", "tests.counting:flow", "-r", str(counting.store))
    fast = {"OUT": str(counting.out), "BATCH": "50", "PAUSE": "0"}
    return finished(*args, folder=HERE, **fast)


LOGS_ARE_LOST = (
    "millstream: The store in `{}` is inconsistent: `part-0.sqlite3` is older than the "
    "file `lock` says, so it is an older copy, or has lost its write-ahead log. Bring "
    "back the file with its `-wal` beside it. If the whole store was restored from a "
    "backup on purpose, remove `lock`.\n"
)
ONLY_DATABASES = (
    "millstream: The store in `{}` is inconsistent: it was copied without its file "
    "`lock` while a run was using it, or after one had crashed, and commits may be "
    "missing. Copy all files of the directory, those that end in `-wal` too.\n"
)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        pytest.param(("*-wal",), LOGS_ARE_LOST, id="logs"),
        pytest.param(("*-wal", "*-shm"), LOGS_ARE_LOST, id="logs-and-their-index"),
        pytest.param(
            ("*-wal", "*-shm", "lock"), ONLY_DATABASES, id="all-but-databases"
        ),
    ],
)
def test_lost_logs(killed, lost, message):
    """D18: once, a run without them began from nothing, over what there was."""
    whole = shutil.copytree(killed.store, killed.store.parent / "whole")
    for pattern in lost:
        for path in killed.store.glob(pattern):
            path.unlink()
    before = written(killed.out)
    assert run(killed) == (76, "", message.format(killed.store))
    assert written(killed.out) == before
    killed.store = whole
    assert run(killed) == (0, "", "")
    assert written(killed.out) == expected()


@pytest.fixture
def open_handed():
    """Files are for everybody, unless whoever makes them says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_handed")
def test_files_of_a_run_are_for_their_owner_only(killed):
    """D25: logs hold state as well."""
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in killed.store.iterdir()
    }
    assert {"part-0.sqlite3-wal", "part-0.sqlite3-shm", "lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}
