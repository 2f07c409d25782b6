"""W11: how long an item takes from the source to the sink, and what idling costs.

Run as ``python -m benchmarks.studies.latency ENGINE ITEMS MILLISECONDS SECONDS``: so
many items at once, so far apart, for so long.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from benchmarks.engines import FLOWS, load
from benchmarks.measure import run_once
from benchmarks.meters import print_figures
from benchmarks.studies import Table, engines
from benchmarks.targets import Target

TITLE = "W11 latency"
NOTE = (
    "From the source to the sink, through five maps, `key_on` and `stateful_map`, on "
    "one worker; items that come at once share a batch. CPU is the part of a core in "
    "use, from the start of the flow to its end."
)
MAPS = 5
SECONDS = 10
CASES = {
    "one a millisecond": (1, 1),
    "ten a millisecond": (10, 1),
    "one a second": (1, 1_000),
}
NAMES = {"p50": "p50", "p99": "p99", "share": "CPU"}
COMPARED = "one a millisecond"
"""The case that has targets."""


def run_engine(name: str, items: int, apart: timedelta, seconds: float) -> None:
    """Emit for some seconds; print quantiles of the latencies, and the CPU share."""
    engine = load(name)
    op = engine.op
    latencies: list[float] = []

    class Ticks(engine.inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self._due = datetime.now(timezone.utc)
            self._end = self._due + timedelta(seconds=seconds)

        def next_awake(self) -> datetime:
            return self._due

        def next_batch(self) -> list[float]:
            if self._due >= self._end:
                raise StopIteration
            self._due += apart
            return [time.perf_counter()] * items

    class Source(engine.inputs.DynamicSource):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Ticks:
            return Ticks()

    def write(batch: list[tuple[str, float]]) -> None:
        now = time.perf_counter()
        latencies.extend(now - emitted for _, emitted in batch)

    flow = engine.dataflow.Dataflow("latency")
    stream: Any = op.input("in", flow, Source())
    for number in range(MAPS):
        stream = op.map(f"map_{number}", stream, lambda x: x)
    stream = op.key_on("key", stream, lambda _: "all")
    stream = op.stateful_map("count", stream, lambda n, x: ((n or 0) + 1, x))
    engine.write("out", stream, write)
    cpu, wall = time.process_time(), time.perf_counter()
    engine.run(flow)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    cuts = statistics.quantiles(latencies, n=100)
    print_figures(
        {
            "count": len(latencies),
            "p50": cuts[49],
            "p99": cuts[98],
            "share": cpu / wall,
        }
    )


def study(scale: float) -> Table:
    """Measure each engine at each rate."""
    seconds = max(2, round(SECONDS * scale))
    rows: list[list[str | int | float]] = []
    figures: dict[str, dict[str, float]] = {}
    for case, (items, apart) in CASES.items():
        for engine in engines():
            run = run_once("studies.latency", engine, items, apart, seconds)
            micro = run["p50"] * 1e6, run["p99"] * 1e6
            rows.append([case, engine, run["count"], *micro, run["share"] * 100])
            if case == COMPARED:
                figures[engine] = run
    columns = ["items come", "engine", "items", "p50 µs", "p99 µs", "CPU %"]
    return Table(TITLE, NOTE, columns, rows, targets(figures))


def targets(figures: dict[str, dict[str, float]]) -> list[Target]:
    """At or below the peer's, at less than half of its CPU time."""
    if "bytewax" not in figures:
        return []
    own, peer = figures["millstream"], figures["bytewax"]
    return [
        Target(
            f"W11 {NAMES[name]}, part of bytewax's",
            own[name] / peer[name],
            bound,
            at_least=False,
        )
        for name, bound in (("p50", 1), ("p99", 1), ("share", 0.5))
    ]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("items", type=int)
    parser.add_argument("milliseconds", type=float)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    apart = timedelta(milliseconds=arguments.milliseconds)
    run_engine(arguments.engine, arguments.items, apart, arguments.seconds)


if __name__ == "__main__":
    main()
