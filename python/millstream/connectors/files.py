"""Sources and sinks for files of lines.

Files are read and written as bytes, and positions are byte offsets, so that a
source or sink resumes exactly where it was. Text is decoded and encoded as UTF-8
unless told otherwise, whatever the platform's default is.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import adler32

from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition
from millstream.outputs import FixedPartitionedSink, StatefulSinkPartition

__all__ = ["CSVSource", "DirSink", "DirSource", "FileSink", "FileSource"]

_BLOCK_SIZE = 64 * 1024
"""How many bytes to read at once: many lines, and little to look through again
for the position of one of them."""


def _get_path_dev(path: Path) -> str:
    """Tell file systems apart by their device number."""
    return hex(path.stat().st_dev)


def _fs_id(get_fs_id: Callable[[Path], str], dir_path: Path) -> str:
    fs_id = get_fs_id(dir_path)
    if "::" in fs_id:
        msg = (
            f"`get_fs_id` must not return an id with `::` in it, "
            f"but for `{dir_path}` it returned `{fs_id}`"
        )
        raise ValueError(msg)
    return fs_id


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        msg = f"`batch_size` must be at least 1, but it is {batch_size}"
        raise ValueError(msg)


def _check_encoding(encoding: str) -> None:
    encoder = codecs.getincrementalencoder(encoding)()
    # The first character may bring a byte order mark.
    encoder.encode("a")
    if encoder.encode("\n") != b"\n":
        msg = (
            f"`encoding` must be one in which a line ends with a single byte, "
            f"but it is `{encoding}`; convert the file to UTF-8"
        )
        raise ValueError(msg)


def _check_file(path: Path, doing: str) -> None:
    if path.is_dir():
        msg = f"can't {doing} `{path.absolute()}`: it is a directory, not a file"
        raise IsADirectoryError(msg)
    if doing == "read" and not path.exists():
        msg = f"can't read `{path.absolute()}`: there is no such file; check the path"
        raise FileNotFoundError(msg)


def _check_dir(dir_path: Path, doing: str) -> None:
    if not dir_path.exists():
        msg = (
            f"can't {doing} files in `{dir_path.absolute()}`: "
            "there is no such directory; create it, or check the path"
        )
        raise FileNotFoundError(msg)
    if not dir_path.is_dir():
        msg = (
            f"can't {doing} files in `{dir_path.absolute()}`: "
            "it is a file, not a directory"
        )
        raise NotADirectoryError(msg)


def _check_part(for_part: str, path_of_part: str, path: Path) -> None:
    if path_of_part != str(path):
        msg = (
            f"can't resume the partition `{for_part}` with the file `{path}`; "
            f"give the path `{path_of_part}` again, "
            "or start without the state of the last execution"
        )
        raise ValueError(msg)


def _check_offset(path: Path, offset: int, size: int) -> None:
    if offset > size:
        msg = (
            f"can't resume `{path.absolute()}` at byte {offset}: "
            f"the file has only {size} bytes, so it isn't the one "
            "that the last execution used"
        )
        raise ValueError(msg)


class _InputFile:
    """A file to be decoded piece by piece; each piece begins and ends with a line."""

    def __init__(self, path: Path, encoding: str) -> None:
        _check_file(path, "read")
        self.path = path
        self.encoding = encoding
        self.file = path.open("rb")
        self.offset = 0
        """Where the next piece begins."""

        if codecs.lookup(encoding).name == "utf-8-sig":
            # The mark is one at the beginning of the file only, not of each piece.
            self.encoding = "utf-8"
            mark = codecs.BOM_UTF8
            if self.file.peek(len(mark)).startswith(mark):
                self.offset = len(self.file.read(len(mark)))

    def seek(self, offset: int) -> None:
        _check_offset(self.path, offset, os.fstat(self.file.fileno()).st_size)
        self.offset = self.file.seek(offset)

    def decode(self, piece: bytes) -> str:
        """Decode a piece that was just read, and move on to the next one."""
        try:
            text = piece.decode(self.encoding)
        except UnicodeDecodeError as error:
            msg = (
                f"can't decode `{self.path.absolute()}` as `{error.encoding}` "
                f"at byte {self.offset + error.start}: {error.reason}; "
                "give the source the `encoding` of the file, or repair the file"
            )
            raise ValueError(msg) from error
        self.offset += len(piece)
        return text


class _LinesPartition(StatefulSourcePartition[str, int]):
    """Reads a block, decodes and splits it at once, and emits it by batches."""

    def __init__(
        self, path: Path, batch_size: int, encoding: str, resume_state: int | None
    ) -> None:
        self._batch_size = batch_size
        self._input = _InputFile(path, encoding)
        self._block = b""
        self._lines: list[str] = []
        self._emitted = 0
        """How many of the lines of the block are emitted."""

        self._position = 0
        self._position_lines = 0
        """A place in the block, and how many of its lines come before it."""

        if resume_state is not None:
            try:
                self._input.seek(resume_state)
            except BaseException:
                self.close()
                raise

    def next_batch(self) -> list[str]:
        batch: list[str] = []
        while len(batch) < self._batch_size and self._has_lines():
            until = self._emitted + self._batch_size - len(batch)
            batch += self._lines[self._emitted : until]
            self._emitted = min(until, len(self._lines))
        if not batch:
            raise StopIteration
        return batch

    def _has_lines(self) -> bool:
        if self._emitted == len(self._lines):
            self._read_block()
        return self._emitted < len(self._lines)

    def _read_block(self) -> None:
        block = self._input.file.read(_BLOCK_SIZE)
        if not block.endswith(b"\n"):
            block += self._input.file.readline()
        text = self._input.decode(block)
        # Looking for one character first is many times faster.
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        self._lines = text.split("\n")
        if not self._lines[-1]:
            # Nothing follows the last line end.
            self._lines.pop()
        self._block = block
        self._emitted = self._position = self._position_lines = 0

    def snapshot(self) -> int:
        # Positions are counted only here, because there are far fewer snapshots
        # than batches, and from the last one, because there may be many in a block.
        if self._emitted == len(self._lines):
            return self._input.offset
        for _ in range(self._emitted - self._position_lines):
            self._position = self._block.index(b"\n", self._position) + 1
        self._position_lines = self._emitted
        return self._input.offset - len(self._block) + self._position

    def close(self) -> None:
        self._input.file.close()


class FileSource(FixedPartitionedSource[str, int]):
    r"""Read the lines of a file.

    A line ends with ``\n`` or ``\r\n``, which is not part of the item. Any other
    ``\r`` is.

    The state is the byte offset of the next line.

    Args:
        path: The file. It must exist when the dataflow starts.
        batch_size: How many lines to emit at once.
        get_fs_id: Called with the directory of the file. Returns an id, without
            ``::``, that is the same on all workers that see the same directory, so
            that one of them reads the file. The default is the device number.
        encoding: How text is encoded in the file. Encodings with more than one
            byte for a line end, as UTF-16, are not supported.

    Raises:
        ValueError: If `batch_size` is less than 1, or `encoding` is not supported.
        LookupError: If there is no such `encoding`.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, run_main
        >>> with TemporaryDirectory() as tmp:
        ...     path = Path(tmp) / "words.txt"
        ...     _ = path.write_text("hello\nworld\n")
        ...     flow = Dataflow("reading")
        ...     lines = op.input("lines", flow, FileSource(path))
        ...     out = []
        ...     op.output("out", lines, TestingSink(out))
        ...     run_main(flow)
        >>> out
        ['hello', 'world']
    """

    def __init__(
        self,
        path: Path | str,
        batch_size: int = 1000,
        get_fs_id: Callable[[Path], str] = _get_path_dev,
        *,
        encoding: str = "utf-8",
    ) -> None:
        _check_batch_size(batch_size)
        _check_encoding(encoding)
        self._path = Path(path)
        self._batch_size = batch_size
        self._get_fs_id = get_fs_id
        self._encoding = encoding

    def list_parts(self) -> list[str]:
        """The file, as the one partition.

        Returns:
            One name, ``"{fs_id}::{path}"``.

        Raises:
            FileNotFoundError: If there is no such file.
            IsADirectoryError: If the path is that of a directory.
            ValueError: If `get_fs_id` returned an id with ``::``.
        """
        _check_file(self._path, "read")
        return [f"{_fs_id(self._get_fs_id, self._path.parent)}::{self._path}"]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSourcePartition[str, int]:
        """Open the file.

        Args:
            step_id: The full id of the input step.
            for_part: The name that `list_parts` gave.
            resume_state: The byte offset to begin at.

        Returns:
            The partition.

        Raises:
            ValueError: If the partition is of another path, or the file ends before
                the offset.
        """
        _, _, path = for_part.partition("::")
        _check_part(for_part, path, self._path)
        return _LinesPartition(
            self._path, self._batch_size, self._encoding, resume_state
        )


class DirSource(FixedPartitionedSource[str, int]):
    """Read the lines of all files in a directory, each file as `FileSource` does.

    Each file is a partition, so several workers read several files at a time. The
    lines of one file stay in order; those of several files mix.

    Args:
        dir_path: The directory. It must exist when the dataflow starts.
        glob_pat: Which files to read, as for `pathlib.Path.glob`. Directories that
            match are skipped.
        batch_size: How many lines of a file to emit at once.
        get_fs_id: Called with the directory. See `FileSource`.
        encoding: How text is encoded in the files. See `FileSource`.

    Raises:
        ValueError: If `batch_size` is less than 1, or `encoding` is not supported.
        LookupError: If there is no such `encoding`.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as tmp:
        ...     _ = (Path(tmp) / "a.txt").write_text("hello")
        ...     _ = (Path(tmp) / "b.log").write_text("not this")
        ...     source = DirSource(Path(tmp), "*.txt", get_fs_id=lambda _: "shared")
        ...     source.list_parts()
        ['shared::a.txt']
    """

    def __init__(
        self,
        dir_path: Path | str,
        glob_pat: str = "*",
        batch_size: int = 1000,
        get_fs_id: Callable[[Path], str] = _get_path_dev,
        *,
        encoding: str = "utf-8",
    ) -> None:
        _check_batch_size(batch_size)
        _check_encoding(encoding)
        self._dir_path = Path(dir_path)
        self._glob_pat = glob_pat
        self._batch_size = batch_size
        self._get_fs_id = get_fs_id
        self._encoding = encoding

    def list_parts(self) -> list[str]:
        """The files in the directory.

        Returns:
            A name for each file, ``"{fs_id}::{path}"`` with the path from the
            directory.

        Raises:
            FileNotFoundError: If there is no such directory.
            NotADirectoryError: If the path is that of a file.
            ValueError: If `get_fs_id` returned an id with ``::``.
        """
        _check_dir(self._dir_path, "read")
        fs_id = _fs_id(self._get_fs_id, self._dir_path)
        return [
            f"{fs_id}::{path.relative_to(self._dir_path)}"
            for path in sorted(self._dir_path.glob(self._glob_pat))
            if not path.is_dir()
        ]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSourcePartition[str, int]:
        """Open one of the files. See `FileSource.build_part`."""
        _, _, path = for_part.partition("::")
        return _LinesPartition(
            self._dir_path / path, self._batch_size, self._encoding, resume_state
        )


class _CSVPartition(StatefulSourcePartition[dict[str, str], int]):
    def __init__(
        self,
        path: Path,
        batch_size: int,
        encoding: str,
        resume_state: int | None,
        fmtparams: dict[str, Any],
    ) -> None:
        self._batch_size = batch_size
        self._input = _InputFile(path, encoding)
        try:
            self._reader = csv.DictReader(self._lines(), **fmtparams)
            # This reads the header, which a resumed execution needs too.
            _ = self._reader.fieldnames
            if resume_state is not None:
                self._input.seek(resume_state)
        except BaseException:
            self.close()
            raise

    def _lines(self) -> Iterator[str]:
        # The reader takes no more lines than it needs for a row, so the offset is
        # always at the end of one.
        for line in self._input.file:
            yield self._input.decode(line)

    def next_batch(self) -> list[dict[str, str]]:
        try:
            rows = list(islice(self._reader, self._batch_size))
        except csv.Error as error:
            msg = (
                f"can't read `{self._input.path.absolute()}` as CSV: {error} "
                f"in the row that ends before byte {self._input.offset}"
            )
            raise ValueError(msg) from error
        if not rows:
            raise StopIteration
        return rows

    def snapshot(self) -> int:
        return self._input.offset

    def close(self) -> None:
        self._input.file.close()


class CSVSource(FixedPartitionedSource[dict[str, str], int]):
    r"""Read the rows of a CSV file as dictionaries, as `csv.DictReader` does.

    The first row has the names of the columns, unless `fmtparams` has
    ``fieldnames``. Quoted values may contain line ends. A lone ``\r`` doesn't end
    a row.

    The state is the byte offset of the next row.

    Args:
        path: The file. It must exist when the dataflow starts.
        batch_size: How many rows to emit at once.
        get_fs_id: Called with the directory of the file. See `FileSource`.
        encoding: How text is encoded in the file. See `FileSource`; ``"utf-8-sig"``
            is what spreadsheets often write.
        **fmtparams: Passed on to `csv.DictReader`.

    Raises:
        ValueError: If `batch_size` is less than 1, or `encoding` is not supported.
        LookupError: If there is no such `encoding`.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, run_main
        >>> with TemporaryDirectory() as tmp:
        ...     path = Path(tmp) / "people.csv"
        ...     _ = path.write_text("name;age\nAda;36\n")
        ...     flow = Dataflow("reading")
        ...     rows = op.input("rows", flow, CSVSource(path, delimiter=";"))
        ...     out = []
        ...     op.output("out", rows, TestingSink(out))
        ...     run_main(flow)
        >>> out
        [{'name': 'Ada', 'age': '36'}]
    """

    def __init__(
        self,
        path: Path | str,
        batch_size: int = 1000,
        get_fs_id: Callable[[Path], str] = _get_path_dev,
        *,
        encoding: str = "utf-8",
        **fmtparams: Any,
    ) -> None:
        self._file = FileSource(path, batch_size, get_fs_id, encoding=encoding)
        self._path = Path(path)
        self._batch_size = batch_size
        self._encoding = encoding
        self._fmtparams = fmtparams

    def list_parts(self) -> list[str]:
        """The file, as the one partition. See `FileSource.list_parts`."""
        return self._file.list_parts()

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSourcePartition[dict[str, str], int]:
        """Open the file. See `FileSource.build_part`."""
        _, _, path = for_part.partition("::")
        _check_part(for_part, path, self._path)
        return _CSVPartition(
            self._path,
            self._batch_size,
            self._encoding,
            resume_state,
            self._fmtparams,
        )


class _FilePartition(StatefulSinkPartition[str, int]):
    def __init__(
        self, path: Path, end: str, encoding: str, resume_state: int | None
    ) -> None:
        offset = resume_state or 0
        if offset:
            _check_offset(path, offset, path.stat().st_size if path.exists() else 0)
        self._path = path
        self._end = end
        self._encoder = codecs.getincrementalencoder(encoding)()
        if offset:
            # In the middle of the file there is no byte order mark.
            self._encoder.setstate(0)
        self._file = path.open("ab")
        self._file.truncate(offset)
        self._file.seek(offset)

    def write_batch(self, values: list[str]) -> None:
        try:
            text = self._end.join([*values, ""])
        except TypeError as error:
            msg = (
                f"can't write to `{self._path.absolute()}`: {error}; "
                "turn all values into `str` before this step"
            )
            raise TypeError(msg) from error
        self._file.write(self._encoder.encode(text))
        self._file.flush()
        os.fsync(self._file.fileno())

    def snapshot(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


class FileSink(FixedPartitionedSink[str, int]):
    r"""Write the values of ``(key, value)`` items to a file, all to the same.

    The file is opened when the first item arrives, and emptied then. A resumed
    execution instead cuts off what was written after the snapshot. Each batch is
    on disk before the next one is written.

    The state is the size of the file.

    Args:
        path: The file. Its directory must exist when the dataflow starts.
        end: Written after each value.
        encoding: How to encode text.

    Raises:
        LookupError: If there is no such `encoding`.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> with TemporaryDirectory() as tmp:
        ...     path = Path(tmp) / "words.txt"
        ...     flow = Dataflow("writing")
        ...     items = [("key", "hello"), ("key", "world")]
        ...     words = op.input("words", flow, TestingSource(items))
        ...     op.output("out", words, FileSink(path))
        ...     run_main(flow)
        ...     path.read_text()
        'hello\nworld\n'
    """

    def __init__(
        self, path: Path | str, end: str = "\n", *, encoding: str = "utf-8"
    ) -> None:
        codecs.lookup(encoding)
        self._path = Path(path)
        self._end = end
        self._encoding = encoding

    def list_parts(self) -> list[str]:
        """The file, as the one partition.

        Returns:
            One name, the path.

        Raises:
            FileNotFoundError: If there is no such directory.
            NotADirectoryError: If the path of the directory is that of a file.
            IsADirectoryError: If the path is that of a directory.
        """
        _check_dir(self._path.parent, "write")
        _check_file(self._path, "write")
        return [str(self._path)]

    def part_fn(self, item_key: str) -> int:  # noqa: ARG002
        """Route all keys to the one file."""
        return 0

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSinkPartition[str, int]:
        """Open the file.

        Args:
            step_id: The full id of the output step.
            for_part: The name that `list_parts` gave.
            resume_state: The size to cut the file to.

        Returns:
            The partition.

        Raises:
            ValueError: If the partition is of another path, or the file is smaller
                than that.
        """
        _check_part(for_part, for_part, self._path)
        return _FilePartition(self._path, self._end, self._encoding, resume_state)


def _file_name(index: int, _file_count: int) -> str:
    return f"part_{index}"


def _hash_key(item_key: str) -> int:
    return adler32(item_key.encode())


class DirSink(FixedPartitionedSink[str, int]):
    r"""Write the values of ``(key, value)`` items to files in a directory.

    All values with the same key go to the same file. Each file is written as
    `FileSink` does; one that gets no value is not touched.

    Args:
        dir_path: The directory. It must exist when the dataflow starts.
        file_count: How many files there are.
        file_namer: Called with the index of a file and the number of files. Returns
            its name. The default is ``"part_{index}"``.
        assign_file: Called with the key of an item. Returns the index of its file;
            modulo `file_count`, if it is too large. The default is a hash.
        end: Written after each value.
        encoding: How to encode text.

    Raises:
        ValueError: If `file_count` is less than 1, or two files have one name.
        LookupError: If there is no such `encoding`.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> with TemporaryDirectory() as tmp:
        ...     flow = Dataflow("writing")
        ...     items = [("0", "hello"), ("1", "world")]
        ...     words = op.input("words", flow, TestingSource(items))
        ...     op.output("out", words, DirSink(Path(tmp), 2, assign_file=int))
        ...     run_main(flow)
        ...     [path.read_text() for path in sorted(Path(tmp).iterdir())]
        ['hello\n', 'world\n']
    """

    def __init__(
        self,
        dir_path: Path | str,
        file_count: int,
        file_namer: Callable[[int, int], str] = _file_name,
        assign_file: Callable[[str], int] = _hash_key,
        end: str = "\n",
        *,
        encoding: str = "utf-8",
    ) -> None:
        codecs.lookup(encoding)
        if file_count < 1:
            msg = f"`file_count` must be at least 1, but it is {file_count}"
            raise ValueError(msg)
        names = [file_namer(index, file_count) for index in range(file_count)]
        if len(set(names)) < file_count:
            msg = (
                "`file_namer` must return a name of its own for each file, "
                f"but it returned {names}"
            )
            raise ValueError(msg)
        self._dir_path = Path(dir_path)
        self._names = names
        # Partitions are numbered by the order of their names, where `part_10` is
        # before `part_2`; files by index.
        self._part_of_file = [sorted(names).index(name) for name in names]
        self._assign_file = assign_file
        self._end = end
        self._encoding = encoding

    def list_parts(self) -> list[str]:
        """The files, as partitions.

        Returns:
            The names of the files.

        Raises:
            FileNotFoundError: If there is no such directory.
            NotADirectoryError: If the path is that of a file.
            IsADirectoryError: If one of the files is a directory.
        """
        _check_dir(self._dir_path, "write")
        for name in self._names:
            _check_file(self._dir_path / name, "write")
        return list(self._names)

    def part_fn(self, item_key: str) -> int:
        """Route a key to the file that `assign_file` says."""
        return self._part_of_file[self._assign_file(item_key) % len(self._names)]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> StatefulSinkPartition[str, int]:
        """Open one of the files. See `FileSink.build_part`."""
        return _FilePartition(
            self._dir_path / for_part, self._end, self._encoding, resume_state
        )
