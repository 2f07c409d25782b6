"""A source of the rows of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from millstream.connectors.files._checks import check_part
from millstream.connectors.files._input_file import InputFile
from millstream.connectors.files._sources import FileSource, get_path_dev
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition

__all__ = ["CSVSource"]


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
        self._input = InputFile(path, encoding)
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
        get_fs_id: Callable[[Path], str] = get_path_dev,
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
        check_part(for_part, path, self._path)
        return _CSVPartition(
            self._path,
            self._batch_size,
            self._encoding,
            resume_state,
            self._fmtparams,
        )
