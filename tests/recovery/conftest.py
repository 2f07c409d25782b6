"""A dataflow in a process of its own, with a store."""

from __future__ import annotations

import random
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tests.counting import PACKAGE
from tests.processes import started

HERE = Path(__file__).parents[2]

# The peer takes whole seconds only.
INTERVALS = ["0", "0.01", "0.05"] if PACKAGE == "millstream" else ["0", "1"]


class Counting:
    """Runs `counting.py` on one store, again and again."""

    flow = "tests.counting:flow"

    def __init__(self, folder):
        self.store, self.out = folder / "store", folder / "out"
        for each in (self.store, self.out):
            each.mkdir()
        import_module(f"{PACKAGE}.recovery").init_db_dir(self.store, 2)

    def start(self, seed, *command, interval=None, **variables):
        """Start an attempt, by some command, with settings drawn from the seed."""
        draw = random.Random(seed)  # noqa: S311 # Not for secrets.
        settings = {
            "OUT": str(self.out),
            "BATCH": str(draw.choice([1, 7, 50])),
            "PAUSE": str(draw.choice([0, 0.0005, 0.002])),
            **variables,
        }
        drawn = draw.choice(INTERVALS)
        workers = str(draw.choice([1, 2, 3, 5]))
        return started(
            *("-m", f"{PACKAGE}.run", self.flow, "-r", str(self.store)),
            *("-s", interval or drawn, "-b", "0", "-w", workers),
            folder=HERE,
            command=command,
            **settings,
        )


class Committing(Counting):
    flow = "tests.committing:flow"


@pytest.fixture
def counting(tmp_path):
    return Counting(tmp_path)


@pytest.fixture
def committing(tmp_path):
    return Committing(tmp_path)


TALLY = pytest.StashKey[Counter]()


@pytest.fixture
def tally(request):
    """What many tests did together, such as kills; it is shown when all are done."""
    return request.config.stash.setdefault(TALLY, Counter())


def pytest_terminal_summary(terminalreporter, config):
    for what, times in config.stash.get(TALLY, Counter()).items():
        terminalreporter.write_line(f"{what}: {times}")
