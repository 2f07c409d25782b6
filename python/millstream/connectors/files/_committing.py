"""A sink whose files appear when what is in them can't be taken back any more."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from millstream.connectors.files._checks import check_dir
from millstream.connectors.files._numbered import NumberedFiles, file_name, hash_key
from millstream.errors import UnknownOutputError
from millstream.outputs import TwoPhaseSink, TwoPhaseSinkPartition

__all__ = ["CommittingDirSink"]

_DIGITS = 12
"""Enough that names sort by epoch."""

_LONGEST = 180
"""So that the name of a file that isn't ready has less than 255 bytes."""


class _Names:
    """How the files of a partition are called, and which of those there are its.

    A file that isn't ready has the number of its execution in its name. So an
    execution that has been taken over, and doesn't know it yet, can't take what its
    heir has begun for something that was left behind.
    """

    def __init__(self, dir_path: Path, name: str) -> None:
        self._dir_path = dir_path
        self._name = name
        self._stem, self._suffix = Path(name).stem, Path(name).suffix
        stem, suffix = re.escape(self._stem), re.escape(self._suffix)
        self._pending = re.compile(
            rf"\.{re.escape(name)}-([0-9]+)-[0-9a-f]{{32}}\.pending"
        )
        self._finished = re.compile(rf"{stem}-[0-9]{{{_DIGITS},}}{suffix}")

    def new_pending(self, execution: int) -> str:
        return f".{self._name}-{execution}-{uuid4().hex}.pending"

    def of_epoch(self, epoch: int) -> str:
        return f"{self._stem}-{epoch:0{_DIGITS}}{self._suffix}"

    def all(self) -> list[Path]:
        """Those that are there, of any execution."""
        return sorted(
            path
            for path in self._dir_path.iterdir()
            if self._finished.fullmatch(path.name) or self._pending.fullmatch(path.name)
        )

    def left_behind(self, execution: int) -> list[Path]:
        """Those that aren't ready, and of executions up to this one."""
        found = []
        for path in self._dir_path.iterdir():
            pending = self._pending.fullmatch(path.name)
            if pending and int(pending[1]) <= execution:
                found.append(path)
        return found


