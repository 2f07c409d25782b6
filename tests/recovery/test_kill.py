"""A process that is killed, again and again, loses nothing and counts nothing twice."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from subprocess import TimeoutExpired

import pytest

from tests.counting import expected, written

SEEDS = int(os.environ.get("KILL_SEEDS", "3"))
"""How many stores; on each, a run is killed as often as `KILLS` says."""

KILLS = 6
MANY = 12_000


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_any_time(counting, tally, seed):
    draw = random.Random(seed)  # noqa: S311 # Not for secrets.
    killed = 0
    for attempt in range(KILLS):
        with counting.start(repr((seed, attempt)), ITEMS=str(MANY)) as process:
            with suppress(TimeoutExpired):
                process.wait(draw.uniform(0.15, 0.6))
            process.kill()
        killed += process.wait() == -signal.SIGKILL
    tally["kills at any time"] += killed
    fast = {"PAUSE": "0", "BATCH": "50"}
    with counting.start(str(seed), **fast, ITEMS=str(MANY)) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected(MANY)
    # Or the test shows nothing.
    assert killed
