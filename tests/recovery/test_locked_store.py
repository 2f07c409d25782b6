"""Another program has a file of the store locked, as one that makes a backup has."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from subprocess import TimeoutExpired

import pytest

from tests.counting import expected, written
from tests.recovery.watching import committed, length, wait_until

ITEMS = 2000
SLOW = {"BATCH": "5", "PAUSE": "0.02", "ITEMS": str(ITEMS)}

HELD_FOR = 6
"""How many seconds; engines that give up often do so after five."""


@contextmanager
def locked(counting, number):
    path = counting.store / f"part-{number}.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("number", [0, 1])
def test_locked_file_is_waited_for(counting, number):
    """D20: once, a dataflow died of its backup. It goes on, and commits what it did."""
    with counting.start("locked", **SLOW, interval="0.05") as process:
        wait_until(lambda: committed(counting.store) > 0, process)
        with locked(counting, number):
            until = time.monotonic() + HELD_FOR
            before = length(counting)
            wait_until(lambda: length(counting) > before + 100, process)
            last = committed(counting.store)
            wait_until(lambda: time.monotonic() > until, process)
            # Nothing was committed, or the test shows nothing.
            assert committed(counting.store) == last
        wait_until(lambda: committed(counting.store) > last, process)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.startswith("the recovery store waits, after attempt 1: ")
    assert written(counting.out) == expected(ITEMS)


def test_second_signal_ends_a_run_that_waits_to_begin(counting):
    with locked(counting, 0), counting.start("waits", **SLOW) as process:
        for _ in range(2):
            with suppress(TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGTERM)
        assert process.wait(5) in {0, 143}
