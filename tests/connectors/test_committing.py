"""Files that appear when what is in them can't be taken back any more."""

from __future__ import annotations

from datetime import timedelta

import millstream.operators as op
import pytest
from millstream.connectors.files import CommittingDirSink
from millstream.dataflow import Dataflow
from millstream.recovery import UnknownOutputError
from millstream.testing import TestingSource, run_main


def build(sink, part="part_0", prepared=(), execution=1):
    built = sink.build_part("flow.out", part, execution)
    built.recover(list(prepared))
    return built


def seen(directory):
    return {path.name: path.read_text() for path in directory.glob("[!.]*")}


def hidden(directory):
    return sorted(directory.glob(".*"))


def test_file_appears_when_it_is_committed(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1))
    part.write_batch(["one"])
    part.write_batch(["two"])
    prepared = part.prepare(7)
    assert seen(tmp_path) == {}
    part.write_batch(["three"])
    part.commit(prepared)
    assert seen(tmp_path) == {"part_0-000000000007": "one\ntwo\n"}
    part.commit(part.prepare(8))
    part.close()
    assert seen(tmp_path)["part_0-000000000008"] == "three\n"
    assert not hidden(tmp_path)


def test_commit_may_be_repeated(tmp_path):
    sink = CommittingDirSink(tmp_path, 1)
    part = build(sink)
    part.write_batch(["one"])
    prepared = part.prepare(1)
    part.commit(prepared)
    part.commit(prepared)
    build(sink, prepared=[prepared])
    assert seen(tmp_path) == {"part_0-000000000001": "one\n"}
    # A reader may have taken it away.
    (tmp_path / "part_0-000000000001").unlink()
    build(sink, prepared=[prepared])
    assert seen(tmp_path) == {}


def test_recover_commits_what_counts_and_removes_the_rest(tmp_path):
    sink = CommittingDirSink(tmp_path, 2)
    for name in ("part_0", "part_1"):
        part = build(sink, name)
        part.write_batch(["counts"])
        counts = part.prepare(1)
        part.write_batch(["doesn't"])
        part.prepare(2)
        part.write_batch(["isn't even prepared"])
        # As a crash would.
        part._file.close()
    assert len(hidden(tmp_path)) == 6
    build(sink, "part_1", [counts])
    assert seen(tmp_path) == {"part_1-000000000001": "counts\n"}
    assert len(hidden(tmp_path)) == 3
    build(sink, "part_0")
    assert not hidden(tmp_path)


def test_recover_leaves_alone_what_a_later_execution_has_begun(tmp_path):
    """One that was taken over may get there late."""
    sink = CommittingDirSink(tmp_path, 1)
    heir = build(sink, execution=2)
    heir.write_batch(["of the heir"])
    prepared = heir.prepare(5)
    build(sink, execution=1)
    heir.commit(prepared)
    assert seen(tmp_path) == {"part_0-000000000005": "of the heir\n"}


def test_commit_misses_what_somebody_has_removed(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1))
    part.write_batch(["one"])
    prepared = part.prepare(1)
    (tmp_path / prepared[0]).unlink()
    with pytest.raises(FileNotFoundError) as raised:
        part.commit(prepared)
    assert str(raised.value) == (
        f"can't let `{tmp_path / prepared[1]}` be seen: what was written for it, "
        f"`{prepared[0]}`, is gone; somebody has removed it"
    )


def test_claim_refuses_what_another_run_has_prepared(tmp_path):
    sink = CommittingDirSink(tmp_path, 1)
    part = build(sink)
    part.write_batch(["one"])
    part.prepare(1)
    with pytest.raises(UnknownOutputError, match="and 0 more are of an earlier run"):
        sink.claim_part("flow.out", "part_0")


@pytest.mark.parametrize("name", ["", ".hidden", "folder/name", "n" * 181])
def test_names_must_be_those_of_files(tmp_path, name):
    with pytest.raises(ValueError, match="`file_namer` must return the name of a file"):
        CommittingDirSink(tmp_path, 1, lambda _index, _count: name)


