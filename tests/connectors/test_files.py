import codecs
import csv
import io
import re
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path

import millstream.operators as op
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millstream.connectors.files import (
    CSVSource,
    DirSink,
    DirSource,
    FileSink,
    FileSource,
)
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.testing import TestingSink, TestingSource

# `tmp_path` is for all examples of a test; each of them overwrites its files.
each_example_overwrites = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def exactly(message):
    return f"^{re.escape(message)}$"


def build(source_or_sink, resume_state=None):
    (name,) = source_or_sink.list_parts()
    return source_or_sink.build_part("flow.step", name, resume_state)


def flat(batches):
    return list(chain.from_iterable(batches))


def drain(part):
    items = []
    with suppress(StopIteration):
        while True:
            items += part.next_batch()
    part.close()
    return items


def batches_and_positions(source):
    """All batches, and the positions before the first and after each."""
    part = build(source)
    batches, positions = [], [part.snapshot()]
    with suppress(StopIteration):
        while True:
            batches.append(part.next_batch())
            positions.append(part.snapshot())
    part.close()
    return batches, positions


def assert_resumes_anywhere(source):
    batches, positions = batches_and_positions(source)
    for index, position in enumerate(positions):
        assert drain(build(source, position)) == flat(batches[index:])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.txt"


def read_flow(out, source):
    flow = Dataflow("reads")
    op.output("out", op.input("inp", flow, source), TestingSink(out))
    return flow


def write_flow(items, sink):
    flow = Dataflow("writes")
    op.output("out", op.input("inp", flow, TestingSource(items, 3)), sink)
    return flow


# Lines.


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\n\ntwo\n", ["one", "", "", "two"]),
        (b"  one \t\n", ["  one \t"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\r\r\n", ["one\r"]),
        (b"one\rtwo\n\r", ["one\rtwo", "\r"]),
        # What `str.splitlines` would split at, too.
        ("a\x0bb\x0cc\x1cd\x85e\u2028f\n".encode(), ["a\x0bb\x0cc\x1cd\x85e\u2028f"]),
        ("größe\n水\n".encode(), ["größe", "水"]),
        (codecs.BOM_UTF8 + b"one\n", ["\ufeffone"]),
    ],
)
def test_file_source_lines(path, content, lines):
    path.write_bytes(content)
    assert drain(build(FileSource(path))) == lines


def test_file_source_takes_a_str(path):
    path.write_text("one\n")
    assert drain(build(FileSource(str(path)))) == ["one"]


def test_file_source_batches(path):
    path.write_text("0\n1\n2\n3\n4\n")
    batches, _ = batches_and_positions(FileSource(path, batch_size=2))
    assert batches == [["0", "1"], ["2", "3"], ["4"]]


@pytest.mark.parametrize("source_type", [FileSource, DirSource, CSVSource])
def test_sources_refuse_a_batch_size_below_one(path, source_type):
    message = "`batch_size` must be at least 1, but it is 0"
    with pytest.raises(ValueError, match=exactly(message)):
        source_type(path, batch_size=0)


def test_file_source_positions_are_bytes(path):
    path.write_bytes("ö\r\n水\nend".encode())
    _, positions = batches_and_positions(FileSource(path, batch_size=1))
    assert positions == [0, 4, 8, 11]


