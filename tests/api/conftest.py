"""A run that is watched from outside while it waits, in a process of its own."""

from __future__ import annotations

import json
import random
import re
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import TIMEOUT, started

FLOW = """
import os
from datetime import timedelta
from pathlib import Path

import millstream.operators as op
from millstream.connectors.files import DirSink
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, StatefulSourcePartition

SECRET = "hunter2-canary"
GO = Path("go")
ITEMS = [(f"{SECRET}-{n % 3}", n) for n in range(30)]


class Numbers(StatefulSourcePartition):
    def __init__(self, position):
        self.position = position or 0

    def next_batch(self):
        if self.position < len(ITEMS):
            first = self.position
            self.position += 10
            return ITEMS[first : self.position]
        if GO.exists():
            raise StopIteration
        return []

    def snapshot(self):
        return self.position


class Source(FixedPartitionedSource):
    def list_parts(self):
        return ["one", "two"]

    def build_part(self, step_id, for_part, resume_state):
        return Numbers(resume_state)


def total(state, number):
    state = (state or 0) + number
    return state, state


flow = Dataflow("flow")
numbers = op.input("numbers", flow, Source())
plus = op.map_value("plus", numbers, lambda number: number + 1)
even = op.filter_value("even", plus, lambda number: number % 2 == 0)
totals = op.stateful_map("total", even, total)
lines = op.map("line", totals, lambda item: (item[0], f"{item[0]} {item[1]}"))
op.output("out", lines, DirSink(Path("."), 1))
"""

ITEMS = 60
EVEN = 30
KEYS = 3


class Run:
    """A process, and what it serves."""

    def __init__(self, process, folder, port):
        self.process = process
        self.folder = folder
        self.port = port

    def get(self, path):
        """The status and the text of an answer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self):
        """The status of `/health/ready`, and the reason."""
        status, text = self.get("/health/ready")
        body = json.loads(text)
        assert body["ready"] == (status == 200)
        return status, body["reason"]

    def metrics(self):
        """All figures, by name and labels; each is there once."""
        status, text = self.get("/metrics")
        assert status == 200
        figures = {}
        names = set()
        for family in text_string_to_metric_families(text):
            assert family.name not in names
            assert family.type != "unknown"
            names.add(family.name)
            for sample in family.samples:
                place = (sample.name, *sorted(sample.labels.items()))
                assert place not in figures
                figures[place] = sample.value
        return figures

    def of_steps(self, name):
        """What there is of each step, over all workers."""
        totals = {}
        for (sample, *labels), value in self.metrics().items():
            if sample == name:
                step = dict(labels)["step_id"]
                totals[step] = totals.get(step, 0) + value
        return totals

    def until(self, is_so):
        """Wait until something is so; give what it was."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                seen = is_so()
            except ConnectionError:
                seen = None
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionError):
                    raise
                seen = None
            if seen:
                return seen
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def until_worked(self):
        """Wait until all there is for now has come to the sink."""
        name = "millstream_item_inp_count_total"
        self.until(lambda: self.of_steps(name).get("flow.out") == EVEN)

    def finish(self):
        """Let the sources end; give exit code and standard error."""
        (self.folder / "go").touch()
        _, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, err


def free_port():
    """A port that is free, as the next one is.

    Not one of those that the kernel gives to whoever connects to something.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
        except OSError:
            continue
        return port


def listening(pid):
    """The addresses on which a process listens, as the kernel shows them."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        found = re.fullmatch(r"socket:\[(\d+)\]", target)
        if found:
            sockets.add(found[1])
    addresses = []
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        rows = (line.split() for line in lines)
        addresses += [row[1] for row in rows if row[3] == "0A" and row[9] in sockets]
    return addresses


@pytest.fixture
def run(tmp_path):
    """Start the flow, or another, with options; gone at the end of the block."""

    @contextmanager
    def run(*options, flow=FLOW, port=None, **variables):
        (tmp_path / "flow.py").write_text(flow)
        port = free_port() if port is None else port
        options = [option.format(port=port) for option in options]
        variables = {name: value.format(port=port) for name, value in variables.items()}
        command = ("-m", "millstream.run", "flow.py", *options)
        with started(*command, folder=tmp_path, **variables) as process:
            yield Run(process, tmp_path, port)

    return run
