"""Several processes of one host, started and watched by a parent of theirs.

Each child is the same command, with its number and the addresses of all in its
environment; the addresses are sockets in a directory that only the user can reach. The
parent passes signals on, and waits. When a process is lost, all others stop by
themselves; with a recovery store the parent can then start all of them again.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import FrameType

from millstream._engine import Watch, inspect_store
from millstream._exit import LAUNCHED, exit_at_once, write_to_stderr
from millstream._logging import logger

__all__ = ["launch", "listen_to_parent"]

_USAGE_ERROR = 64
_PEER_LOST = 75
_KILLED = 128
"""What a shell adds to the number of a signal."""
_GAVE_UP = 79
"""What a process ends with that would have waited in vain; only its parent sees it."""
_PARENT = "MILLSTREAM_PARENT"
"""The variable that names the pipe by which a process hears of its parent."""
_LAST_CHANCE = 15.0
"""How many seconds the others may take to end when one has ended badly."""
_LONGEST_PAUSE = 30.0
_MOMENT = 0.02
"""How often to see whether something has happened."""


def launch(
    argv: Sequence[str], processes: int, restarts: int, store: Path | None
) -> int:
    """Run a command in several processes, until all have ended.

    Args:
        argv: The arguments of `millstream.run`.
        processes: How many processes.
        restarts: How often to start again when one is lost.
        store: The recovery store, if there is one.

    Returns:
        The exit code.
    """
    with _asked_to_stop(drains=store is not None) as asked:
        for attempt in range(restarts + 1):
            ending = _Run(argv, processes, attempt, asked).wait()
            if ending.code != _PEER_LOST or ending.was_signalled:
                return ending.code
            if attempt == restarts:
                break
            pause = min(2.0**attempt, _LONGEST_PAUSE)
            what = f"starting again ({attempt + 1} of {restarts}) in {pause:g} s"
            _say(what + _from(store))
            _sleep(pause, asked)
            if asked:
                _say(f"not starting again: {signal.Signals(asked[0]).name} came first")
                return _KILLED + asked[0]
    if restarts > 0:
        _say(f"not starting again: {restarts} of {restarts} are used up (`--restart`)")
    return ending.code


Asked = deque[int]
"""Signals that came, and are yet to be passed on."""


@contextmanager
def _asked_to_stop(*, drains: bool) -> Iterator[Asked]:
    """Note the signals that come, for whoever looks."""
    asked = Asked()
    came: set[int] = set()

    def note(number: int, _frame: FrameType | None) -> None:
        # A terminal that is gone says so twice, and cuts no drain short.
        is_known = signal.SIGHUP in came or (drains and len(came) > 0)
        came.add(number)
        if number != signal.SIGHUP:
            asked.append(number)
        elif not is_known:
            asked.append(signal.SIGTERM)

    # What is ignored, as in a background job or under nohup, stays so, there too.
    noted = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, note) for number in noted}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sleep(seconds: float, asked: Asked) -> None:
    until = time.monotonic() + seconds
    while not asked and time.monotonic() < until:
        time.sleep(_MOMENT)


def listen_to_parent(watch: Watch) -> None:
    """Let this process end when its parent is gone, or it would wait in vain.

    The parent tells when another process has ended. Once all have joined, they see that
    by themselves, and say why.

    Args:
        watch: What looks at the run of this process.
    """
    # A program that the user's code starts has the other variables, and no pipe.
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    Thread(
        target=_listen,
        args=(int(parent), watch),
        name="millstream-parent",
        daemon=True,
    ).start()


def _listen(parent: int, watch: Watch) -> None:
    while os.read(parent, 1):
        if not watch.has_joined():
            # Whatever the main thread is doing, there is nothing to clean up yet.
            exit_at_once(_GAVE_UP)
    os.kill(os.getpid(), signal.SIGTERM)


def _from(store: Path | None) -> str:
    """What the next run goes on from, as the store says."""
    if store is None:
        return ", from the beginning"
    committed = [run["committed_epoch"] for run in inspect_store(store)["executions"]]
    epochs = [epoch for epoch in committed if epoch is not None]
    if not epochs:
        return ", from the beginning: nothing was kept yet"
    return f", from the end of epoch {max(epochs)}; what came after it is done again"


def _say(text: str) -> None:
    if logger.handlers:
        logger.warning("%s", text)
    else:
        write_to_stderr(f"millstream: {text}\n")


class _Ending:
    """How all processes ended together."""

    def __init__(self, code: int, *, was_signalled: bool) -> None:
        self.code = code
        self.was_signalled = was_signalled


class _Run:
    """One attempt: all processes, from their start to their end."""

    def __init__(
        self, argv: Sequence[str], processes: int, attempt: int, asked: Asked
    ) -> None:
        self._attempt = attempt
        self._asked = asked
        self._command = [sys.executable, "-m", "millstream.run", *argv]
        self._processes = processes
        self._children: list[subprocess.Popen[bytes]] = []
        self._signals: set[int] = set()
        """Those that were passed on."""
        self._pipes: list[int] = []
        """One to each child, which sees by its end that this process is gone."""
        self._is_told = False
        self._killed: set[int] = set()
        """Those that this process has killed."""

    def wait(self) -> _Ending:
        with TemporaryDirectory(prefix="millstream-") as directory:
            try:
                self._start(Path(directory))
                return self._watch()
            finally:
                for child in self._children:
                    child.kill()
                    child.wait()
                for pipe in self._pipes:
                    os.close(pipe)

    def _start(self, directory: Path) -> None:
        numbers = range(self._processes)
        addresses = ";".join(f"unix:{directory / str(number)}" for number in numbers)
        for number in numbers:
            heard, pipe = _pipe()
            self._pipes.append(pipe)
            environment = {
                **os.environ,
                LAUNCHED: "1",
                "MILLSTREAM_LAUNCHED_AGAIN": str(self._attempt),
                "MILLSTREAM_PROCESS_ID": str(number),
                "MILLSTREAM_ADDRESSES": addresses,
                _PARENT: str(heard),
            }
            # In a session of its own, so that Ctrl-C comes from here and only once.
            child = subprocess.Popen(  # noqa: S603 # What the user has called.
                self._command,
                env=environment,
                start_new_session=True,
                pass_fds=(heard,),
            )
            os.close(heard)
            self._children.append(child)

    def _pass_on(self, running: Mapping[int, subprocess.Popen[bytes]]) -> None:
        """Pass on what this process was asked, once all children have been started."""
        while self._asked:
            number = self._asked.popleft()
            self._signals.add(number)
            for child in running.values():
                child.send_signal(number)

    def _exit_code(self, number: int, code: int) -> int:
        """What a process that has ended is to a shell; tells of one that was killed."""
        if code == _GAVE_UP and self._is_told:
            # The one that it would have waited for says how all end.
            return 0
        if code == 1 and signal.SIGINT in self._signals:
            # So Python ends that is interrupted while it starts.
            return _KILLED + signal.SIGINT
        if code >= 0:
            return code
        if -code in self._signals:
            return _KILLED - code
        if number in self._killed:
            return _PEER_LOST
        _say(f"process {number} was ended by {signal.Signals(-code).name}")
        return _PEER_LOST

    def _watch(self) -> _Ending:
        """Wait until all have ended; the first that ended badly says how."""
        running = dict(enumerate(self._children))
        first_bad: int | None = None
        deadline: float | None = None
        while running:
            self._pass_on(running)
            for number, child in list(running.items()):
                code = child.poll()
                if code is None:
                    continue
                del running[number]
                code = self._exit_code(number, code)
                self._tell_end()
                if code == _USAGE_ERROR:
                    # It has joined nobody, so the others only wait for it.
                    return _Ending(code, was_signalled=bool(self._signals))
                if code != 0:
                    deadline = deadline or time.monotonic() + _LAST_CHANCE
                    # What a process says of itself says more than that others miss it.
                    if first_bad in (None, _PEER_LOST):
                        first_bad = code
            if deadline is not None:
                self._kill_late(running, is_over=time.monotonic() > deadline)
            time.sleep(_MOMENT)
        return _Ending(first_bad or 0, was_signalled=bool(self._signals))

    def _tell_end(self) -> None:
        """Tell all children that one has ended, if that wasn't told."""
        if not self._is_told:
            self._is_told = True
            for pipe in self._pipes:
                # Whoever has ended doesn't hear it.
                with suppress(BrokenPipeError):
                    os.write(pipe, b"e")

    def _kill_late(
        self, running: Mapping[int, subprocess.Popen[bytes]], *, is_over: bool
    ) -> None:
        """Kill those that will not end by themselves, once one has ended badly."""
        for number, child in running.items():
            stands_still = _stands_still(child.pid)
            if number not in self._killed and (is_over or stands_still):
                what = "stands still" if stands_still else "doesn't answer"
                _say(f"process {number} {what}, and is killed")
                self._killed.add(number)
                child.kill()


def _pipe() -> tuple[int, int]:
    """A pipe that takes no place of a standard stream that is closed."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


def _stands_still(pid: int) -> bool:
    """Whether a process was stopped by a signal. Only Linux tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"
