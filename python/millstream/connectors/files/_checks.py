"""What is refused before a file is opened, and in which words."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from millstream.errors import UnknownOutputError

__all__ = [
    "check_batch_size",
    "check_dir",
    "check_encoding",
    "check_file",
    "check_offset",
    "check_part",
    "check_tail",
    "check_unclaimed",
    "checked_fs_id",
]


def checked_fs_id(get_fs_id: Callable[[Path], str], dir_path: Path) -> str:
    fs_id = get_fs_id(dir_path)
    if "::" in fs_id:
        msg = (
            f"`get_fs_id` must not return an id with `::` in it, "
            f"but for `{dir_path}` it returned `{fs_id}`"
        )
        raise ValueError(msg)
    return fs_id


def check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        msg = f"`batch_size` must be at least 1, but it is {batch_size}"
        raise ValueError(msg)


def check_encoding(encoding: str) -> None:
    encoder = codecs.getincrementalencoder(encoding)()
    # The first character may bring a byte order mark.
    encoder.encode("a")
    if encoder.encode("\n") != b"\n":
        msg = (
            f"`encoding` must be one in which a line ends with a single byte, "
            f"but it is `{encoding}`; convert the file to UTF-8"
        )
        raise ValueError(msg)


def check_file(path: Path, doing: str) -> None:
    if path.is_dir():
        msg = f"can't {doing} `{path.absolute()}`: it is a directory, not a file"
        raise IsADirectoryError(msg)
    if doing == "read" and not path.exists():
        msg = f"can't read `{path.absolute()}`: there is no such file; check the path"
        raise FileNotFoundError(msg)


def check_dir(dir_path: Path, doing: str) -> None:
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


def check_part(for_part: str, path_of_part: str, path: Path) -> None:
    if path_of_part != str(path):
        msg = (
            f"can't resume the partition `{for_part}` with the file `{path}`; "
            f"give the path `{path_of_part}` again, "
            "or start without the state of the last execution"
        )
        raise ValueError(msg)


def check_unclaimed(path: Path) -> None:
    size = path.stat().st_size if path.exists() else 0
    if size:
        msg = (
            f"`{path.absolute()}` has {size} bytes that the recovery store knows "
            "nothing of, and this run would write over them; move the file away, or "
            "run with the store that it was written with"
        )
        raise UnknownOutputError(msg)


def check_tail(path: Path, offset: int, tail: bytes) -> None:
    """Check that a file is still the one whose last bytes before `offset` are known."""
    with path.open("rb") as file:
        file.seek(offset - len(tail))
        is_same = file.read(len(tail)) == tail
    if not is_same:
        msg = (
            f"can't resume `{path.absolute()}` at byte {offset}: what is before that "
            "isn't what was written there, so it is another file; give the path of the "
            "file that the last execution wrote, or move this one away"
        )
        raise UnknownOutputError(msg)


def check_offset(path: Path, offset: int, size: int) -> None:
    if offset > size:
        msg = (
            f"can't resume `{path.absolute()}` at byte {offset}: "
            f"the file has only {size} bytes, so it isn't the one "
            "that the last execution used"
        )
        raise ValueError(msg)
