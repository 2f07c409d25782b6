"""W8: read JSON Lines, parse them, keep some, project each, write JSON Lines."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.engines import Engine, Write
from benchmarks.workload import BATCH, Workload

KINDS = ("view", "click", "search", "buy")
KEPT = "buy"
FIELDS = ("id", "user", "amount")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"

Record = dict[str, Any]


def is_kept(record: Record) -> bool:
    """The user's predicate."""
    return bool(record["kind"] == KEPT)


def project(record: Record) -> str:
    """The user's mapper: the line of a record with fewer fields."""
    return json.dumps({field: record[field] for field in FIELDS})


def with_key(line: str) -> tuple[str, str]:
    """What a sink of a file takes."""
    return ("all", line)


def make(items: int) -> Path:
    """A file of records, about 190 bytes each."""
    draw = random.Random(8)  # noqa: S311 - no secrets here
    path = data.directory() / f"records-{items}.jsonl"
    with path.open("w") as file:
        for number in range(items):
            record = {
                "id": number,
                "user": f"user-{draw.randrange(10_000)}",
                "kind": draw.choice(KINDS),
                "amount": draw.randrange(1, 4_000) / 4 + 1 / 8,
                "page": f"/products/{draw.randrange(100_000)}/details",
                "agent": AGENT,
                "position": {"x": draw.randrange(2_000), "y": draw.randrange(1_000)},
            }
            file.write(json.dumps(record) + "\n")
    return path


def written(source: Path) -> Path:
    """Where this process writes what it made of a file."""
    return source.with_suffix(f".{os.getpid()}")


def flow(engine: Engine, flow: Any, path: Path) -> Any:
    """The steps; what is written to the file goes on to be counted."""
    op, files = engine.op, engine.files
    lines = op.input("in", flow, files.FileSource(path, batch_size=BATCH))
    records = op.map("parse", lines, json.loads)
    kept = op.filter("keep", records, is_kept)
    projected = op.map("project", kept, project)
    keyed = op.map("key", projected, with_key)
    op.output("file", keyed, files.FileSink(written(path)))
    return projected


def plain(path: Path, write: Write) -> None:
    """The loop."""
    results = []
    with path.open() as source, written(path).open("w") as sink:
        for line in source:
            record = json.loads(line)
            if is_kept(record):
                results.append(project(record))
                sink.write(results[-1] + "\n")
    write(results)


def fields(line: str) -> tuple[Any, ...]:
    """What a line says, since engines write JSON each their own way."""
    record = json.loads(line)
    return tuple(record[field] for field in FIELDS)


WORKLOAD = Workload(
    "W8 JSON Lines",
    items=250_000,
    make=make,
    flow=flow,
    plain=plain,
    compared=fields,
)
