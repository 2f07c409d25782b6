"""A dataflow in a process of its own, with a store."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from millstream.recovery import init_db_dir

from tests.processes import started

HERE = Path(__file__).parents[2]


class Counting:
    """Runs `counting.py` on one store, again and again."""

    def __init__(self, folder):
        self.store, self.out = folder / "store", folder / "out"
        for each in (self.store, self.out):
            each.mkdir()
        init_db_dir(self.store, 2)

    def start(self, seed, *command, **variables):
        """Start an attempt, by some command, with settings drawn from the seed."""
        draw = random.Random(seed)  # noqa: S311 # Not for secrets.
        settings = {
            "OUT": str(self.out),
            "BATCH": str(draw.choice([1, 7, 50])),
            "PAUSE": str(draw.choice([0, 0.0005, 0.002])),
            **variables,
        }
        interval = draw.choice(["0", "0.01", "0.05"])
        workers = str(draw.choice([1, 2, 3]))
        return started(
            *("-m", "millstream.run", "tests.counting:flow", "-r", str(self.store)),
            *("-s", interval, "-w", workers),
            folder=HERE,
            command=command,
            **settings,
        )


@pytest.fixture
def counting(tmp_path):
    return Counting(tmp_path)
