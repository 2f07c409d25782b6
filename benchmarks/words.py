"""W2: count the words of a text; their frequencies are as in a language (Zipf)."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.engines import Batches, Engine, Write
from benchmarks.workload import Workload, in_batches

VOCABULARY = 100_000
WORDS_A_LINE = 10
LINES_A_BATCH = 100


def identity(word: str) -> str:
    """The user's key of a word."""
    return word


def make(items: int) -> Batches:
    """Lines of so many words in all."""
    draw = random.Random(2)  # noqa: S311 - no secrets here
    vocabulary = [f"word{number}" for number in range(VOCABULARY)]
    weights = [1 / (rank + 1) ** 1.05 for rank in range(VOCABULARY)]
    words = draw.choices(vocabulary, weights, k=items)
    lines = [
        " ".join(words[i : i + WORDS_A_LINE]) for i in range(0, items, WORDS_A_LINE)
    ]
    return in_batches(lines, LINES_A_BATCH)


def flow(engine: Engine, flow: Any, batches: Batches) -> Any:
    """The steps."""
    lines = engine.read("in", flow, batches)
    words = engine.op.flat_map("split", lines, str.split)
    return engine.op.count_final("count", words, identity)


def plain(batches: Batches, write: Write) -> None:
    """The loop."""
    counts: dict[str, int] = {}
    for batch in batches:
        for line in batch:
            for word in line.split():
                key = identity(word)
                counts[key] = counts.get(key, 0) + 1
    write(list(counts.items()))


WORKLOAD = Workload(
    "W2 word count",
    items=9_000_000,
    make=make,
    flow=flow,
    plain=plain,
    fewer={"composed": 2_000_000, "pathway": 3_000_000},
    faster={"bytewax": 15, "plain": 1},
)
