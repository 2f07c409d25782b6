"""The disk of the store is full: the dataflow goes on, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.counting import expected, written
from tests.processes import finished
from tests.recovery.watching import HERE, committed, length, wait_until

GROWING = {"BATCH": "5", "PAUSE": "0.01", "WIDTH": "4000"}
FAST = {"BATCH": "50", "PAUSE": "0", "WIDTH": "4000"}

MOUNT = 'mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && echo mounted && exec cat'
"""Until its standard input is closed, a file system is there for those who enter."""


class Disk:
    """A file system of one mebibyte, that only those see who enter."""

    def __init__(self, path, holder, *options):
        self.path = path
        self.inside = Path(f"/proc/{holder.pid}/root{path}")
        self.enter = ("nsenter", "--target", str(holder.pid), "--wd", "--mount")
        self.enter += options

    def is_full(self):
        return os.statvfs(self.inside).f_bavail == 0

    def grow(self):
        # All is said, so that no option of before is looked up and added.
        remount = ("mount", "-t", "tmpfs", "-o", "remount,size=64m", "tmpfs")
        remount += (str(self.path),)
        subprocess.run([*self.enter, *remount], check=True)


@contextmanager
def mounted(path):
    for tool in ("unshare", "nsenter"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not installed; it comes with util-linux")
    is_root = os.geteuid() == 0
    user = () if is_root else ("--map-root-user",)
    options = () if is_root else ("--user", "--preserve-credentials")
    holder = subprocess.Popen(
        [shutil.which("unshare"), "--mount", *user, "sh", "-c", MOUNT, str(path)],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        if holder.stdout.readline() != "mounted\n":
            pytest.fail(f"can't mount a file system: {holder.stderr.read()}")
        yield Disk(path, holder, *options)
        holder.stdin.close()


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    with mounted(path) as disk:
        yield disk


@pytest.fixture
def counting(counting, disk):
    """With a store of two files on the disk."""
    counting.store = disk.path
    args = ("-m", "millstream.recovery", "init", str(disk.path), "2")
    made = finished(*args, folder=HERE, command=disk.enter)
    assert made == (0, "", "")
    return counting


@pytest.fixture
def full(counting, disk):
    """A run that goes on although its disk is full."""
    with counting.start("full", *disk.enter, interval="0.05", **GROWING) as process:
        wait_until(disk.is_full, process)
        before = length(counting)
        wait_until(lambda: length(counting) > before + 100, process)
        last = committed(counting.store, *disk.enter)
        wait_until(lambda: length(counting) > before + 500, process)
        # Nothing was committed, or the tests show nothing.
        assert committed(counting.store, *disk.enter) == last
        yield process


def ended(process):
    """The exit code and standard error of a run."""
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def waited(process):
    """The same of a run that has warned that its store waits, without the warnings."""
    code, err = ended(process)
    lines = err.splitlines(keepends=True)
    others = [line for line in lines if not line.startswith("the recovery store ")]
    assert len(others) < len(lines)
    return code, "".join(others)


def finish(counting, disk):
    """The next run has room, and is undisturbed."""
    with counting.start("next", *disk.enter, **FAST) as process:
        assert ended(process) == (0, "")
    assert written(counting.out) == expected()


def test_room_is_waited_for(counting, disk, full):
    last = committed(counting.store, *disk.enter)
    disk.grow()
    wait_until(lambda: committed(counting.store, *disk.enter) > last, full)
    assert waited(full) == (0, "")
    assert written(counting.out) == expected()
    finish(counting, disk)


def test_drain_waits_for_room(counting, disk, full):
    full.send_signal(signal.SIGTERM)
    with pytest.raises(TimeoutExpired):
        full.wait(2)
    before = length(counting)
    assert before < len(expected())
    disk.grow()
    assert waited(full) == (0, "")

    def goes_on():
        # What was written is all kept, so that nothing of it is cut off.
        assert length(counting) >= before
        return length(counting) > before

    with counting.start("more", *disk.enter, **GROWING) as process:
        wait_until(goes_on, process)
    finish(counting, disk)


def test_killed_with_a_full_disk(counting, disk, full):
    """All epochs that were on the disk before are there, and whole."""
    full.kill()
    assert waited(full) == (-signal.SIGKILL, "")
    disk.grow()
    finish(counting, disk)


def test_drain_that_gets_no_room_ends(counting, disk):
    """What isn't kept by then is for the next run to do again."""
    slow = {**GROWING, "MILLSTREAM_DRAIN_TIMEOUT": "0.5"}
    with counting.start("full", *disk.enter, interval="0.05", **slow) as process:
        wait_until(disk.is_full, process)
        process.send_signal(signal.SIGTERM)
        assert waited(process) == (143, "millstream: not drained within 0.5 s\n")
    disk.grow()
    finish(counting, disk)


def test_second_signal_ends_a_drain_that_gets_no_room(counting, disk, full):
    full.send_signal(signal.SIGTERM)
    with pytest.raises(TimeoutExpired):
        full.wait(1)
    full.send_signal(signal.SIGTERM)
    assert full.wait(5) == 143
