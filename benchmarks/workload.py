"""What a workload is, what becomes of its results, and reading one's own meters."""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines import Batches, Engine, Write

BATCH = 1_000


def in_batches(items: list[Any], size: int = BATCH) -> Batches:
    """Cut the data as a source hands it out."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def flatten(result: Any) -> Iterator[Any]:
    """The scalars of nested tuples, since every engine nests its own way."""
    if isinstance(result, tuple):
        for part in result:
            yield from flatten(part)
    else:
        yield result


def scalars(result: Any) -> tuple[Any, ...]:
    """A result without its nesting."""
    return tuple(flatten(result))


@dataclass(frozen=True)
class Workload:
    """One task, for every engine.

    Args:
        title: What the reports call it.
        items: How many items there are.
        make: Makes the data of so many items, before the clock starts.
        flow: Adds the steps to a flow; returns the stream of results.
        plain: The loop that one would write by hand, over the same data.
        columns: The same on columns, all at once: takes the data, and returns what
            is timed, which returns a Polars data frame.
        fewer: How many items the slower engines get.
        compared: What of a result must be equal with all engines.
        faster_than_peer: How many times as fast as the peer it should be.
        faster_than_plain: How many times as fast as the plain loop it should be.
    """

    title: str
    items: int
    make: Callable[[int], Any]
    flow: Callable[[Engine, Any, Any], Any]
    plain: Callable[[Any, Write], None]
    columns: Callable[[Any], Callable[[], Any]] | None = None
    fewer: dict[str, int] = field(default_factory=dict)
    compared: Callable[[Any], tuple[Any, ...]] = scalars
    faster_than_peer: float | None = None
    faster_than_plain: float | None = None

    def items_of(self, engine: str, scale: float) -> int:
        """How many items an engine gets."""
        items = int(self.fewer.get(engine, self.items) * scale)
        return max(BATCH, items - items % BATCH)


class Count:
    """Counts results: what a timed run does with them."""

    def __init__(self) -> None:
        self._count = 0

    def write(self, results: list[Any]) -> None:
        """Take a batch."""
        self._count += len(results)

    def result(self) -> str:
        """How many there were."""
        return str(self._count)


class Digest:
    """Digests all results, in any order: to compare engines with one another."""

    def __init__(self, compared: Callable[[Any], tuple[Any, ...]]) -> None:
        self._compared = compared
        self._count = 0
        self._sum = 0

    def write(self, results: list[Any]) -> None:
        """Take a batch."""
        self._count += len(results)
        for result in results:
            text = repr(self._compared(result)).encode()
            digest = hashlib.blake2b(text, digest_size=8).digest()
            self._sum += int.from_bytes(digest, "big")

    def result(self) -> str:
        """How many there were, and the sum of their digests."""
        return f"{self._count} {self._sum % 2**64:016x}"


def memory(meter: str) -> int:
    """A meter of this process's memory, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{meter}:"):
            return int(line.split()[1]) * 1024
    msg = f"`/proc/self/status` has no `{meter}`"
    raise RuntimeError(msg)


def forget_peak() -> None:
    """Let the peak begin anew: making the data does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def measured(run: Callable[[], Any], result: Callable[[], object]) -> None:
    """Run, and print what it took and what came out as one JSON line."""
    gc.collect()
    forget_peak()
    before = memory("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = memory("VmHWM")
    figures = {"cpu": cpu, "wall": wall, "memory": peak, "grown": peak - before}
    print(json.dumps(figures | {"result": result()}))