def test_encoding_is_ended_in_each_file(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1, end="", encoding="iso2022_jp"))
    for epoch in (1, 2):
        part.write_batch(["日本"])
        part.commit(part.prepare(epoch))
    texts = {path.read_text("iso2022_jp") for path in tmp_path.iterdir()}
    assert texts == {"日本"}


def test_abort_removes_only_what_is_not_prepared(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1))
    part.write_batch(["prepared"])
    prepared = part.prepare(1)
    part.write_batch(["not prepared"])
    part.abort()
    part.close()
    assert len(hidden(tmp_path)) == 1
    part.commit(prepared)
    assert seen(tmp_path) == {"part_0-000000000001": "prepared\n"}


def test_commit_never_writes_over_a_file(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1))
    part.write_batch(["ours"])
    prepared = part.prepare(1)
    path = tmp_path / "part_0-000000000001"
    path.write_text("of somebody else")
    message = (
        f"can't let `{path}` be seen: there is a file of that name which isn't of this "
        "execution; move it away"
    )
    with pytest.raises(UnknownOutputError) as raised:
        part.commit(prepared)
    assert str(raised.value) == message
    assert path.read_text() == "of somebody else"
    path.unlink()
    part.commit(prepared)
    assert path.read_text() == "ours\n"


def test_names(tmp_path):
    def name(index, count):
        return f"{index}-of-{count}.v1.jsonl"

    sink = CommittingDirSink(tmp_path, 2, name, int, end=";", encoding="utf-16-le")
    assert sink.list_parts() == ["0-of-2.v1.jsonl", "1-of-2.v1.jsonl"]
    assert [sink.part_fn(key) for key in ("0", "1", "3")] == [0, 1, 1]
    part = build(sink, "1-of-2.v1.jsonl")
    part.write_batch(["ö"])
    part.commit(part.prepare(3))
    path = tmp_path / "1-of-2.v1-000000000003.jsonl"
    assert path.read_text("utf-16-le") == "ö;"
    with pytest.raises(UnknownOutputError):
        sink.claim_part("flow.out", "1-of-2.v1.jsonl")
    sink.claim_part("flow.out", "0-of-2.v1.jsonl")


def test_every_file_has_its_own_byte_order_mark(tmp_path):
    part = build(CommittingDirSink(tmp_path, 1, encoding="utf-8-sig"))
    for epoch in (1, 2):
        part.write_batch(["one"])
        part.write_batch(["two"])
        part.commit(part.prepare(epoch))
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert contents == {"one\ntwo\n".encode("utf-8-sig")}


@pytest.mark.parametrize("value", [1, None, b"bytes"])
def test_values_must_be_str(tmp_path, value):
    part = build(CommittingDirSink(tmp_path, 1))
    with pytest.raises(TypeError, match="turn all values into `str` before this step"):
        part.write_batch(["fine", value])
    part.abort()
    part.close()
    assert not hidden(tmp_path)


def test_directory_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        CommittingDirSink(tmp_path / "none", 1).list_parts()
    with pytest.raises(ValueError, match="`file_count` must be at least 1"):
        CommittingDirSink(tmp_path, 0)
    with pytest.raises(LookupError):
        CommittingDirSink(tmp_path, 1, encoding="none")


def test_each_epoch_has_a_file_of_its_own(tmp_path):
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource([("a", "one"), ("a", "two")]))
    op.output("out", up, CommittingDirSink(tmp_path, 1))
    run_main(flow, epoch_interval=timedelta())
    assert sorted(seen(tmp_path).values()) == ["one\n", "two\n"]


def test_end_to_end(entry_point, tmp_path):
    flow = Dataflow("flow")
    items = [(str(number % 12), f"value {number}") for number in range(100)]
    up = op.input("inp", flow, TestingSource(items, 7))
    op.output("out", up, CommittingDirSink(tmp_path, 12, assign_file=int))
    entry_point(flow)
    for index in range(12):
        files = sorted(tmp_path.glob(f"part_{index}-*"))
        lines = [line for path in files for line in path.read_text().splitlines()]
        assert lines == [value for key, value in items if int(key) == index]
