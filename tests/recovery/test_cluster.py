"""Clusters with a store: whatever happens to a process, each item counts once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from millstream.recovery import init_db_dir

from tests.cluster.conftest import HERE, Cluster, endings
from tests.counting import expected, written
from tests.processes import finished, started

SHAPES = [("1", "1"), ("1", "3"), ("2", "1"), ("3", "2")]
"""Processes, and workers in each."""

SEEDS = int(os.environ.get("CLUSTER_KILL_SEEDS", "2"))
"""How many stores; on each, a process is killed as often as `KILLS` says."""

KILLS = 5
MANY = 6000


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def run(counting, shape, *options, **variables):
    processes, workers = shape
    return started(
        *("-m", "millstream.run", counting.flow, "-r", str(counting.store)),
        *("-p", processes, "-w", workers, *options),
        folder=HERE,
        OUT=str(counting.out),
        **variables,
    )


def children_of(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_and_rescaled(counting, tally, seed):
    draw = random.Random(repr(("cluster", seed)))  # noqa: S311 # Not for secrets.
    killed = 0
    for _ in range(KILLS):
        shape = draw.choice(SHAPES)
        slow = {"BATCH": draw.choice(["3", "10"]), "PAUSE": "0.002"}
        options = ("-s", draw.choice(["0.01", "0.05"]), "--peer-timeout", "2")
        with run(counting, shape, *options, ITEMS=str(MANY), **slow) as process:
            time.sleep(draw.uniform(0.5, 1.2))
            victims = children_of(process)
            if process.poll() is None and victims:
                os.kill(draw.choice(victims), signal.SIGKILL)
                killed += 1
            _, err = process.communicate(timeout=30)
        assert process.returncode in (0, 75), err
    tally["kills of a process of a cluster"] += killed
    fast = {"BATCH": "50", "PAUSE": "0"}
    with run(counting, draw.choice(SHAPES), ITEMS=str(MANY), **fast) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected(MANY)
    assert killed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_one_process_drains_all(counting, cluster, number):
    flow = "tests.counting:flow"
    options = ("-r", str(counting.store))
    slow = {"OUT": str(counting.out), "PAUSE": "0.005", "BATCH": "5"}
    with cluster.started(3, flow, *options, **slow) as processes:
        while len(written(counting.out)) < 100:
            for process in processes:
                assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        processes[1].send_signal(number)
        begun = time.monotonic()
        ended = endings(processes)
    assert time.monotonic() - begun < 10
    assert ended == [(0, "")] * 3
    before = written(counting.out)
    assert 0 < len(before) < len(expected())
    with run(counting, ("1", "2"), PAUSE="0", BATCH="50") as process:
        process.communicate(timeout=60)
    assert written(counting.out) == expected()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("process", [0, 1])
def test_process_that_waits_for_others_has_nothing_to_drain(
    counting, cluster, number, process
):
    options = ("-r", str(counting.store), "--api", "0", "--log-json")
    with cluster.started(
        2, "tests.counting:flow", *options, only=[process], OUT=str(counting.out)
    ) as (waiting,):
        # It serves from before it joins.
        assert "serving" in waiting.stderr.readline()
        time.sleep(0.2)
        waiting.send_signal(number)
        begun = time.monotonic()
        _, err = waiting.communicate(timeout=10)
    assert time.monotonic() - begun < 2
    assert waiting.returncode == 0, err
    (drained,) = map(json.loads, err.splitlines())
    assert drained["message"].startswith("drained: ")
    assert written(counting.out) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_in_the_pause_before_a_restart_ends_it(counting, number):
    slow = {"BATCH": "10", "PAUSE": "0.002"}
    with run(counting, ("2", "1"), "-s", "0.02", "--restart", "3", **slow) as process:
        while len(written(counting.out)) < 200:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.kill(children_of(process)[1], signal.SIGKILL)
        while "starting again" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=5)
    passed_on = signal.SIGTERM if number == signal.SIGHUP else number
    assert process.returncode == 128 + passed_on
    assert err == f"millstream: not starting again: {passed_on.name} came first\n"


def test_restart_goes_on_from_the_store(counting):
    slow = {"BATCH": "10", "PAUSE": "0.002"}
    with run(counting, ("2", "1"), "-s", "0.02", "--restart", "3", **slow) as process:
        while len(written(counting.out)) < 200:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.kill(children_of(process)[1], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "process 1 was ended by SIGKILL\n" in err
    assert "millstream: starting again (1 of 3) in 1 s, from the end of epoch " in err
    assert "; what came after it is done again\n" in err
    assert written(counting.out) == expected()


def test_restarts_come_to_an_end(tmp_path):
    """A process that is lost every time."""
    (tmp_path / "flow.py").write_text(
        "import os, signal\n"
        "import millstream.operators as op\n"
        "from millstream.dataflow import Dataflow\n"
        "from millstream.connectors.stdio import StdOutSink\n"
        "from millstream.testing import TestingSource\n"
        "flow = Dataflow('flow')\n"
        "up = op.input('inp', flow, TestingSource([1]))\n"
        "up = op.map('die', up, lambda _: os.kill(os.getpid(), signal.SIGKILL))\n"
        "op.output('out', up, StdOutSink())\n"
    )
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("flow.py", "-p", "2", "-r", "store", "--restart", "1")
    code, _, err = finished("-m", "millstream.run", *options, folder=tmp_path)
    assert code == 75
    assert err.count("was ended by SIGKILL\n") == 2
    last = "millstream: not starting again: 1 of 1 are used up (`--restart`)\n"
    assert err.endswith(last)


def test_signal_that_is_ignored_stays_ignored(counting):
    """As SIGINT is in a job in the background of a script."""
    ignoring = ("sh", "-c", """trap '' INT; exec "$@" """, "sh")
    slow = {"BATCH": "10", "PAUSE": "0.002"}
    with run(counting, ("2", "1"), command=ignoring, **slow) as process:
        while len(written(counting.out)) < 50:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected()


def test_restart_needs_processes_and_a_store(tmp_path):
    code, _, err = finished(
        "-m", "millstream.run", "flow.py", "--restart", "1", folder=tmp_path
    )
    assert code == 64
    assert err.startswith("millstream: `--restart` needs `-p/--processes`")


def test_store_of_the_leader_stops_all(cluster, counting):
    (counting.store / "part-0.sqlite3").unlink()
    flow = "tests.counting:flow"
    options = ("-r", str(counting.store))
    with cluster.started(3, flow, *options, OUT=str(counting.out)) as processes:
        ended = endings(processes)
    assert [code for code, _ in ended] == [76, 76, 76]
    for number, (_, err) in enumerate(ended):
        assert "part-0.sqlite3" in err or "partition" in err, (number, err)
