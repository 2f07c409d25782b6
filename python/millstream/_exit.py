"""How a command ends: what it tells its user, and which exit code it gives the shell.

`millstream.run` lists the exit codes.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Thread, Timer
from types import FrameType, TracebackType
from typing import NoReturn, TextIO

from millstream._engine import drain
from millstream._logging import last_words, logs_json
from millstream.errors import ApiError, ClusterError, StoreError

__all__ = [
    "DRAIN_AT_MOST",
    "LAUNCHED",
    "UsageError",
    "drain_at_signals",
    "end_at_second_interrupt",
    "exit_at_once",
    "exit_code_of",
    "exit_code_of_failure",
    "write_to_stderr",
]

_USAGE_ERROR = 64
_USER_CODE_FAILED = 70
_INTERRUPTED = 130
_KILLED = 128
"""What a shell adds to the number of a signal."""
_STDOUT_LOST = 141

_FLUSH_AT_MOST = 1.0
"""How many seconds a second Ctrl-C may take."""

DRAIN_AT_MOST = timedelta(seconds=25)
"""How long a drain may take: less than the 30 seconds for which Kubernetes waits."""


class UsageError(Exception):
    """The command was called wrongly; the message is all that the user needs."""


def exit_code_of(command: Callable[[], object]) -> int:
    """Do something, report how it failed, and choose the exit code.

    Args:
        command: What to do. `SystemExit` passes through.

    Returns:
        One of the exit codes in the description of `millstream.run`.
    """
    try:
        command()
        _flush_stdout()
    except SystemExit:
        raise
    except UsageError as ex:
        _tell(logging.CRITICAL, str(ex))
        code = _USAGE_ERROR
    except KeyboardInterrupt:
        _report(_INTERRUPT)
        code = _INTERRUPTED
    except (StoreError, ClusterError, ApiError) as ex:
        _flush_or_abandon_stdout()
        if not (isinstance(ex, ClusterError) and _is_for_another_to_tell(ex)):
            _tell(logging.CRITICAL, str(ex))
        code = ex.exit_code
    except BaseException as ex:  # noqa: BLE001 # Whatever the user's code raises.
        code = _report_failure(ex)
    else:
        code = 0
    return code


LAUNCHED = "MILLSTREAM_LAUNCHED"
"""The variable by which a process knows that its parent has started several."""


def _is_for_another_to_tell(error: ClusterError) -> bool:
    """Whether another process, of those that have one standard error, says the same."""
    if LAUNCHED not in os.environ or error.process is None:
        return False
    if error.exit_code == _INTERRUPTED:
        return not _tells_of_signals()
    if not error.is_loss:
        # Whoever has failed says so itself.
        return True
    first = 1 if error.process == 0 else 0
    return os.environ.get("MILLSTREAM_PROCESS_ID") != str(first)


def end_at_second_interrupt() -> None:
    """Let the first Ctrl-C raise `KeyboardInterrupt`, and the second end the process.

    Once interrupted, a run ends as soon as what the workers are calling has returned.
    A worker thread may be in user code that can't be interrupted, such as a long sleep
    or a call into C, and might never return from it.

    Does nothing if SIGINT is ignored, as in the background of a shell.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def drain_at_signals(timeout: timedelta = DRAIN_AT_MOST) -> None:
    """Let SIGTERM, SIGINT or SIGHUP drain the run, and the second end the process.

    Sources bring nothing more then; what they have brought is worked off and kept, so
    that the next run with the same store repeats nothing.

    Args:
        timeout: After this long, the process ends as by the second signal: whatever
            isn't kept by then is for the next run to do again.
    """

    def begin(signal_number: int, _frame: FrameType | None) -> None:
        for number in drained:
            # A terminal that is gone says so twice, and means it once.
            if number != signal.SIGHUP:
                signal.signal(number, _exit_at_once)
            elif signal.getsignal(number) is begin:
                signal.signal(number, signal.SIG_IGN)
        drain()
        end = Timer(timeout.total_seconds(), _end_late, (signal_number, timeout))
        end.daemon = True
        end.start()

    both = (signal.SIGTERM, signal.SIGINT)
    drained = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]
    # Programs have other uses for it, such as reading their configuration again.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        drained.append(signal.SIGHUP)
    for number in drained:
        signal.signal(number, begin)


def exit_at_once(code: int) -> NoReturn:
    """End the process, with no more than what standard output holds.

    Args:
        code: The exit code.
    """
    # In a thread, since whoever can't be interrupted may be holding it.
    flusher = Thread(target=_flush_or_abandon_stdout, daemon=True)
    flusher.start()
    flusher.join(_FLUSH_AT_MOST)
    os._exit(code)


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _exit_at_once)
    signal.default_int_handler(signal_number, frame)


