"""A source that wakes once a second: what a flow costs that has nothing to do.

Run as ``python -m benchmarks.idle ENGINE SECONDS``.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone

from benchmarks.engines import FLOWS, load
from benchmarks.workload import Count, measured


def run_engine(name: str, seconds: int) -> None:
    """Emit one item a second through a map and a stateful step."""
    engine = load(name)
    op = engine.op

    class Seconds(engine.inputs.SimplePollingSource):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(interval=timedelta(seconds=1))
            self._left = seconds

        def next_item(self) -> datetime:
            if self._left == 0:
                raise StopIteration
            self._left -= 1
            return datetime.now(timezone.utc)

    sink = Count()
    flow = engine.dataflow.Dataflow("idle")
    stream = op.input("in", flow, Seconds())
    stream = op.key_on("key", stream, lambda _: "all")
    stream = op.stateful_map("count", stream, lambda n, _: ((n or 0) + 1,) * 2)
    engine.write("out", stream, sink.write)
    measured(lambda: engine.run(flow), sink.result)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=FLOWS)
    parser.add_argument("seconds", type=int)
    arguments = parser.parse_args()
    run_engine(arguments.engine, arguments.seconds)


if __name__ == "__main__":
    main()
