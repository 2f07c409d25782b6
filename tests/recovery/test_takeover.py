"""Two runs on one store: the second is refused, unless the first stands still."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from subprocess import TimeoutExpired

import pytest

from tests.counting import expected, written
from tests.recovery.watching import inspected, length, wait_until

SLOW = {"BATCH": "5", "PAUSE": "0.01"}
FAST = {"BATCH": "50", "PAUSE": "0"}

STANDS_FOR = 5
"""How many seconds a run must have stood still for another to take its store."""

IN_USE = (
    "millstream: the recovery store is in use by another run (generation 1), which is "
    "still writing to it; stop that one first, or use another store\n"
)
# Which of the two says it depends on who looks first, the writer or the heartbeat.
TAKEN_OVER = (
    r"millstream: This run may no longer write to `.+`: another run has taken the "
    r"store over \(generation \d+; ours is 1\)\.\n"
    r"|millstream: another run \(generation \d+\) has taken the recovery store of this "
    r"one \(generation 1\) over, as it seemed to have stopped; nothing more was "
    r"written\n"
)


def ended(process):
    """The exit code and standard error of a run."""
    _, err = process.communicate(timeout=40)
    return process.returncode, err


def is_locked(path):
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def stop(counting, process, *, in_transaction=False):
    """Stop a run where it is writing to the store, or where it isn't.

    What it has locked stays locked, and is waited for as for any other program.
    """
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        files = sorted(counting.store.glob("*.sqlite3"))
        if any(map(is_locked, files)) == in_transaction:
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)


def test_run_that_is_alive_keeps_the_store(counting):
    """D6: once, both ran."""
    with counting.start("first", **SLOW) as first:
        wait_until(lambda: length(counting) > 100, first)
        with counting.start("second", **FAST) as second:
            assert ended(second) == (73, IN_USE)
        assert ended(first) == (0, "")
    assert written(counting.out) == expected()


@pytest.mark.parametrize("wakes", ["in-between", "afterwards"])
def test_run_that_was_stopped_is_taken_over(counting, wakes):
    """D6: what it still has on its way reaches its sinks, and never the store."""
    with counting.start("first", interval="0.05", **SLOW) as first:
        wait_until(lambda: length(counting) > 100, first)
        stop(counting, first)
        kept = inspected(counting.store)["executions"]
        before = length(counting)
        pace = FAST if wakes == "afterwards" else SLOW
        with counting.start("second", **pace) as second:
            wait_until(lambda: length(counting) > before + 100, second)
            if wakes == "in-between":
                first.send_signal(signal.SIGCONT)
                code, err = ended(first)
            assert ended(second) == (0, "")
        finished = inspected(counting.store)
        assert finished["executions"][:-1] == kept
        if wakes == "afterwards":
            assert written(counting.out) == expected()
            first.send_signal(signal.SIGCONT)
            code, err = ended(first)
    assert code == 73
    assert re.fullmatch(TAKEN_OVER, err), err
    assert inspected(counting.store) == finished
    # Nothing is missing, and nothing is there that doesn't belong there.
    assert set(written(counting.out)) == set(expected())
    with counting.start("third", **FAST) as third:
        assert ended(third) == (0, "")
    counts = Counter(written(counting.out))
    if wakes == "afterwards":
        # What came too late is cut off.
        assert counts == Counter(expected())
    assert set(counts) == set(expected())


def test_run_that_was_stopped_while_it_wrote(counting):
    """Its lock is waited for; as soon as it wakes, it has lost the store."""
    with counting.start("first", interval="0", **SLOW) as first:
        wait_until(lambda: length(counting) > 100, first)
        stop(counting, first, in_transaction=True)
        with counting.start("second", **FAST) as second:
            with pytest.raises(TimeoutExpired):
                second.wait(STANDS_FOR + 2)
            first.send_signal(signal.SIGCONT)
            code, err = ended(first)
            assert ended(second) == (0, "")
    assert code == 73
    assert re.fullmatch(TAKEN_OVER, err), err
    assert set(written(counting.out)) == set(expected())