def _exit_at_once(signal_number: int, _frame: FrameType | None) -> NoReturn:
    _end(signal_number, _INTERRUPT if signal_number == signal.SIGINT else "terminated")


def _end_late(signal_number: int, timeout: timedelta) -> NoReturn:
    what = f"not drained within {timeout.total_seconds():g} s"
    if LAUNCHED in os.environ:
        # The first process may not even have been told to drain.
        what = f"process {os.environ.get('MILLSTREAM_PROCESS_ID')}: {what}"
    _end(signal_number, what, tells=True)


def _end(signal_number: int, what: str, *, tells: bool = False) -> NoReturn:
    # In a thread, since whoever can't be interrupted may be holding standard output.
    reporter = Thread(target=_report, args=(what, tells), daemon=True)
    reporter.start()
    reporter.join(_FLUSH_AT_MOST)
    os._exit(_KILLED + signal_number)


_INTERRUPT = "interrupted (KeyboardInterrupt)"


def _report(what: str, tells: bool = False) -> None:  # noqa: FBT001, FBT002
    _flush_or_abandon_stdout()
    if tells or _tells_of_signals():
        _tell(logging.WARNING, what)


def _tells_of_signals() -> bool:
    """Whether to say that a signal ends this process: of several, the first says it."""
    if LAUNCHED not in os.environ:
        return True
    return os.environ.get("MILLSTREAM_PROCESS_ID") == "0"


def _tell(level: int, text: str) -> None:
    """Tell how the command ends, to people or to whoever reads the log."""
    if logs_json():
        last_words(level, text)
    else:
        write_to_stderr(f"millstream: {text}\n")


def write_to_stderr(text: str) -> None:
    """Write to standard error, if anybody hears it; if not, the exit code says enough.

    Args:
        text: What to write.
    """
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)
    except Exception:  # noqa: BLE001, S110 # What the user has put there may raise anything.
        pass


def _report_failure(failure: BaseException) -> int:
    code = exit_code_of_failure(failure)
    _flush_or_abandon_stdout()
    if code == _STDOUT_LOST:
        return code
    failure.with_traceback(_without_own_frames(failure.__traceback__))
    if sys.excepthook is not sys.__excepthook__:
        # A hook of the user's own.
        sys.excepthook(type(failure), failure, failure.__traceback__)
    elif logs_json():
        last_words(logging.CRITICAL, _sentence(failure), failure)
    elif LAUNCHED in os.environ:
        # In one piece, as others may fail at the same time and write to the same place.
        number = os.environ.get("MILLSTREAM_PROCESS_ID")
        said = "".join(traceback.format_exception(failure))
        write_to_stderr(f"millstream: process {number} failed:\n{said}")
    else:
        sys.excepthook(type(failure), failure, failure.__traceback__)
    return code


def _sentence(failure: BaseException) -> str:
    if isinstance(failure, SyntaxError):
        # Its text has the line of code as well.
        return f"{type(failure).__name__}: {failure.msg}"
    return "".join(traceback.format_exception_only(failure)).strip()


def exit_code_of_failure(failure: BaseException) -> int:
    """Choose the exit code for what a run raised; asked by the engine, too.

    Args:
        failure: What was raised, of which the user's own exception may be the cause.

    Returns:
        The exit code that all processes of the run end with.
    """
    pipe_is_broken = isinstance(_first_cause(failure), BrokenPipeError)
    if pipe_is_broken and _nobody_reads_stdout():
        return _STDOUT_LOST
    return _USER_CODE_FAILED


def _first_cause(failure: BaseException) -> BaseException:
    # An exception can be its own cause: `raise error from error`.
    seen = {id(failure)}
    while failure.__cause__ is not None and id(failure.__cause__) not in seen:
        failure = failure.__cause__
        seen.add(id(failure))
    return failure


_FRAMES_BEFORE_USER_CODE = frozenset(
    {
        "__main__",
        __name__,
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "millstream._import_string",
        "millstream.run",
    }
)


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that the user can do something about."""
    while (
        traceback is not None
        and traceback.tb_frame.f_globals.get("__name__") in _FRAMES_BEFORE_USER_CODE
    ):
        traceback = traceback.tb_next
    return traceback


def _flush_stdout() -> None:
    # There is none if the process was started with standard output closed.
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _flush_or_abandon_stdout() -> None:
    """Flush standard output; if that fails, nothing tries it again."""
    try:
        _flush_stdout()
    except OSError:
        _abandon(sys.stdout)


def _abandon(stream: TextIO) -> None:
    """Let nothing fail that is still written, as what is left is at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # What stands for a stream, or is closed, may have no descriptor.
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _nobody_reads_stdout() -> bool:
    """Whether standard output is the pipe that broke, and not some connection."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
