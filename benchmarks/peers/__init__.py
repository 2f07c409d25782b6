"""Engines that have an API of their own: each module says how it does which workloads.

A module has ``JOBS``: by the name of a workload, a function that takes the data and
where results go, and returns a `Job`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.engines import Write

PEERS = ("pathway", "quixstreams", "polars", "duckdb")


@dataclass(frozen=True)
class Job:
    """Work over data that is where the engine wants to have it.

    Args:
        run: What is timed.
        results: Hands over results that are still in the engine; not timed.
    """

    run: Callable[[], Any]
    results: Callable[[], Any] = lambda: None


Prepare = Callable[[Any, Write], Job]


def is_installed(package: str) -> bool:
    """Whether Python finds a package."""
    return importlib.util.find_spec(package) is not None


def jobs(peer: str) -> dict[str, Prepare]:
    """What a peer does, without importing the package itself."""
    prepared: dict[str, Prepare] = importlib.import_module(
        f"benchmarks.peers.{peer}"
    ).JOBS
    return prepared


def able(workload: str) -> list[str]:
    """The peers that are installed and do a workload."""
    return [peer for peer in PEERS if is_installed(peer) and workload in jobs(peer)]