@each_example_overwrites
@given(
    content=st.text(st.sampled_from("ab\r\nö水\x85"), max_size=60),
    batch_size=st.integers(1, 5),
    block_size=st.integers(1, 20),
)
def test_file_source_reads_and_resumes_whatever_the_content(
    path, content, batch_size, block_size
):
    path.write_bytes(content.encode())
    expected = content.replace("\r\n", "\n").split("\n")
    if not expected[-1]:
        expected.pop()
    source = FileSource(path, batch_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("millstream.connectors.files._sources._BLOCK_SIZE", block_size)
        batches, _ = batches_and_positions(source)
        assert flat(batches) == expected
        assert {len(batch) for batch in batches[:-1]} <= {batch_size}
        assert_resumes_anywhere(source)


def test_file_source_reads_and_resumes_a_file_of_many_blocks(path):
    lines = [f"line {number} {'ö' * (number % 50)}" for number in range(20_000)]
    path.write_text("\n".join(lines), encoding="utf-8")
    source = FileSource(path, batch_size=1999)
    batches, _ = batches_and_positions(source)
    assert flat(batches) == lines
    assert [len(batch) for batch in batches] == [1999] * 10 + [10]
    assert_resumes_anywhere(source)


def test_file_source_reads_a_line_longer_than_a_block(path):
    line = "x" * 300_000
    path.write_text(f"{line}\nshort\n")
    assert drain(build(FileSource(path))) == [line, "short"]


def test_file_source_positions_without_snapshots_in_between(path):
    path.write_text("".join(f"{number}\n" for number in range(100)))
    part = build(FileSource(path, batch_size=7))
    for _ in range(10):
        part.next_batch()
    position = part.snapshot()
    part.close()
    assert drain(build(FileSource(path), position)) == [
        str(number) for number in range(70, 100)
    ]


def test_file_source_closes_the_file(path):
    path.write_text("one\n")
    part = build(FileSource(path))
    part.close()
    with pytest.raises(ValueError, match="closed file"):
        part.next_batch()


# Encodings.


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift_jis", "gb18030"])
def test_file_source_decodes_other_encodings(path, encoding):
    text = {"shift_jis": "表\n水", "gb18030": "表\n水"}.get(encoding, "ö\nß")
    path.write_bytes(text.encode(encoding))
    source = FileSource(path, encoding=encoding)
    assert drain(build(source)) == text.split("\n")
    assert_resumes_anywhere(source)


def test_file_source_drops_a_byte_order_mark_at_the_beginning_only(path):
    mark = codecs.BOM_UTF8
    path.write_bytes(mark + b"one\n" + mark + b"two\n")
    source = FileSource(path, batch_size=1, encoding="utf-8-sig")
    batches, positions = batches_and_positions(source)
    assert batches == [["one"], ["\ufefftwo"]]
    assert positions == [3, 7, 14]
    assert_resumes_anywhere(source)


def test_file_source_needs_no_byte_order_mark(path):
    path.write_text("one\n")
    assert drain(build(FileSource(path, encoding="utf-8-sig"))) == ["one"]


@pytest.mark.parametrize("source_type", [FileSource, DirSource, CSVSource])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_sources_refuse_encodings_without_a_single_byte_line_end(
    path, source_type, encoding
):
    message = (
        "`encoding` must be one in which a line ends with a single byte, "
        f"but it is `{encoding}`; convert the file to UTF-8"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        source_type(path, encoding=encoding)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: FileSource(path, encoding="utf-9"),
        lambda path: DirSource(path, encoding="utf-9"),
        lambda path: CSVSource(path, encoding="utf-9"),
        lambda path: FileSink(path, encoding="utf-9"),
        lambda path: DirSink(path, 1, encoding="utf-9"),
    ],
)
def test_unknown_encodings_are_refused(path, make):
    with pytest.raises(LookupError, match="utf-9"):
        make(path)


@pytest.mark.parametrize("source_type", [FileSource, CSVSource])
def test_undecodable_bytes_are_located(path, source_type):
    path.write_bytes(b"header\nfine\nbr\xffken\n")
    message = (
        f"can't decode `{path}` as `utf-8` at byte 14: invalid start byte; "
        "give the source the `encoding` of the file, or repair the file"
    )
    part = build(source_type(path))
    with pytest.raises(ValueError, match=exactly(message)) as caught:
        drain(part)
    part.close()
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_undecodable_bytes_are_located_after_a_resume(path):
    path.write_bytes(b"fine\nbr\xffken\n")
    part = build(FileSource(path), 5)
    with pytest.raises(ValueError, match="at byte 7:"):
        drain(part)
    part.close()


def test_undecodable_header_is_located(path):
    path.write_bytes(b"br\xffken\n")
    with pytest.raises(ValueError, match="at byte 2:"):
        build(CSVSource(path))


# Names of partitions.


