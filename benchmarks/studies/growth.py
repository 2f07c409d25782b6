"""W3, W4, W10: whether an item costs the same when there are more items, or keys.

Run as ``python -m benchmarks.studies.growth WORKLOAD ENGINE ITEMS KEYS``. Items are
made from a block of them again and again, so that ten million need not be in memory;
what the source costs alone is taken off.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks import events, running_average, windows
from benchmarks.engines import FLOWS, Batches, Engine, load
from benchmarks.measure import run_once
from benchmarks.meters import forget_peak, memory, print_figures, resident
from benchmarks.studies import Table, engines
from benchmarks.targets import Target
from benchmarks.workload import BATCH, Count, in_batches

TITLE = "Growth: W3 and W4 with more items, and with more keys (W10, without recovery)"
NOTE = (
    "CPU nanoseconds an item; what the source costs alone is taken off. Grown is the "
    "memory that the work added at its peak. Cases that take the peer minutes are left "
    "out. Keys are drawn at random, all as likely with W3, by Zipf's law with W4."
)
BLOCK = 100_000
CASES: dict[str, list[tuple[int, int, bool]]] = {
    "W3 keyed running average": [
        (100_000, 1_000, True),
        (1_000_000, 1_000, True),
        (10_000_000, 1_000, True),
        (2_000_000, 100_000, True),
        (2_000_000, 1_000_000, True),
    ],
    "W4 tumbling windows": [
        (100_000, 1_000, True),
        (1_000_000, 1_000, True),
        (10_000_000, 1_000, False),
        (1_000_000, 100_000, False),
        (1_000_000, 1_000_000, False),
    ],
}
"""Items, keys, and whether the peer takes part."""

MOST = 1.3
"""Ratios under this are noise."""


def readings(items: int, keys: int) -> Iterator[list[Any]]:
    """Readings of so many sensors; each sensor has a reading where items allow it."""
    draw = random.Random(3)  # noqa: S311 - no secrets here
    sensors = [f"sensor-{number:03}" for number in range(keys)]
    block = in_batches(
        [
            (sensor, int(draw.random() * running_average.STEPS) / running_average.STEPS)
            for sensor in draw.choices(sensors, k=min(items, max(BLOCK, 2 * keys)))
        ]
    )
    return repeated(block, items, lambda batch, _: batch)


def keyed_events(items: int, keys: int) -> Iterator[list[Any]]:
    """Events of so many keys; each time round they are later."""
    block = events.make(min(items, max(BLOCK, keys)), keys)
    lasts = timedelta(seconds=len(block) * BATCH * events.APART)

    def later(batch: list[Any], times: int) -> list[Any]:
        shift = times * lasts
        return [(key, (at + shift, value)) for key, (at, value) in batch]

    return repeated(block, items, later)


def repeated(
    block: Batches, items: int, change: Callable[[list[Any], int], list[Any]]
) -> Iterator[list[Any]]:
    """The batches of a block, round and round."""
    for number in range(items // BATCH):
        times, place = divmod(number, len(block))
        yield change(block[place], times)


MAKERS = {
    "W3 keyed running average": readings,
    "W4 tumbling windows": keyed_events,
}
FLOWS_OF: dict[str, Callable[[Engine, Any, Any], Any]] = {
    "W3 keyed running average": running_average.flow,
    "W4 tumbling windows": partial(windows.flow, windows.tumbling),
}


def drain(batches: Iterator[list[Any]]) -> None:
    """What a source does, alone."""
    for _ in batches:
        pass


def run_engine(workload: str, name: str, items: int, keys: int) -> None:
    """Run the source alone, then the flow."""
    engine, sink, make = load(name), Count(), MAKERS[workload]
    alone = make(items, keys)
    next(alone)
    started = time.process_time()
    drain(alone)
    source = time.process_time() - started
    batches = make(items, keys)
    first = next(batches)
    flow = engine.dataflow.Dataflow("growth")
    stream = FLOWS_OF[workload](engine, flow, prepended(first, batches))
    engine.write("out", stream, sink.write)
    forget_peak()
    before, started = resident(), time.process_time()
    engine.run(flow)
    cpu = time.process_time() - started - source
    grown = memory("VmHWM") - before
    print_figures({"cpu": cpu, "grown": grown, "result": sink.result()})


def prepended(first: list[Any], rest: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """A batch that was taken already, and the rest: making the block is not timed."""
    yield first
    yield from rest


def study(scale: float) -> Table:
    """Measure each case."""
    rows: list[list[str | int | float]] = []
    targets = []
    for workload, cases in CASES.items():
        costs: dict[int, float] = {}
        for items_unscaled, keys, with_peer in cases:
            items = max(BATCH, int(items_unscaled * scale) // BATCH * BATCH)
            for engine in engines() if with_peer else ["millstream"]:
                run = run_once("studies.growth", workload, engine, items, keys)
                cost = run["cpu"] / items * 1e9
                rows.append([workload, keys, items, engine, cost, run["grown"] / 1e6])
                if engine == "millstream" and keys == cases[0][1]:
                    costs[items] = cost
        smallest, largest = min(costs), max(costs)
        what = f"{workload}, an item of {largest:,} : an item of {smallest:,}"
        times = costs[largest] / costs[smallest]
        targets.append(Target(what, times, MOST, at_least=False))
    columns = ["workload", "keys", "items", "engine", "CPU ns an item", "MB grown"]
    return Table(TITLE, NOTE, columns, rows, targets)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=CASES)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("items", type=int)
    parser.add_argument("keys", type=int)
    arguments = parser.parse_args()
    run_engine(arguments.workload, arguments.engine, arguments.items, arguments.keys)


if __name__ == "__main__":
    main()
