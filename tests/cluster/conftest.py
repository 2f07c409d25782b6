"""Processes of one cluster, each started by the test."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.processes import started

HERE = Path(__file__).parents[2]


class Cluster:
    """Starts processes that run one flow, joined by sockets in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.sockets = folder / "sockets"
        self.sockets.mkdir()

    def address(self, number):
        return f"unix:{self.sockets / str(number)}"

    def addresses(self, count):
        return ";".join(map(self.address, range(count)))

    @contextmanager
    def started(self, count, flow, *options, only=None, addresses=None, **variables):
        """All processes of a cluster, or only some of them; gone at the end."""
        addresses = addresses or self.addresses(count)
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    started(
                        *("-m", "millstream.run", flow, "-i", str(number)),
                        *("-a", addresses, *options),
                        folder=self.folder,
                        PYTHONPATH=str(HERE),
                        **variables,
                    )
                )
                for number in (range(count) if only is None else only)
            ]

    def write(self, text):
        """Make a flow in a file of its own; give its name."""
        (self.folder / "flow.py").write_text(text)
        return "flow.py"


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def endings(processes, timeout=30):
    """Exit code and standard error of each, in order; all end within the time."""
    deadline = time.monotonic() + timeout
    ended = []
    for process in processes:
        _, err = process.communicate(timeout=max(0, deadline - time.monotonic()))
        ended.append((process.returncode, err))
    return ended


ABSENT = re.compile(r"\((it has not come|can't reach it: .*)\)$")


JOIN_TIMEOUT = "`--join-timeout`"
SECURITY = "`--secret-file`, `--tls`"


def missed(seconds, *missing, refused=None):
    """What a process says when others didn't come in time."""
    more = (
        ""
        if refused is None
        else f"; refused: {refused} (see {JOIN_TIMEOUT}, {SECURITY})"
    )
    if not more and any(ABSENT.search(each) for each in missing):
        more = (
            "; start all of them within that time, with the same addresses "
            f"(see {JOIN_TIMEOUT})"
        )
    return (
        f"millstream: not all processes of the cluster came within {seconds} s: "
        f"missing {', '.join(missing)}{more}\n"
    )


GONE = "connection (closed|reset)"
"""Of a process that has ended, in whichever way the system notices."""
UNHEARD = (
    r"silent for [\d.]+ s|its host doesn't take data any more|it heard nothing from "
    "this process for too long|its data stream from this process broke"
)
"""Of a process that is cut off or stands still: who notices first tells the other."""


def assert_lost(ending, process, reason):
    """Assert how a process ends that misses another."""
    code, err = ending
    expected = (
        f"millstream: process {process} is lost: ({reason}); all processes stop, and "
        "must be started again together\n"
    )
    assert code == 75
    assert re.fullmatch(expected, err), err


OTHER_AUTHORITY = (
    "another secret, or a certificate of another authority; all processes need the "
    "same secret, or certificates of the same authority"
)


def turned(who):
    """What a process says at once of another that it can't work with."""
    return f"refused {who} (still waiting for all to join)\n"


def distrust(cluster, seconds):
    """How two processes end that don't trust each other."""
    missing = f"process 1 at {cluster.address(1)} (it has not come)"
    refused = (
        f"a connection from this host: it says that this process has {OTHER_AUTHORITY}"
    )
    not_joined = (
        f"millstream: can't join process 0 at {cluster.address(0)}: it has "
        f"{OTHER_AUTHORITY} (see {SECURITY})\n"
    )
    gave_up = missed(seconds, missing, refused=refused)
    return [(75, turned(refused) + gave_up), (64, not_joined)]
