"""Data that is made once and read by every run, since making it takes longer than most.

Runs that are started by hand make their own.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIRECTORY = "MILLSTREAM_BENCHMARK_DATA"
"""The environment variable that says in which directory data is kept, if it is."""


def directory() -> Path:
    """Where data can be: where this program removes it, unless run by hand."""
    given = os.environ.get(DIRECTORY)
    return Path(tempfile.mkdtemp(prefix="benchmarks-") if given is None else given)


def load(name: str, items: int, make: Callable[[int], Any]) -> Any:
    """The data of a workload, of so many items."""
    if DIRECTORY not in os.environ:
        return make(items)
    path = directory() / f"{name}-{items}.pickle"
    if not path.exists():
        path.write_bytes(pickle.dumps(make(items), pickle.HIGHEST_PROTOCOL))
    # Whoever makes the data reads it back, too, so that all have it laid out alike.
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - this program wrote it
