"""Files of a sink that are numbered: what they are called, and which key goes where."""

from __future__ import annotations

from collections.abc import Callable
from zlib import adler32

__all__ = ["NumberedFiles", "file_name", "hash_key"]


def file_name(index: int, _file_count: int) -> str:
    return f"part_{index}"


def hash_key(item_key: str) -> int:
    return adler32(item_key.encode())


class NumberedFiles:
    """The files of a sink, as partitions.

    Args:
        file_count: How many there are.
        file_namer: Called with the index of a file and `file_count`; returns its name.
        assign_file: Called with a key; returns an index, modulo `file_count`.

    Raises:
        ValueError: If `file_count` is less than 1, or two files have one name.
    """

    def __init__(
        self,
        file_count: int,
        file_namer: Callable[[int, int], str],
        assign_file: Callable[[str], int],
    ) -> None:
        if file_count < 1:
            msg = f"`file_count` must be at least 1, but it is {file_count}"
            raise ValueError(msg)
        self.names = [file_namer(index, file_count) for index in range(file_count)]
        if len(set(self.names)) < file_count:
            msg = (
                "`file_namer` must return a name of its own for each file, "
                f"but it returned {self.names}"
            )
            raise ValueError(msg)
        self._assign_file = assign_file
        # Partitions are numbered by the order of their names, where `part_10` is
        # before `part_2`; files by index.
        self._part_of_file = [sorted(self.names).index(name) for name in self.names]

    def part_of(self, item_key: str) -> int:
        """The number of the partition that a key belongs to."""
        return self._part_of_file[self._assign_file(item_key) % len(self.names)]
