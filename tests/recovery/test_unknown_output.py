"""A store that is lost, or another one, doesn't cost the output that there is."""

from __future__ import annotations

import shutil

import millstream.operators as op
import pytest
from millstream.connectors.files import CommittingDirSink, DirSink, FileSink
from millstream.dataflow import Dataflow
from millstream.recovery import (
    RecoveryConfig,
    RecoveryError,
    UnknownOutputError,
    init_db_dir,
)
from millstream.testing import TestingSource, run_main

from tests.counting import ITEMS, expected, written
from tests.processes import finished
from tests.recovery.conftest import HERE

ITEMS_OF_FLOW = [("a", "one"), TestingSource.EOF(), ("a", "two")]


def flow_to(sink):
    flow = Dataflow("flow")
    op.output("out", op.input("inp", flow, TestingSource(ITEMS_OF_FLOW)), sink)
    return flow


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store"
    path.mkdir()
    init_db_dir(path, 1)
    return path


def renewed(store):
    shutil.rmtree(store)
    store.mkdir()
    init_db_dir(store, 1)
    return RecoveryConfig(store)


def test_file_sink_leaves_the_output_of_a_lost_store_alone(tmp_path, store):
    path = tmp_path / "out.txt"
    run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    assert path.read_text() == "one\n"
    with pytest.raises(RecoveryError) as raised:
        run_main(flow_to(FileSink(path)), recovery_config=renewed(store))
    assert str(raised.value) == (
        f"step `flow.out` failed while taking over its partition `{path}`: "
        f"`{path}` has 4 bytes that the recovery store knows nothing of, and this run "
        "would write over them; move the file away, or run with the store that it was "
        "written with"
    )
    assert raised.value.exit_code == 76
    assert isinstance(raised.value.__cause__, UnknownOutputError)
    assert path.read_text() == "one\n"
    path.unlink()
    run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    assert path.read_text() == "one\ntwo\n"


def test_dir_sink_leaves_unknown_files_alone(tmp_path, store):
    (tmp_path / "part_1").write_text("of somebody else")
    with pytest.raises(RecoveryError) as raised:
        run_main(flow_to(DirSink(tmp_path, 2)), recovery_config=RecoveryConfig(store))
    assert "partition `part_1`" in str(raised.value)
    assert (tmp_path / "part_1").read_text() == "of somebody else"
    assert not (tmp_path / "part_0").exists()


def test_empty_file_is_no_output(tmp_path, store):
    path = tmp_path / "out.txt"
    path.touch()
    run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    assert path.read_text() == "one\n"


def test_file_sink_knows_its_file_again(tmp_path, store):
    """Another file of that name, and longer, isn't cut."""
    path = tmp_path / "out.txt"
    run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    path.write_text("of somebody else, and longer")
    with pytest.raises(RecoveryError) as raised:
        run_main(flow_to(FileSink(path)), recovery_config=RecoveryConfig(store))
    assert str(raised.value) == (
        "step `flow.out` failed while calling `build_part` on worker 0: can't resume "
        f"`{path}` at byte 4: what is before that isn't what was written there, so it "
        "is another file; give the path of the file that the last execution wrote, or "
        "move this one away"
    )
    assert raised.value.exit_code == 76
    assert path.read_text() == "of somebody else, and longer"


def test_file_sink_without_a_store_begins_anew(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("of an earlier run, and longer")
    run_main(flow_to(FileSink(path)))
    assert path.read_text() == "one\n"


def test_file_that_a_new_step_writes_to_is_looked_at_too(tmp_path, store):
    first, second = tmp_path / "first", tmp_path / "second"
    run_main(flow_to(FileSink(first)), recovery_config=RecoveryConfig(store))
    second.write_text("of somebody else")
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(ITEMS_OF_FLOW))
    op.output("out", up, FileSink(first))
    op.output("more", up, FileSink(second))
    with pytest.raises(RecoveryError):
        run_main(flow, recovery_config=RecoveryConfig(store))
    assert second.read_text() == "of somebody else"
    second.unlink()
    run_main(flow, recovery_config=RecoveryConfig(store))
    assert (first.read_text(), second.read_text()) == ("one\ntwo\n", "two\n")


def test_committing_sink_adds_nothing_to_unknown_files(tmp_path, store):
    out = tmp_path / "out"
    out.mkdir()

    def sink():
        return CommittingDirSink(out, 1)

    run_main(flow_to(sink()), recovery_config=RecoveryConfig(store))
    seen = {path.name: path.read_text() for path in out.iterdir()}
    assert list(seen.values()) == ["one\n"]
    for config in (renewed(store), None):
        with pytest.raises(RecoveryError) as raised:
            run_main(flow_to(sink()), recovery_config=config)
        assert raised.value.exit_code == 76
        assert f"`{out / next(iter(seen))}` and 0 more are of an earlier run" in str(
            raised.value
        )
    assert {path.name: path.read_text() for path in out.iterdir()} == seen


def test_crash_before_the_first_commit_is_no_lost_store(counting):
    """What was written by then is ours, though nothing was kept of it."""
    with counting.start("first", PAUSE="0.01", BATCH="5", interval="100") as process:
        while not written(counting.out):
            assert process.poll() is None
        process.kill()
    with counting.start("second", PAUSE="0", BATCH="50") as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected(ITEMS)


def test_command_line_says_so_in_a_line(counting):
    (counting.out / "part_0").write_text("of somebody else")
    code, _, err = finished(
        *("-m", "millstream.run", "tests.counting:flow", "-r", str(counting.store)),
        folder=HERE,
        OUT=str(counting.out),
    )
    assert code == 76
    assert err.startswith("millstream: step `counting.out` failed while taking over")
    assert err.count("\n") == 1
    assert (counting.out / "part_0").read_text() == "of somebody else"
