"""What is counted, in the process that runs under callgrind.

Run as ``python -m benchmarks.guard.counted REQUESTS``, a shared library made of
``requests.c``, by `benchmarks.guard.__main__`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import Engine, load
from benchmarks.workload import Count

ITEMS = 4_000
SIZES = (ITEMS, 2 * ITEMS)
NAMES = (
    "maps-5",
    "map_filter",
    "words",
    "running_average",
    "tumbling",
    "aggregates",
    "sliding",
    "sessions",
    "join",
)
INTERPRETER = "interpreter"
INTERPRETED = "running_average"
"""Whose plain loop tells what the interpreter costs."""


@contextmanager
def counting(requests: ctypes.CDLL, name: str) -> Iterator[None]:
    """Count the instructions of a block, under a name."""
    gc.collect()
    requests.start_counting()
    yield
    requests.stop_counting(name.encode())


def prepare_flow(engine: Engine, name: str, data: Any) -> Callable[[], None]:
    """A dataflow, ready to run."""
    workload = WORKLOADS[name]
    flow = engine.dataflow.Dataflow("guard")
    engine.write("out", workload.flow(engine, flow, data), Count().write)
    return partial(engine.run, flow)


def prepare_loop(data: Any) -> Callable[[], None]:
    """A plain loop, ready to run."""
    return partial(WORKLOADS[INTERPRETED].plain, data, Count().write)


def count(requests: ctypes.CDLL, name: str, prepare: Callable[[Any], Any]) -> None:
    """Run a workload at each size, after a first run that loads what is needed."""
    make = WORKLOADS[INTERPRETED if name == INTERPRETER else name].make
    prepare(make(SIZES[0]))()
    for size in SIZES:
        run = prepare(make(size))
        with counting(requests, f"{name} {size}"):
            run()


def main() -> None:
    """Count everything."""
    requests = ctypes.CDLL(sys.argv[1])
    count(requests, INTERPRETER, prepare_loop)
    engine = load("millstream")
    for name in NAMES:
        count(requests, name, partial(prepare_flow, engine, name))


if __name__ == "__main__":
    main()
