"""The options of the command line by which a run is watched."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from millstream._arguments import EnvDefault
from millstream._engine import Watch, api_address
from millstream._exit import LAUNCHED, UsageError
from millstream._logging import LEVELS, log_to_stderr
from millstream._progress import shown_progress
from millstream.dataflow import Dataflow

__all__ = ["add_arguments", "address_of", "begin_to_log", "progress_as_asked"]

_ENABLED = "MILLSTREAM_DATAFLOW_API_ENABLED"
_PORT = "MILLSTREAM_DATAFLOW_API_PORT"
_DEFAULT_PORT = "3030"
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes"), True),
    **dict.fromkeys(("0", "false", "no"), False),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser: Whose they are.
    """
    parser.add_argument(
        "--api",
        action=EnvDefault,
        env="MILLSTREAM_API",
        type=_parse_address,
        metavar="[HOST:]PORT",
        help="serve metrics, health and the dataflow; on 127.0.0.1 by default",
    )
    parser.add_argument(
        "--progress",
        action="store_true",
        help="show on a terminal what each step has done",
    )
    parser.add_argument(
        "--log-level",
        action=EnvDefault,
        env="MILLSTREAM_LOG_LEVEL",
        type=_parse_level,
        metavar="LEVEL",
        help="log to standard error from this level on, such as INFO",
    )
    parser.add_argument(
        "--log-json",
        action="store_true",
        help="log JSON objects, one a line; from INFO on by default",
    )


def _parse_address(text: str) -> str:
    try:
        return api_address(text, 0)
    except ValueError as ex:
        raise argparse.ArgumentTypeError(str(ex)) from None


def _parse_level(text: str) -> str:
    """Read the name of a level.

    Examples:
        >>> _parse_level("info")
        'INFO'
    """
    if text.upper() not in LEVELS:
        msg = f"must be one of {', '.join(LEVELS)}; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return text.upper()


def address_of(args: argparse.Namespace) -> str | None:
    """Where to serve the HTTP API, if it was asked for.

    Args:
        args: The options.

    Returns:
        ``host:port``. Each process that was started by `-p` has a port of its own.

    Raises:
        UsageError: If a variable, or the port of this process, can't be.
    """
    address = args.api or _address_of_variables()
    if address is None:
        return None
    is_launched = LAUNCHED in os.environ
    try:
        return api_address(address, args.process_id if is_launched else 0)
    except ValueError as ex:
        raise UsageError(ex) from None


def _address_of_variables() -> str | None:
    """What the variables say that Bytewax has under another name."""
    enabled = os.environ.get(_ENABLED)
    if not enabled:
        return None
    if enabled.lower() not in _BOOLEANS:
        msg = f"`{_ENABLED}` must be one of {', '.join(_BOOLEANS)}; got {enabled!r}"
        raise UsageError(msg)
    if not _BOOLEANS[enabled.lower()]:
        return None
    port = os.environ.get(_PORT) or _DEFAULT_PORT
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        msg = f"`{_PORT}` must be a port, from 0 to 65535; got {port!r}"
        raise UsageError(msg)
    return port


def begin_to_log(args: argparse.Namespace) -> None:
    """Log as the options say, if they do.

    Args:
        args: The options.
    """
    if args.log_level is not None or args.log_json:
        log_to_stderr(args.log_level or "INFO", as_json=args.log_json)


@contextmanager
def progress_as_asked(
    flow: Dataflow, args: argparse.Namespace, watch: Watch
) -> Iterator[None]:
    """Show the progress of a run, if that was asked for and anybody can see it.

    Args:
        flow: The dataflow.
        args: The options.
        watch: What looks at the run.
    """
    # Several processes of one terminal would write over each other.
    is_first = not args.process_id
    if args.progress and is_first and sys.stderr is not None and sys.stderr.isatty():
        with shown_progress(flow, watch):
            yield
    else:
        yield
