"""What a command logs, and how: a line for each event, for people or for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import TextIO

__all__ = [
    "LEVELS",
    "TRACE",
    "last_words",
    "log_to_stderr",
    "log_to_stdout",
    "logger",
    "logs_json",
]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TRACE = 5
"""A level below `logging.DEBUG`."""

logger = logging.getLogger("millstream")
"""Where the engine logs, too."""


def log_to_stderr(level: str, *, as_json: bool) -> None:
    """Write what millstream logs to standard error.

    Whatever else is set up for `logging` stays as it is, and sees none of it.

    Args:
        level: The least level that is written.
        as_json: Whether each line is a JSON object.
    """
    global _json_handler  # noqa: PLW0603 # There is one standard error.
    handler = _OptionHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if as_json else _LineFormatter())
    _json_handler = handler if as_json else None
    _log_to(handler, level)


def log_to_stdout(level: int) -> None:
    """Write what millstream logs to standard output, unless an option says where.

    Whatever else is set up for `logging` stays as it is, and sees none of it.

    Args:
        level: The least level that is written.
    """
    if any(isinstance(handler, _OptionHandler) for handler in logger.handlers):
        return
    logging.addLevelName(TRACE, "TRACE")
    handler = _StdoutHandler()
    handler.setFormatter(_LineFormatter())
    _log_to(handler, level)


def logs_json() -> bool:
    """Whether standard error is for programs, as an option of the command line says."""
    return _json_handler is not None


def last_words(level: int, text: str, failure: BaseException | None = None) -> None:
    """Write what a run ends with as JSON, if standard error is for that.

    No level hides it, and nothing that the user's code has set up for `logging`.

    Args:
        level: How bad it is.
        text: How the run ends.
        failure: What was raised.
    """
    if _json_handler is None:
        return
    raised = failure and (type(failure), failure, failure.__traceback__)
    entry = logger.makeRecord(logger.name, level, "", 0, "%s", (text,), raised or None)
    _json_handler.handle(entry)


def _log_to(handler: logging.Handler, level: str | int) -> None:
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    logger.disabled = False


class _OptionHandler(logging.StreamHandler[TextIO]):
    """What an option of the command line asks for."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let no standard error that is gone, or is the user's own, end a run."""


_json_handler: _OptionHandler | None = None


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever is standard output at the moment, as a notebook changes it."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass


def _process() -> int | None:
    """Which process of several this is."""
    number = os.environ.get("MILLSTREAM_PROCESS_ID", "")
    return int(number) if number.isdecimal() else None


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds")


class _LineFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        process = _process()
        who = "" if process is None else f" process {process}:"
        return f"{_time(record)} {record.levelname}{who} {record.message}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        process = _process()
        if process is not None:
            entry["process"] = process
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
