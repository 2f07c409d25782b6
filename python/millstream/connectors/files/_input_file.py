"""A file that is read piece by piece, as bytes, and decoded."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from millstream.connectors.files._checks import check_file, check_offset

__all__ = ["InputFile"]


class InputFile:
    """A file to be decoded piece by piece; each piece begins and ends with a line."""

    def __init__(self, path: Path, encoding: str) -> None:
        check_file(path, "read")
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
        check_offset(self.path, offset, os.fstat(self.file.fileno()).st_size)
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
