"""What a workload is, and what becomes of its results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.engines import Batches, Engine, Write

BATCH = 1_000


def in_batches(items: list[Any], size: int = BATCH) -> Batches:
    """Cut the data as a source hands it out."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def flatten(result: Any) -> Iterator[Any]:
    """The scalars of nested results, since every engine nests its own way."""
    if isinstance(result, dict):
        result = tuple(result.values())
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
        fewer: How many items engines get that would take minutes.
        without: Flow engines that have no such operator.
        compared: What of a result must be equal with all engines.
        faster: How many times as fast as some other engines it should be.
    """

    title: str
    items: int
    make: Callable[[int], Any]
    flow: Callable[[Engine, Any, Any], Any]
    plain: Callable[[Any, Write], None]
    fewer: dict[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    compared: Callable[[Any], tuple[Any, ...]] = scalars
    faster: dict[str, float] = field(default_factory=dict)

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


Sink = Count | Digest
