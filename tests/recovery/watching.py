"""Looking at a run and its store from outside."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.counting import written
from tests.processes import finished

HERE = Path(__file__).parents[2]


def wait_until(condition, process):
    """Wait for something to be so while the process runs."""
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def inspected(store, *command):
    """What `inspect` tells of a store; it is started by some command."""
    args = ("-m", "millstream.recovery", "inspect", str(store), "--json")
    code, out, err = finished(*args, folder=HERE, command=command)
    assert (code, err) == (0, "")
    return json.loads(out)


def committed(store, *command):
    """The last epoch of the last run that counts."""
    executions = inspected(store, *command)["executions"]
    return executions[-1]["committed_epoch"] or 0 if executions else 0


def length(counting):
    """How many lines there are."""
    return len(written(counting.out))
