"""A process that is asked to stop keeps all it has done."""

from __future__ import annotations

import signal
import time

import pytest

from tests.counting import expected, written


def wait_for_lines(counting, process):
    """Until the dataflow is in the middle of its work."""
    deadline = time.monotonic() + 30
    while len(written(counting.out)) < 200:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_signal_drains(counting, number, workers):
    slow = {"PAUSE": "0.005", "BATCH": "5"}
    with counting.start("drain", **slow) as process:
        wait_for_lines(counting, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    before = written(counting.out)
    assert 0 < len(before) < len(expected())
    # What was written is all kept: a run that is killed at once cuts nothing off.
    with counting.start("more", **slow) as process:
        process.kill()
    assert written(counting.out) == before
    with counting.start(workers, PAUSE="0", BATCH="50") as process:
        process.communicate(timeout=60)
    assert written(counting.out) == expected()
