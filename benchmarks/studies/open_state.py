"""What a key and an open window weigh, and what it costs to have many of them idle.

Run as ``python -m benchmarks.studies.open_state KIND ENGINE COUNT SECONDS``. The source
makes its items as it goes, so that what is held is held by the engine; then it is
silent for some seconds. The process ends there: nothing is closed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from benchmarks.engines import FLOWS, Engine, load
from benchmarks.events import START
from benchmarks.measure import run_once
from benchmarks.meters import Figures, print_figures, resident
from benchmarks.running_average import average
from benchmarks.studies import Table, engines
from benchmarks.targets import Target
from benchmarks.windows import WAIT, add, combine, empty, event_time, tumbling
from benchmarks.workload import BATCH, Count

TITLE = "Keys and open windows: memory, and idling"
NOTE = (
    "Each key is met once. Bytes are what the process grew by until its source fell "
    "silent, the key's string and the user's own state included, which weigh the same "
    "with every engine: what they weigh by themselves, in two lists, is in the rows "
    "called alone, and is left out of what is said of the engines' own memory. Idle is "
    "the part of a core in use while the source wakes once a second and emits nothing. "
    "The peer looks at each open window whenever it wakes, so it gets fewer."
)
COUNT = 1_000_000
PEER_COUNTS = {"key": 200_000, "open window": 20_000}
"""The peer looks at each open window whenever items come: more would take minutes."""

SECONDS = 5.0
ALONE = "alone"
"""Not an engine: the user's own objects."""


def keys(engine: Engine, stream: Any) -> Any:
    """State of each key: that of W3."""
    return engine.op.stateful_map("state", stream, average)


def windows(engine: Engine, stream: Any) -> Any:
    """A window of each key: that of W4."""
    windowing = engine.windowing
    clock = windowing.EventClock(event_time, WAIT)
    return windowing.fold_window(
        "fold", stream, clock, tumbling(windowing), empty, add, combine
    ).down


def reading(number: int) -> tuple[str, float]:
    """An item of a key of its own."""
    return f"key-{number}", 0.5


def event(number: int) -> tuple[str, tuple[datetime, float]]:
    """An event of a key of its own."""
    return f"key-{number}", (START, 0.5)


def alone(kind: str, count: int) -> None:
    """Print what the keys and the user's states of them weigh, in a list each."""
    make = KINDS[kind][0]
    state = STATES[kind]
    keys: list[str] = []
    states: list[Any] = []
    before = resident()
    started = time.process_time()
    for number in range(count):
        key, value = make(number)
        keys.append(key)
        states.append(state(value))
    grown, cpu = resident() - before, time.process_time() - started
    print_figures({"grown": grown, "cpu": cpu, "idle": 0.0})


STATES: dict[str, Callable[[Any], Any]] = {
    "key": lambda reading: average(None, reading)[0],
    "open window": lambda event: add(empty(), event),
}
"""What the user keeps of an item."""

KINDS: dict[str, tuple[Callable[[int], Any], Callable[[Engine, Any], Any]]] = {
    "key": (reading, keys),
    "open window": (event, windows),
}


def run_engine(kind: str, name: str, count: int, seconds: float) -> None:
    """Build the state, wait, and print how much memory and CPU time that took."""
    engine = load(name)
    make, add_step = KINDS[kind]

    class Partition(engine.inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self._next = 0
            self._before = resident()
            self._started = time.process_time()
            self._silent_since: float | None = None
            self._cpu = 0.0
            self._figures: dict[str, float] = {}

        def next_awake(self) -> datetime | None:
            if self._silent_since is None:
                return None
            return datetime.now(timezone.utc) + timedelta(seconds=1)

        def next_batch(self) -> list[Any]:
            if self._next < count:
                first, self._next = self._next, min(self._next + BATCH, count)
                return [make(number) for number in range(first, self._next)]
            if self._silent_since is None:
                self._figures = {
                    "grown": resident() - self._before,
                    "cpu": time.process_time() - self._started,
                }
                self._silent_since = time.perf_counter()
                self._cpu = time.process_time()
            elif time.perf_counter() - self._silent_since >= seconds:
                self._end(time.perf_counter() - self._silent_since)
            return []

        def _end(self, wall: float) -> None:
            idle = (time.process_time() - self._cpu) / wall
            print_figures(self._figures | {"idle": idle})
            os._exit(0)

    class Source(engine.inputs.DynamicSource):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Partition:
            return Partition()

    flow = engine.dataflow.Dataflow("open_state")
    stream = add_step(engine, engine.op.input("in", flow, Source()))
    engine.write("out", stream, Count().write)
    engine.run(flow)


def study(scale: float) -> Table:
    """Weigh keys and windows: both engines at the same count, ours at a million too."""
    rows: list[list[str | int | float]] = []
    targets = []
    for kind, most in PEER_COUNTS.items():
        same, large = int(most * scale), int(COUNT * scale)
        weights: dict[str, float] = {}
        for engine in [*engines(), ALONE]:
            run = run_once("studies.open_state", kind, engine, same, SECONDS)
            weights[engine] = run["grown"] / same
            rows.append(row(kind, engine, same, run))
        run = run_once("studies.open_state", kind, "millstream", large, SECONDS)
        rows.append(row(kind, "millstream", large, run))
        if "bytewax" in weights:
            part = weights["millstream"] / weights["bytewax"]
            what = f"memory per {kind}, part of bytewax's"
            targets.append(Target(what, part, 0.33, at_least=False))
            own, peer = (
                weights[name] - weights[ALONE] for name in ("millstream", "bytewax")
            )
            what = f"an engine's own memory per {kind}, part of bytewax's"
            targets.append(Target(what, own / peer, 0.33, at_least=False))
        what = f"idle with {large:,} {kind}s, of a core"
        targets.append(Target(what, run["idle"] * 100, 2, at_least=False, unit=" %"))
    columns = ["each", "engine", "count", "bytes each", "CPU ns each", "idle %"]
    return Table(TITLE, NOTE, columns, rows, targets)


def row(kind: str, engine: str, count: int, run: Figures) -> list[str | int | float]:
    """A row of the table."""
    each = run["grown"] / count, run["cpu"] / count * 1e9
    return [kind, engine, count, *each, run["idle"] * 100]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("engine", choices=[*FLOWS, ALONE])
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    if arguments.engine == ALONE:
        alone(arguments.kind, arguments.count)
        return
    run_engine(arguments.kind, arguments.engine, arguments.count, arguments.seconds)


if __name__ == "__main__":
    main()
