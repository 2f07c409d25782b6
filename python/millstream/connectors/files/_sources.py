"""Sources of the lines of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millstream.connectors.files._checks import (
    check_batch_size,
    check_dir,
    check_encoding,
    check_file,
    check_part,
    checked_fs_id,
)
from millstream.connectors.files._input_file import InputFile
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition

__all__ = ["DirSource", "FileSource", "get_path_dev"]

_BLOCK_SIZE = 64 * 1024
"""How many bytes to read at once: many lines, and little to look through again
for the position of one of them."""


def get_path_dev(path: Path) -> str:
    """Tell file systems apart by their device number."""
    return hex(path.stat().st_dev)


class _LinesPartition(StatefulSourcePartition[str, int]):
    """Reads a block, decodes and splits it at once, and emits it by batches."""

    def __init__(
        self, path: Path, batch_size: int, encoding: str, resume_state: int | None
    ) -> None:
        self._batch_size = batch_size
        self._input = InputFile(path, encoding)
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
        get_fs_id: Callable[[Path], str] = get_path_dev,
        *,
        encoding: str = "utf-8",
    ) -> None:
        check_batch_size(batch_size)
        check_encoding(encoding)
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
        check_file(self._path, "read")
        return [f"{checked_fs_id(self._get_fs_id, self._path.parent)}::{self._path}"]

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
        check_part(for_part, path, self._path)
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
        get_fs_id: Callable[[Path], str] = get_path_dev,
        *,
        encoding: str = "utf-8",
    ) -> None:
        check_batch_size(batch_size)
        check_encoding(encoding)
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
        check_dir(self._dir_path, "read")
        fs_id = checked_fs_id(self._get_fs_id, self._dir_path)
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
