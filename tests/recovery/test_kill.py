"""A process that is killed, again and again, loses nothing and counts nothing twice."""

from __future__ import annotations

import random
import signal
from contextlib import suppress
from subprocess import TimeoutExpired

import pytest

from tests.counting import expected, written

KILLS = 6


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_time(counting, seed):
    draw = random.Random(seed)  # noqa: S311 # Not for secrets.
    killed = 0
    for attempt in range(KILLS):
        with counting.start(repr((seed, attempt))) as process:
            with suppress(TimeoutExpired):
                process.wait(draw.uniform(0.15, 0.6))
            process.kill()
        killed += process.wait() == -signal.SIGKILL
    with counting.start(str(seed), PAUSE="0", BATCH="50") as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected()
    # Or the test shows nothing.
    assert killed
