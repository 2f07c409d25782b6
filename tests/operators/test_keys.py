"""Keys of any length are told apart, however the engine keeps them."""

from __future__ import annotations

from collections import Counter

import millstream.operators as op
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main

MANY = 20_000
"""More keys than the engine takes to be in the processor's cache."""


def counts(keys, batch_size=1, workers=1):
    """How often there is each key; they come out in the order of their text."""
    out: list[tuple[str, int]] = []
    flow = Dataflow("keys")
    stream = op.input("in", flow, TestingSource(keys, batch_size=batch_size))
    op.output("out", op.count_final("count", stream, lambda key: key), TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert len(out) == len({key for key, _ in out})
    if workers == 1:
        assert [key for key, _ in out] == sorted(set(keys))
    return dict(out)


def alike(length):
    """Keys of a length, which differ from one another in a place or two."""
    return [
        "k" * place + letter + "k" * (length - place - 1)
        for place in range(length)
        for letter in ("k", "l", "\0", "é", "🙂")
    ]


def test_keys_that_differ_in_one_place():
    keys = ["", *(key for length in range(1, 40) for key in alike(length))]
    again = ["".join(list(key)) for key in keys]
    assert counts(keys + again, batch_size=100) == Counter(keys + again)


@given(st.lists(st.text(st.sampled_from("a\0é"), max_size=14), max_size=60))
def test_any_keys(keys):
    assert counts(keys, batch_size=7) == Counter(keys)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("prefix", ["", "a prefix that is long"])
def test_many_keys(prefix, workers):
    keys = [f"{prefix}{number}" for number in range(MANY)]
    keys += [f"{prefix}{number}" for number in range(0, MANY, 3)]
    assert counts(keys, batch_size=1_000, workers=workers) == Counter(keys)
