"""Sinks that write lines to files."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path

from millstream.connectors.files._checks import (
    check_dir,
    check_file,
    check_offset,
    check_part,
    check_tail,
    check_unclaimed,
)
from millstream.connectors.files._numbered import NumberedFiles, file_name, hash_key
from millstream.outputs import FixedPartitionedSink, StatefulSinkPartition

__all__ = ["DirSink", "FileSink"]


FilePosition = tuple[int, bytes]
"""How long a file is, and its last bytes, by which it is known again."""

_TAIL = 64
"""How many bytes to know a file by."""


class _FilePartition(StatefulSinkPartition[str, FilePosition]):
    def __init__(
        self, path: Path, end: str, encoding: str, resume_state: FilePosition | None
    ) -> None:
        offset, self._tail = resume_state or (0, b"")
        if offset:
            check_offset(path, offset, path.stat().st_size if path.exists() else 0)
            check_tail(path, offset, self._tail)
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
        data = self._encoder.encode(text)
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]

    def snapshot(self) -> FilePosition:
        return self._file.tell(), self._tail

    def close(self) -> None:
        self._file.close()


class FileSink(FixedPartitionedSink[str, FilePosition]):
    r"""Write the values of ``(key, value)`` items to a file, all to the same.

    The file is opened when the first item arrives, and emptied then. A resumed
    execution instead cuts off what was written after the snapshot. With a recovery
    store that knows nothing of the file, it must be empty or not there, or the
    execution doesn't begin. Each batch is on disk before the next one is written.

    The state is the size of the file, and its last bytes: a file that doesn't have them
    isn't the one that was written.

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
        check_dir(self._path.parent, "write")
        check_file(self._path, "write")
        return [str(self._path)]

    def part_fn(self, item_key: str) -> int:  # noqa: ARG002
        """Route all keys to the one file."""
        return 0

    def claim_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,  # noqa: ARG002
    ) -> FilePosition:
        """Begin a file that the recovery store knows nothing of.

        Args:
            step_id: The full id of the output step.
            for_part: The name that `list_parts` gave.

        Returns:
            The position to begin with, that of an empty file.

        Raises:
            UnknownOutputError: If there is something in the file.
        """
        check_unclaimed(self._path)
        return 0, b""

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: FilePosition | None,
    ) -> StatefulSinkPartition[str, FilePosition]:
        """Open the file.

        Args:
            step_id: The full id of the output step.
            for_part: The name that `list_parts` gave.
            resume_state: Where to cut the file.

        Returns:
            The partition.

        Raises:
            ValueError: If the partition is of another path, or the file is smaller
                than that.
            UnknownOutputError: If what is before that isn't what was written there.
        """
        check_part(for_part, for_part, self._path)
        return _FilePartition(self._path, self._end, self._encoding, resume_state)


class DirSink(FixedPartitionedSink[str, FilePosition]):
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
        file_namer: Callable[[int, int], str] = file_name,
        assign_file: Callable[[str], int] = hash_key,
        end: str = "\n",
        *,
        encoding: str = "utf-8",
    ) -> None:
        codecs.lookup(encoding)
        self._dir_path = Path(dir_path)
        self._files = NumberedFiles(file_count, file_namer, assign_file)
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
        check_dir(self._dir_path, "write")
        for name in self._files.names:
            check_file(self._dir_path / name, "write")
        return list(self._files.names)

    def part_fn(self, item_key: str) -> int:
        """Route a key to the file that `assign_file` says."""
        return self._files.part_of(item_key)

    def claim_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
    ) -> FilePosition:
        """Begin one of the files. See `FileSink.claim_part`."""
        check_unclaimed(self._dir_path / for_part)
        return 0, b""

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: FilePosition | None,
    ) -> StatefulSinkPartition[str, FilePosition]:
        """Open one of the files. See `FileSink.build_part`."""
        return _FilePartition(
            self._dir_path / for_part, self._end, self._encoding, resume_state
        )
