"""Keys of any length are told apart, however the engine keeps them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import millstream.operators as op
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import TestingSink, TestingSource, cluster_main

MANY = 20_000
"""More keys than the engine takes to be in the processor's cache."""


def counts(keys, batch_size=1, workers=1, **settings):
    """How often there is each key; they come out in the order of their text."""
    out: list[tuple[str, int]] = []
    flow = Dataflow("keys")
    stream = op.input("in", flow, TestingSource(keys, batch_size=batch_size))
    op.output("out", op.count_final("count", stream, lambda key: key), TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=workers, **settings)
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


@pytest.mark.parametrize("length", [60_000, 70_000])
def test_keys_come_again_after_they_were_sent(length):
    # One long key makes that fewer are held until they are sent.
    keys = ["L" * length] + [f"k{number}" for number in range(3_000)] * 4
    assert counts(keys, batch_size=500, workers=2) == Counter(keys)


def test_keys_come_again_in_later_epochs(tmp_path):
    init_db_dir(tmp_path, 1)
    keys = [f"k{number % 40}" for number in range(30_000)]
    found = counts(
        keys,
        batch_size=50,
        workers=2,
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(tmp_path),
    )
    assert found == Counter(keys)