class _CommittingPartition(TwoPhaseSinkPartition[str, tuple[str, str]]):
    """Writes a file for each epoch; what is prepared is its name now, and then."""

    def __init__(
        self, dir_path: Path, names: _Names, execution: int, end: str, encoding: str
    ) -> None:
        self._dir_path = dir_path
        self._names = names
        self._execution = execution
        self._end = end
        self._encoder = codecs.getincrementalencoder(encoding)()
        self._pending = ""
        self._file: BinaryIO | None = None

    def recover(self, prepared: list[tuple[str, str]]) -> None:
        for names in prepared:
            # What isn't there any more was committed before the crash, and may even
            # have been taken away since.
            self._publish(names)
        if prepared:
            self._sync_dir()
        for path in self._names.left_behind(self._execution):
            path.unlink(missing_ok=True)

    def write_batch(self, values: list[str]) -> None:
        try:
            text = self._end.join([*values, ""])
        except TypeError as error:
            msg = (
                f"can't write to a file in `{self._dir_path.absolute()}`: {error}; "
                "turn all values into `str` before this step"
            )
            raise TypeError(msg) from error
        if self._file is None:
            self._pending = self._names.new_pending(self._execution)
            self._file = (self._dir_path / self._pending).open("xb")
            self._encoder.reset()
        self._file.write(self._encoder.encode(text))

    def prepare(self, epoch: int) -> tuple[str, str]:
        if self._file is not None:
            self._file.write(self._encoder.encode("", final=True))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            self._sync_dir()
        return self._pending, self._names.of_epoch(epoch)

    def commit(self, prepared: tuple[str, str]) -> None:
        pending, finished = prepared
        path = self._dir_path / finished
        if not self._publish(prepared) and not path.exists():
            msg = (
                f"can't let `{path.absolute()}` be seen: what was written for it, "
                f"`{pending}`, is gone; somebody has removed it"
            )
            raise FileNotFoundError(msg)
        self._sync_dir()

    def _publish(self, names: tuple[str, str]) -> bool:
        """Rename a file that is ready; false if there is none."""
        pending, finished = (self._dir_path / name for name in names)
        if not pending.exists():
            return False
        if finished.exists():
            msg = (
                f"can't let `{finished.absolute()}` be seen: there is a file of that "
                "name which isn't of this execution; move it away"
            )
            raise UnknownOutputError(msg)
        try:
            pending.rename(finished)
        except FileNotFoundError:
            # Whoever has taken this execution over was faster.
            return False
        return True

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            (self._dir_path / self._pending).unlink(missing_ok=True)

    def _sync_dir(self) -> None:
        directory = os.open(self._dir_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _check_name(name: str) -> None:
    """Check that a file can be called so, with an epoch or more in its name."""
    if not name or "/" in name or name.startswith(".") or len(name.encode()) > _LONGEST:
        msg = (
            "`file_namer` must return the name of a file, without a directory and not "
            f"beginning with a dot, of 1 to {_LONGEST} bytes; but it returned `{name}`"
        )
        raise ValueError(msg)


class CommittingDirSink(TwoPhaseSink[str, tuple[str, str]]):
    r"""Write the values of ``(key, value)`` items to files that never change.

    Each file has the values of one epoch. It appears, whole, when the recovery store
    has that epoch on disk, or at the end of the epoch if there is no store. So what can
    be seen is there once, at any time, whatever happens to the dataflow, and stays:
    readers need not wait for its end. They may take files away.

    A file is called ``part_{index}-{epoch}``, the number of the epoch with 12 digits,
    so that names are in the order of epochs. Files that aren't ready have a name that
    begins with a dot.

    All values with the same key go to the same index.

    Args:
        dir_path: The directory. It must exist when the dataflow starts. If the recovery
            store knows nothing of it, there must be no files of such names in it.
        file_count: How many files there are in an epoch, at most.
        file_namer: Called with the index of a file and `file_count`. Returns its name,
            in which the epoch is put before the suffix: ``"out.jsonl"`` becomes
            ``"out-000000000001.jsonl"``. The default is ``"part_{index}"``.
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
        >>> from millstream.connectors.files import CommittingDirSink
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSource, run_main
        >>> with TemporaryDirectory() as tmp:
        ...     flow = Dataflow("writing")
        ...     items = [("key", "hello"), ("key", "world")]
        ...     words = op.input("words", flow, TestingSource(items))
        ...     op.output("out", words, CommittingDirSink(tmp, 1))
        ...     run_main(flow)
        ...     [(path.name, path.read_text()) for path in Path(tmp).iterdir()]
        [('part_0-000000000001', 'hello\nworld\n')]
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
        for name in self._files.names:
            _check_name(name)
        self._end = end
        self._encoding = encoding

    def list_parts(self) -> list[str]:
        """The files, as partitions.

        Returns:
            Their names, without epochs.

        Raises:
            FileNotFoundError: If there is no such directory.
            NotADirectoryError: If the path is that of a file.
        """
        check_dir(self._dir_path, "write")
        return list(self._files.names)

    def part_fn(self, item_key: str) -> int:
        """Route a key to the file that `assign_file` says."""
        return self._files.part_of(item_key)

    def claim_part(self, step_id: str, for_part: str) -> None:  # noqa: ARG002
        """Begin with files of which nothing is known.

        Args:
            step_id: The full id of the output step.
            for_part: One of the names that `list_parts` gave.

        Raises:
            UnknownOutputError: If there are files of earlier executions.
        """
        found = _Names(self._dir_path, for_part).all()
        if found:
            msg = (
                f"`{found[0].absolute()}` and {len(found) - 1} more are of an earlier "
                "run that this one doesn't go on from; move them away, or run with the "
                "store that they were written with"
            )
            raise UnknownOutputError(msg)

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        execution: int,
    ) -> TwoPhaseSinkPartition[str, tuple[str, str]]:
        """Begin to write the files of an index."""
        return _CommittingPartition(
            self._dir_path,
            _Names(self._dir_path, for_part),
            execution,
            self._end,
            self._encoding,
        )
