"""Python processes, for what can't be seen from inside: signals, exit codes, memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

TIMEOUT = 30


@contextmanager
def started(*args, folder, stdout=subprocess.PIPE, command=(), **variables):
    """A Python process, which is gone at the end of the block.

    It is started by a command that starts another, such as `nice`, if there is one.
    """
    # A debug build of the engine warns at its import, which is not what we look at.
    # Standard output is buffered, as it is for users, whatever is set around us.
    env = {
        **os.environ,
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "",
        **variables,
    }
    # A shell starts background commands with SIGINT ignored, which children inherit.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, sys.executable, *args],
        cwd=folder,
        env=env,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    signal.signal(signal.SIGINT, handler)
    with process:
        try:
            yield process
        finally:
            process.kill()


def finished(*args, folder, **variables):
    """The exit code, standard output and standard error of a Python process."""
    with started(*args, folder=folder, **variables) as process:
        out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out, err
