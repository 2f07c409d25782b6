"""Sources and sinks for files of lines.

Files are read and written as bytes, and positions are byte offsets, so that a
source or sink resumes exactly where it was. Text is decoded and encoded as UTF-8
unless told otherwise, whatever the platform's default is.
"""

from millstream.connectors.files._committing import CommittingDirSink
from millstream.connectors.files._csv import CSVSource
from millstream.connectors.files._sinks import DirSink, FileSink
from millstream.connectors.files._sources import DirSource, FileSource

__all__ = [
    "CSVSource",
    "CommittingDirSink",
    "DirSink",
    "DirSource",
    "FileSink",
    "FileSource",
]
