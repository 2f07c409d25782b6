"""A process that is killed at a chosen system call of the store.

Killing at random times seldom meets the moments that matter; each write and each sync
of the store is one. Every attempt has other batches, epochs and workers than the one
before, so that a replay falls into other epochs.

A point is tried alone, and followed by a second crash early in the next attempt: what
the first one left behind must not count, however the replay of it ended.

With ``PACKAGE=bytewax CRASH_POINT_SEEDS=40`` in the environment, the points of
``pwrite64`` find wrong output (see `counting.py`): so they are points that matter.
"""

from __future__ import annotations

import os
import random
import shutil
import signal

import pytest

from tests.counting import expected, written

FEW = "600"
SEEDS = int(os.environ.get("CRASH_POINT_SEEDS", "2"))
"""How many points of each call, and how it goes on; many more at night."""

POINTS = {"pwrite64": 80, "fsync": 20, "ftruncate": 5, "unlink": 4}
"""How many calls one thread makes at least, also where all is a single epoch."""


@pytest.fixture(scope="module")
def strace():
    path = shutil.which("strace")
    if path is None:
        pytest.fail("strace is not installed; `make test` does that")
    return path


def kill_at(strace, call, number):
    return (
        *(strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"),
        *("-e", f"inject={call}:signal=SIGKILL:when={number}"),
    )


@pytest.mark.parametrize("crashes", [1, 2], ids=["alone", "followed"])
@pytest.mark.parametrize("call", POINTS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_calls(counting, tally, strace, *, call, seed, crashes):
    draw = random.Random(repr((call, seed)))  # noqa: S311 # Not for secrets.
    points = [draw.randrange(1, POINTS[call]) for _ in range(2)][:crashes]
    killed = []
    for attempt, number in enumerate(points):
        with counting.start(
            repr((call, seed, attempt)), *kill_at(strace, call, number), ITEMS=FEW
        ) as process:
            process.communicate(timeout=60)
        killed.append(process.returncode == -signal.SIGKILL)
    tally["crash points"] += len(points)
    tally["kills at a crash point"] += sum(killed)
    with counting.start("last", ITEMS=FEW) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), (call, points)
    assert written(counting.out) == expected(int(FEW)), (call, points)
    # The first attempt gets that far, or the test shows nothing.
    assert killed[0]
