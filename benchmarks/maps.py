"""A flow of K identity maps over two million integers: what a map costs.

Run as ``python -m benchmarks.maps ENGINE K``; the engine is ``millstream``,
``bytewax`` (if it is installed), or ``plain``, a loop without any.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator

from benchmarks.workload import measured

ITEMS = 2_000_000
BATCH = 1_000


def batches() -> list[list[int]]:
    """The data, made before the clock starts."""
    numbers = list(range(ITEMS))
    return [numbers[i : i + BATCH] for i in range(0, ITEMS, BATCH)]


def run_plain(maps: int) -> None:
    """The loop that one would write by hand for a stream."""
    data = batches()
    functions: list[Callable[[int], int]] = [lambda x: x for _ in range(maps)]
    count = 0

    def run() -> None:
        nonlocal count
        for batch in data:
            for item in batch:
                value = item
                for function in functions:
                    value = function(value)
                count += 1

    measured(run, lambda: count)


def run_engine(engine: str, maps: int) -> None:
    """The same in a dataflow; both engines have one API."""
    dataflow = importlib.import_module(f"{engine}.dataflow")
    inputs = importlib.import_module(f"{engine}.inputs")
    outputs = importlib.import_module(f"{engine}.outputs")
    op = importlib.import_module(f"{engine}.operators")
    testing = importlib.import_module(f"{engine}.testing")
    data = batches()
    count = 0

    class Partition(inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self._batches: Iterator[list[int]] = iter(data)

        def next_batch(self) -> list[int]:
            return next(self._batches)

    class Source(inputs.DynamicSource):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Partition:
            return Partition()

    class Counter(outputs.StatelessSinkPartition):  # type: ignore[misc,name-defined]
        def write_batch(self, items: list[int]) -> None:
            nonlocal count
            count += len(items)

    class Sink(outputs.DynamicSink):  # type: ignore[misc,name-defined]
        def build(self, *_: object) -> Counter:
            return Counter()

    flow = dataflow.Dataflow("maps")
    stream = op.input("in", flow, Source())
    for number in range(maps):
        stream = op.map(f"map_{number}", stream, lambda x: x)
    op.output("out", stream, Sink())
    measured(lambda: testing.run_main(flow), lambda: count)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["millstream", "bytewax", "plain"])
    parser.add_argument("maps", type=int)
    arguments = parser.parse_args()
    if arguments.engine == "plain":
        run_plain(arguments.maps)
    else:
        run_engine(arguments.engine, arguments.maps)


if __name__ == "__main__":
    main()
