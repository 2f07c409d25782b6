"""Processes of one cluster, each started by the test."""

from __future__ import annotations

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

    def addresses(self, count):
        return ";".join(f"unix:{self.sockets / str(number)}" for number in range(count))

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
    """Exit code and standard error of each, in order."""
    texts = [process.communicate(timeout=timeout)[1] for process in processes]
    return [
        (process.returncode, text)
        for process, text in zip(processes, texts, strict=True)
    ]