@pytest.mark.parametrize("source_type", [FileSource, CSVSource])
def test_partition_is_named_after_file_system_and_path(path, source_type):
    path.touch()
    seen = []

    def get_fs_id(dir_path):
        seen.append(dir_path)
        return "shared"

    source = source_type(path, get_fs_id=get_fs_id)
    assert source.list_parts() == [f"shared::{path}"]
    assert seen == [path.parent]


def test_file_system_is_the_device_by_default(path):
    path.touch()
    assert FileSource(path).list_parts() == [f"{path.stat().st_dev:#x}::{path}"]


@pytest.mark.parametrize("source_type", [FileSource, CSVSource, DirSource])
def test_file_system_id_must_not_look_like_two_parts(tmp_path, path, source_type):
    path.touch()
    where = tmp_path if source_type is DirSource else path
    source = source_type(where, get_fs_id=lambda _: "a::b")
    message = (
        "`get_fs_id` must not return an id with `::` in it, "
        f"but for `{tmp_path}` it returned `a::b`"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        source.list_parts()


def test_path_may_contain_what_separates_the_parts(tmp_path):
    path = tmp_path / "a::b"
    path.write_text("one\n")
    assert drain(build(FileSource(path))) == ["one"]
    assert drain(build(DirSource(tmp_path))) == ["one"]


@pytest.mark.parametrize("source_type", [FileSource, CSVSource])
def test_resume_with_another_path_is_refused(path, source_type):
    path.touch()
    message = (
        f"can't resume the partition `0x1::/old.txt` with the file `{path}`; "
        "give the path `/old.txt` again, "
        "or start without the state of the last execution"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        source_type(path).build_part("flow.inp", "0x1::/old.txt", 10)


def test_file_sink_resume_with_another_path_is_refused(path):
    message = (
        f"can't resume the partition `/old.txt` with the file `{path}`; "
        "give the path `/old.txt` again, "
        "or start without the state of the last execution"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        FileSink(path).build_part("flow.out", "/old.txt", 10)


@pytest.mark.parametrize(
    ("make", "position"), [(FileSource, 7), (CSVSource, 7), (FileSink, (7, b""))]
)
def test_resume_with_a_file_that_has_shrunk_is_refused(path, make, position):
    path.write_text("short\n")
    message = (
        f"can't resume `{path}` at byte 7: the file has only 6 bytes, "
        "so it isn't the one that the last execution used"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        build(make(path), position)
    assert path.read_text() == "short\n"


# What isn't there.


@pytest.mark.parametrize("source_type", [FileSource, CSVSource])
def test_missing_file_is_named(path, source_type):
    source = source_type(path)
    message = f"can't read `{path}`: there is no such file; check the path"
    with pytest.raises(FileNotFoundError, match=exactly(message)):
        source.list_parts()
    path.touch()
    assert len(source.list_parts()) == 1


def test_relative_path_is_shown_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = f"can't read `{tmp_path / 'no.txt'}`: there is no such file"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        FileSource("no.txt").list_parts()


@pytest.mark.parametrize("source_type", [FileSource, CSVSource])
def test_file_that_vanishes_is_named(path, source_type):
    path.touch()
    source = source_type(path)
    (name,) = source.list_parts()
    path.unlink()
    message = f"can't read `{path}`: there is no such file; check the path"
    with pytest.raises(FileNotFoundError, match=exactly(message)):
        source.build_part("flow.inp", name, None)


@pytest.mark.parametrize(
    ("make", "doing"), [(FileSource, "read"), (CSVSource, "read"), (FileSink, "write")]
)
def test_directory_in_place_of_a_file_is_named(tmp_path, make, doing):
    message = f"can't {doing} `{tmp_path}`: it is a directory, not a file"
    with pytest.raises(IsADirectoryError, match=exactly(message)):
        make(tmp_path).list_parts()


@pytest.mark.parametrize(
    ("make", "doing"),
    [
        (DirSource, "read"),
        (lambda path: DirSink(path, 2), "write"),
        (lambda path: FileSink(path / "file.txt"), "write"),
    ],
)
def test_missing_directory_is_named(tmp_path, make, doing):
    missing = tmp_path / "no"
    message = (
        f"can't {doing} files in `{missing}`: there is no such directory; "
        "create it, or check the path"
    )
    with pytest.raises(FileNotFoundError, match=exactly(message)):
        make(missing).list_parts()


@pytest.mark.parametrize(
    ("make", "doing"),
    [
        (DirSource, "read"),
        (lambda path: DirSink(path, 2), "write"),
        (lambda path: FileSink(path / "file.txt"), "write"),
    ],
)
def test_file_in_place_of_a_directory_is_named(path, make, doing):
    path.touch()
    message = f"can't {doing} files in `{path}`: it is a file, not a directory"
    with pytest.raises(NotADirectoryError, match=exactly(message)):
        make(path).list_parts()


# Directories.


def test_dir_source_has_a_partition_for_each_file(tmp_path):
    (tmp_path / "b.txt").touch()
    (tmp_path / "a.txt").touch()
    (tmp_path / "directory.txt").mkdir()
    (tmp_path / "directory.txt" / "deep.txt").touch()
    (tmp_path / "other.log").touch()
    source = DirSource(tmp_path, "*.txt", get_fs_id=lambda path: path.name)
    name = tmp_path.name
    assert source.list_parts() == [f"{name}::a.txt", f"{name}::b.txt"]


def test_dir_source_looks_deeper_if_the_pattern_does(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("one\n")
    source = DirSource(str(tmp_path), "**/*", get_fs_id=lambda _: "id")
    assert source.list_parts() == [f"id::{Path('a', 'b.txt')}"]
    assert drain(build(source)) == ["one"]


def test_dir_source_resumes_each_file(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    assert_resumes_anywhere(DirSource(tmp_path, batch_size=1))


def test_dir_source_of_an_empty_directory(tmp_path):
    assert DirSource(tmp_path).list_parts() == []


# CSV.


def test_csv_source_rows(path):
    path.write_text("name,age\nAda,36\n\nGrace,85\n")
    rows = [{"name": "Ada", "age": "36"}, {"name": "Grace", "age": "85"}]
    batches, positions = batches_and_positions(CSVSource(path, batch_size=1))
    assert batches == [[row] for row in rows]
    assert positions == [9, 16, 26]


@pytest.mark.parametrize("content", ["", "name,age\n", "name,age"])
def test_csv_source_without_rows(path, content):
    path.write_text(content)
    assert drain(build(CSVSource(path))) == []


def test_csv_source_passes_parameters_on(path):
    path.write_text("Ada;'36;37';more\n")
    source = CSVSource(
        path, delimiter=";", quotechar="'", fieldnames=["name", "age"], restkey="rest"
    )
    assert drain(build(source)) == [{"name": "Ada", "age": "36;37", "rest": ["more"]}]


def test_csv_source_resumes_without_a_header(path):
    path.write_text("Ada,36\nGrace,85\n")
    assert_resumes_anywhere(CSVSource(path, 1, fieldnames=["name", "age"]))


def test_csv_source_drops_a_byte_order_mark(path):
    path.write_bytes(codecs.BOM_UTF8 + b'"name"\nAda\nGrace\n')
    source = CSVSource(path, 1, encoding="utf-8-sig")
    assert drain(build(source)) == [{"name": "Ada"}, {"name": "Grace"}]
    assert_resumes_anywhere(source)


def test_csv_source_keeps_line_ends_in_quotes_as_they_are(path):
    path.write_bytes(b'a,b\r\n"1\r\n2","3\n4\r5"\r\n6,7\r\n')
    source = CSVSource(path, batch_size=1)
    assert drain(build(source)) == [
        {"a": "1\r\n2", "b": "3\n4\r5"},
        {"a": "6", "b": "7"},
    ]
    assert_resumes_anywhere(source)


def test_csv_source_names_the_place_of_a_bad_row(path):
    path.write_bytes(b"a,b\n1,2\n3,4\rx\n")
    part = build(CSVSource(path))
    start = f"can't read `{path}` as CSV: "
    end = " in the row that ends before byte 14"
    pattern = f"^{re.escape(start)}.+{re.escape(end)}$"
    with pytest.raises(ValueError, match=pattern) as caught:
        part.next_batch()
    part.close()
    assert isinstance(caught.value.__cause__, csv.Error)


cells = st.text(st.sampled_from('ab,"\r\nö '), max_size=6)


@each_example_overwrites
@given(
    rows=st.lists(st.tuples(cells, cells), max_size=8),
    line_end=st.sampled_from(["\n", "\r\n"]),
    batch_size=st.integers(1, 3),
)
def test_csv_source_reads_and_resumes_whatever_was_written(
    path, rows, line_end, batch_size
):
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("x\ny", "z"), *rows])
    path.write_bytes(content.getvalue().encode())
    source = CSVSource(path, batch_size)
    assert drain(build(source)) == [{"x\ny": x, "z": z} for x, z in rows]
    assert_resumes_anywhere(source)


# Sinks.


def test_file_sink_writes_values_and_ends(path):
    part = build(FileSink(path, end="|"))
    part.write_batch(["one", "two"])
    part.write_batch([])
    part.write_batch(["größe"])
    # It is all there before the sink is closed.
    assert path.read_text(encoding="utf-8") == "one|two|größe|"
    assert part.snapshot() == (16, "one|two|größe|".encode())
    part.close()


def test_file_sink_has_one_partition_for_all_keys(path):
    sink = FileSink(str(path))
    assert sink.list_parts() == [str(path)]
    assert {sink.part_fn(key) for key in ["", "a", "b"]} == {0}


def test_file_sink_touches_nothing_until_it_is_built(path):
    path.write_text("old\n")
    sink = FileSink(path)
    sink.list_parts()
    assert path.read_text() == "old\n"
    build(sink).close()
    assert path.read_text() == ""


def test_file_sink_resumes_where_it_was(path):
    part = build(FileSink(path))
    part.write_batch(["kept"])
    position = part.snapshot()
    part.write_batch(["cut off"])
    part.close()
    part = build(FileSink(path), position)
    assert part.snapshot() == position
    part.write_batch(["new"])
    part.close()
    assert path.read_text() == "kept\nnew\n"


def test_file_sink_resumes_at_the_beginning(path):
    path.write_text("old\n")
    part = build(FileSink(path), 0)
    part.write_batch(["new"])
    part.close()
    assert path.read_text() == "new\n"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16", "utf-16-le"])
def test_file_sink_writes_one_byte_order_mark_at_most(path, encoding):
    part = build(FileSink(path, encoding=encoding))
    part.write_batch(["ö"])
    part.write_batch(["two"])
    position = part.snapshot()
    part.close()
    part = build(FileSink(path, encoding=encoding), position)
    part.write_batch(["three"])
    part.close()
    assert path.read_bytes() == "ö\ntwo\nthree\n".encode(encoding)


@pytest.mark.parametrize("value", [1, None, b"bytes"])
def test_file_sink_takes_only_str(path, value):
    part = build(FileSink(path))
    message = (
        f"can't write to `{path}`: sequence item 1: expected str instance, "
        f"{type(value).__name__} found; turn all values into `str` before this step"
    )
    with pytest.raises(TypeError, match=exactly(message)):
        part.write_batch(["fine", value])
    part.close()
    assert path.read_text() == ""


def test_dir_sink_has_a_partition_for_each_file(tmp_path):
    assert DirSink(tmp_path, 2).list_parts() == ["part_0", "part_1"]
    sink = DirSink(tmp_path, 2, file_namer=lambda index, count: f"{index}-of-{count}")
    assert sink.list_parts() == ["0-of-2", "1-of-2"]


def test_dir_sink_assigns_by_index_however_names_are_sorted(tmp_path):
    sink = DirSink(str(tmp_path), 11, assign_file=int)
    names = sorted(sink.list_parts())
    for index in range(11):
        assert names[sink.part_fn(str(index))] == f"part_{index}"
    assert names[sink.part_fn("13")] == "part_2"


def test_dir_sink_writes_and_resumes_a_file(tmp_path):
    sink = DirSink(tmp_path, 2, end=";")
    part = sink.build_part("flow.out", "part_1", None)
    part.write_batch(["one"])
    position = part.snapshot()
    part.close()
    part = sink.build_part("flow.out", "part_1", position)
    part.write_batch(["two"])
    part.close()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [
        ("part_1", "one;two;")
    ]


def test_dir_sink_refuses_too_few_files(tmp_path):
    message = "`file_count` must be at least 1, but it is 0"
    with pytest.raises(ValueError, match=exactly(message)):
        DirSink(tmp_path, 0)


def test_dir_sink_refuses_one_name_for_two_files(tmp_path):
    message = (
        "`file_namer` must return a name of its own for each file, "
        "but it returned ['same', 'same']"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        DirSink(tmp_path, 2, file_namer=lambda _index, _count: "same")


def test_dir_sink_names_a_directory_in_place_of_a_file(tmp_path):
    (tmp_path / "part_1").mkdir()
    message = f"can't write `{tmp_path / 'part_1'}`: it is a directory, not a file"
    with pytest.raises(IsADirectoryError, match=exactly(message)):
        DirSink(tmp_path, 2).list_parts()


# End to end.


def test_file_source_end_to_end(entry_point, path):
    lines = [f"line {number}" for number in range(2500)]
    path.write_text("\n".join(lines))
    out = []
    entry_point(read_flow(out, FileSource(path)))
    assert out == lines


def test_csv_source_end_to_end(entry_point, path):
    path.write_text('x,y\n1,"2\n3"\n4,5\n')
    out = []
    entry_point(read_flow(out, CSVSource(path)))
    assert out == [{"x": "1", "y": "2\n3"}, {"x": "4", "y": "5"}]


def test_dir_source_end_to_end(entry_point, tmp_path):
    expected = Counter()
    for number in range(5):
        lines = [f"{number}-{index}" for index in range(100)]
        (tmp_path / f"{number}.txt").write_text("\n".join(lines))
        expected.update(lines)
    out = []
    entry_point(read_flow(out, DirSource(tmp_path, batch_size=7)))
    assert Counter(out) == expected


def test_file_sink_end_to_end(entry_point, path):
    items = [(f"key {number % 3}", f"value {number}") for number in range(100)]
    entry_point(write_flow(items, FileSink(path)))
    written = path.read_text().splitlines()
    assert sorted(written) == sorted(value for _, value in items)


def test_dir_sink_end_to_end(entry_point, tmp_path):
    items = [(str(number % 12), f"value {number}") for number in range(100)]
    entry_point(write_flow(items, DirSink(tmp_path, 12, assign_file=int)))
    for index in range(12):
        lines = (tmp_path / f"part_{index}").read_text().splitlines()
        assert lines == [value for key, value in items if int(key) == index]


def test_unused_file_sink_leaves_the_file_alone(entry_point, path):
    path.write_text("old\n")
    entry_point(write_flow([], FileSink(path)))
    assert path.read_text() == "old\n"


@pytest.mark.parametrize("source_type", [FileSource, CSVSource, DirSource])
def test_missing_input_fails_the_execution(entry_point, path, source_type):
    flow = read_flow([], source_type(path))
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp\b") as caught:
        entry_point(flow)
    assert type(caught.value.__cause__) is FileNotFoundError
    assert str(path) in str(caught.value.__cause__)


def test_missing_output_directory_fails_the_execution(entry_point, tmp_path):
    flow = write_flow([("k", "v")], FileSink(tmp_path / "no" / "file.txt"))
    with pytest.raises(MillstreamRuntimeError, match=r"\bwrites\.out\b") as caught:
        entry_point(flow)
    assert type(caught.value.__cause__) is FileNotFoundError


def test_undecodable_bytes_fail_the_execution(entry_point, path):
    path.write_bytes(b"br\xffken\n")
    with pytest.raises(MillstreamRuntimeError, match=r"\breads\.inp\b") as caught:
        entry_point(read_flow([], FileSource(path)))
    assert type(caught.value.__cause__) is ValueError
    assert f"`{path}`" in str(caught.value.__cause__)
