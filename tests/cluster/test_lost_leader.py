"""A process that waits for the leader does not wait for one that is gone."""

from __future__ import annotations

import re
import signal
import time
from contextlib import ExitStack, contextmanager

import pytest
from millstream.recovery import init_db_dir

from tests.cluster.conftest import endings

FLOW = """
import os
import threading
import time
from pathlib import Path

import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition

MUCH = bytes(8 << 20)
ITEMS = ["x" * 10_000] * 100
WAITS_FOR = os.environ["WAITS_FOR"]
GO = Path("go")
calls = Path(f"calls-{os.environ['NUMBER']}").open("w")
ticks = Path(f"ticks-{os.environ['NUMBER']}").open("w")


def tick():
    while True:
        ticks.write(".")
        ticks.flush()
        time.sleep(0.05)


threading.Thread(target=tick, daemon=True).start()


def called():
    calls.write(".")
    calls.flush()


class Numbers(StatefulSourcePartition):
    def next_batch(self):
        if not GO.exists():
            Path(f"begun-{os.environ['NUMBER']}").touch()
        elif WAITS_FOR == "room":
            called()
            return ITEMS
        return []

    def snapshot(self):
        if GO.exists() and WAITS_FOR == "store":
            called()
            return MUCH
        return b""


class Source(FixedPartitionedSource):
    def list_parts(self):
        return [f"part-{number:02}" for number in range(60)]

    def build_part(self, _step_id, _for_part, _resume_state):
        return Numbers()


flow = Dataflow("flow")
up = op.redistribute("spread", op.input("inp", flow, Source()))
op.output("out", op.filter("none", up, lambda _: False), StdOutSink())
"""

MOST = {"room": 120, "store": 12}
"""How often the follower is called at most until it waits: a batch has a megabyte, and
what is kept of a partition has eight."""

LOST = "all processes stop, and must be started again together"


@pytest.fixture
def options(cluster, waits_for):
    if waits_for == "room":
        return ()
    store = cluster.folder / "store"
    store.mkdir()
    init_db_dir(store, 1)
    return ("-r", str(store), "-s", "0.05")


def settled(path):
    """How often the follower was called, when that doesn't grow any more."""
    deadline = time.monotonic() + 20
    calls, since = 0, time.monotonic()
    while calls == 0 or time.monotonic() - since < 0.5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        if path.stat().st_size != calls:
            calls, since = path.stat().st_size, time.monotonic()
    return calls


@contextmanager
def waiting(cluster, waits_for, *options):
    """The leader, stopped, and the process that waits for it."""
    flow = cluster.write(FLOW)
    with ExitStack() as stack:
        leader, follower = (
            stack.enter_context(
                cluster.started(
                    2, flow, *options, only=[n], NUMBER=str(n), WAITS_FOR=waits_for
                )
            )[0]
            for n in range(2)
        )
        deadline = time.monotonic() + 20
        while not all((cluster.folder / f"begun-{n}").exists() for n in range(2)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        leader.send_signal(signal.SIGSTOP)
        (cluster.folder / "go").touch()
        assert settled(cluster.folder / "calls-1") <= MOST[waits_for]
        yield leader, follower


@pytest.mark.parametrize("waits_for", ["room", "store"])
@pytest.mark.parametrize(
    ("peer_timeout", "reason", "within"),
    [
        pytest.param(60, "connection (reset|closed)", 5, id="killed"),
        pytest.param(6, "silent for 6 s", 6 + 5, id="silent"),
    ],
)
def test_nobody_waits_for_it(
    cluster, options, *, waits_for, peer_timeout, reason, within
):
    """Once, who waited for the store had room a single time, and then waited again."""
    options = (*options, "--peer-timeout", str(peer_timeout))
    with waiting(cluster, waits_for, *options) as (leader, follower):
        if "silent" not in reason:
            leader.kill()
        ((code, err),) = endings([follower], timeout=within)
    assert code == 75
    assert re.fullmatch(f"millstream: process 0 is lost: {reason}; {LOST}\n", err), err


@pytest.mark.parametrize("waits_for", ["room", "store"])
def test_signals_are_heard_meanwhile(cluster, waits_for, options):
    """So are others of the process: who waits doesn't hold the interpreter."""
    with waiting(cluster, waits_for, *options, "--peer-timeout", "60") as (_, follower):
        ticks = cluster.folder / "ticks-1"
        before = ticks.stat().st_size
        time.sleep(0.5)
        assert ticks.stat().st_size > before
        follower.send_signal(signal.SIGINT)
        if waits_for == "store":
            # The first asks for a drain, for which the leader would have to go on.
            time.sleep(0.5)
            assert follower.poll() is None
            follower.send_signal(signal.SIGINT)
        ((code, _),) = endings([follower], timeout=10)
    assert code == 130
