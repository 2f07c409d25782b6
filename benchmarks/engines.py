"""What runs a dataflow: Millstream as it comes or as composed, or the peer.

All have one API, so a workload is written once, against the modules that an `Engine`
has imported by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Batches = list[list[Any]]
Write = Callable[[list[Any]], None]
"""Takes a batch of results."""

FLOWS = ("millstream", "composed", "bytewax")
"""The engines that run a dataflow."""


@dataclass(frozen=True)
class Engine:
    """The modules of an engine, and how to run a flow with it."""

    dataflow: Any
    inputs: Any
    outputs: Any
    op: Any
    windowing: Any
    testing: Any
    files: Any
    options: dict[str, bool] = field(default_factory=dict)

    def read(self, step_id: str, flow: Any, batches: Iterable[list[Any]]) -> Any:
        """Add an input that emits batches which are there already."""

        class Partition(self.inputs.StatelessSourcePartition):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                self._batches: Iterator[list[Any]] = iter(batches)

            def next_batch(self) -> list[Any]:
                return next(self._batches)

        class Source(self.inputs.DynamicSource):  # type: ignore[misc,name-defined]
            def build(self, *_: object) -> Partition:
                return Partition()

        return self.op.input(step_id, flow, Source())

    def write(self, step_id: str, stream: Any, write: Write) -> None:
        """Add an output that hands every batch to a function."""

        class Partition(self.outputs.StatelessSinkPartition):  # type: ignore[misc,name-defined]
            def write_batch(self, items: list[Any]) -> None:
                write(items)

        class Sink(self.outputs.DynamicSink):  # type: ignore[misc,name-defined]
            def build(self, *_: object) -> Partition:
                return Partition()

        self.op.output(step_id, stream, Sink())

    def run(self, flow: Any, workers: int = 1) -> None:
        """Run a flow to its end, on workers that are threads."""
        if workers == 1:
            self.testing.run_main(flow, **self.options)
        else:
            self.testing.cluster_main(
                flow, [], 0, worker_count_per_proc=workers, **self.options
            )


def load(name: str) -> Engine:
    """Import an engine; ``composed`` is Millstream without its native operators."""
    package = "bytewax" if name == "bytewax" else "millstream"
    modules = {
        "dataflow": "dataflow",
        "inputs": "inputs",
        "outputs": "outputs",
        "op": "operators",
        "windowing": "operators.windowing",
        "testing": "testing",
        "files": "connectors.files",
    }
    return Engine(
        **{
            attribute: importlib.import_module(f"{package}.{module}")
            for attribute, module in modules.items()
        },
        options={"optimize": False} if name == "composed" else {},
    )
