"""Stores that are damaged, incomplete or not of one time: refused, never half right."""

from __future__ import annotations

import shutil
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import millstream.operators as op
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.recovery import (
    InconsistentPartitionsError,
    MissingPartitionsError,
    NoPartitionsError,
    RecoveryConfig,
    RecoveryError,
    init_db_dir,
)
from millstream.testing import TestingSink, TestingSource, run_main

from tests.recovery.refusals import LACKS, MAKES_A_STORE, NO_DIRECTORY, NO_STORE


def totals(items, out):
    """A dataflow that adds up."""
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(items))
    sums = op.stateful_map("sum", up, lambda s, n: ((s or 0) + n, (s or 0) + n))
    op.output("out", sums, TestingSink(out))
    return flow


ITEMS = [("a", 1), ("b", 2), ("c", 3), TestingSource.EOF(), ("a", 10), ("b", 20)]
AFTER = [("a", 11), ("b", 22)]


def run_once(store):
    run_main(totals(ITEMS, []), recovery_config=RecoveryConfig(store))


def outcome(store):
    """What comes out, or the error of the store."""
    out = []
    try:
        run_main(totals(ITEMS, out), recovery_config=RecoveryConfig(store))
    except (RecoveryError, ValueError, FileNotFoundError) as ex:
        # What can't be read only when something is to be written is found then.
        assert out in ([], AFTER)
        return ex
    return out


@pytest.fixture
def store(tmp_path):
    """A store on which a dataflow has run, in this process."""
    directory = tmp_path / "store"
    directory.mkdir()
    init_db_dir(directory, 2)
    run_once(directory)
    return directory


def test_errors_have_types(tmp_path):
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    for directory, message in ((missing, NO_DIRECTORY), (empty, NO_STORE)):
        error = outcome(directory)
        assert isinstance(error, NoPartitionsError)
        assert str(error) == message.format(directory) + MAKES_A_STORE
        assert error.exit_code == 76


def test_file_that_is_missing(store):
    (store / "part-1.sqlite3").unlink()
    error = outcome(store)
    assert isinstance(error, MissingPartitionsError)
    assert str(error) == LACKS.format(store)
    assert error.exit_code == 76


def copy_of(store, name):
    return shutil.copytree(store, store.parent / name)


def bring_back(copy, store, number):
    for path in store.glob(f"part-{number}.*"):
        path.unlink()
    for path in copy.glob(f"part-{number}.*"):
        shutil.copy2(path, store)


@pytest.mark.parametrize("number", [0, 1])
def test_old_copy_of_a_file(tmp_path, number):
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 2)
    new = copy_of(store, "new")
    run_once(store)
    used = copy_of(store, "used")
    assert outcome(store) == AFTER
    latest = copy_of(store, "latest")
    for copy in (new, used):
        bring_back(copy, store, number)
        error = outcome(store)
        assert isinstance(error, InconsistentPartitionsError)
        assert error.exit_code == 76
        assert f"`part-{number}.sqlite3` is " in str(error)
        assert "older" in str(error)
        bring_back(latest, store, number)
    assert outcome(store) == []


def test_file_of_another_store(store, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    init_db_dir(other, 2)
    run_once(other)
    bring_back(other, store, 1)
    error = outcome(store)
    assert isinstance(error, InconsistentPartitionsError)
    assert error.exit_code == 76


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: b"?" * len(data), id="garbage"),
        pytest.param(lambda data: bytes(len(data)), id="zeros"),
    ],
)
def test_file_that_is_something_else(store, damage):
    path = store / "part-0.sqlite3"
    path.write_bytes(damage(path.read_bytes()))
    error = outcome(store)
    assert isinstance(error, InconsistentPartitionsError)
    assert str(error).startswith(f"The store file `{path}` is damaged: ")
    assert error.exit_code == 76


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=settings.default.max_examples * 3)
def test_byte_that_is_another(place, flip):
    """Refused, or without effect: D5."""
    with TemporaryDirectory() as folder:
        store = Path(shutil.copytree(sound_store(), Path(folder) / "store"))
        path = store / "part-0.sqlite3"
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] ^= flip
        path.write_bytes(data)
        got = outcome(store)
        if got != AFTER:
            assert isinstance(got, InconsistentPartitionsError | RecoveryError)
            assert got.exit_code in {72, 76}
            assert str(path) in str(got)


@cache
def sound_store():
    store = mkdtemp()
    init_db_dir(store, 1)
    run_once(store)
    return store


def test_drop_of_a_step_that_is_there(store):
    config = RecoveryConfig(store, drop=["flow.sum"])
    with pytest.raises(RecoveryError) as raised:
        run_main(totals(ITEMS, []), recovery_config=config)
    assert str(raised.value) == (
        "step `flow.sum` is to be dropped, but the dataflow has it; each start would "
        "empty it again, so give the step a new name instead"
    )
    assert raised.value.exit_code == 78
    assert outcome(store) == AFTER


@pytest.mark.parametrize("optimize", [True, False], ids=["native", "composed"])
def test_state_that_cannot_be_pickled(tmp_path, optimize):
    init_db_dir(tmp_path, 1)
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource([("a", 1)]))
    step = op.stateful_map("step", up, lambda _state, value: (lambda: value, value))
    op.output("out", step, TestingSink([]))
    with pytest.raises(MillstreamRuntimeError) as raised:
        run_main(flow, recovery_config=RecoveryConfig(tmp_path), optimize=optimize)
    assert str(raised.value) == (
        "step `flow.step` failed while pickling its state to be kept for key `a` "
        "on worker 0"
    )
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        pytest.param(
            lambda up: op.collect("step", up, timedelta(days=1), max_size=9),
            lambda up: op.fold_final("step", up, list, lambda ls, n: [*ls, n]),
            "a `collect`",
            id="collect-fold_final",
        ),
        pytest.param(
            lambda up: op.join("step", up, emit_mode="running"),
            lambda up: op.fold_final("step", up, list, lambda ls, n: [*ls, n]),
            "a `join` of 1 sides",
            id="join-fold_final",
        ),
    ],
)
def test_step_that_is_another_operator_now(tmp_path, before, after, kept):
    """What it kept is of no use, though it has the same name."""
    init_db_dir(tmp_path, 1)
    items = [("a", 1), ("b", 2), TestingSource.ABORT(), ("a", 3)]
    for add_step in (before, after):
        flow, out = Dataflow("flow"), []
        up = op.input("inp", flow, TestingSource(items))
        op.output("out", add_step(up), TestingSink(out))
        config = RecoveryConfig(tmp_path)
        if add_step is before:
            run_main(flow, recovery_config=config, epoch_interval=timedelta())
            continue
        with pytest.raises(RecoveryError) as raised:
            run_main(flow, recovery_config=config)
        assert raised.value.exit_code == 78
        assert str(raised.value) == (
            "step `flow.step` keeps a `fold_final`, and the recovery store has of it "
            f"what an earlier run kept of {kept}; give the step a new name, and drop "
            "the old one"
        )
