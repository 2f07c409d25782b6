"""The time of day is set back and forward: epochs don't go by it."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time

import pytest

from tests.counting import expected, written
from tests.processes import finished
from tests.recovery.watching import HERE, committed, length, wait_until

HOUR = 3600

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *step;

__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("CLOCK_STEP"), O_RDONLY);
  step = mmap(0, sizeof *step, PROT_READ, MAP_SHARED, file, 0);
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int code = syscall(SYS_clock_gettime, clock, now);
  if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *step;
  return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int code = syscall(SYS_gettimeofday, now, zone);
  if (code == 0) now->tv_sec += *step;
  return code;
}

time_t time(time_t *now) {
  struct timespec read;
  clock_gettime(CLOCK_REALTIME, &read);
  if (now) *now = read.tv_sec;
  return read.tv_sec;
}
"""
"""What the C library says of the time of day, and so many seconds as a file says."""


class Clock:
    def __init__(self, folder):
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.fail("there is no C compiler (`cc`) to build a clock with")
        source, library = folder / "clock.c", folder / "clock.so"
        source.write_text(CLOCK)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True
        )
        self.file = folder / "step"
        self.file.write_bytes(struct.pack("l", 0))
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(self.file)}

    def set(self, seconds):
        # In place: the file is mapped, and must never be shorter.
        with self.file.open("r+b") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_clock_of_the_test(clock, seconds):
    clock.set(seconds)
    args = ("-c", "import time; print(time.time())")
    code, out, err = finished(*args, folder=HERE, **clock.variables)
    assert (code, err) == (0, "")
    assert abs(float(out) - time.time() - seconds) < HOUR / 2


def test_epochs_are_committed_whatever_the_time_of_day(counting, clock):
    """D11: once, nothing was kept for an hour after the clock was set back."""

    def goes_on(lines, epoch):
        return length(counting) > lines and committed(counting.store) > epoch

    slow = {"BATCH": "5", "PAUSE": "0", "SLEEP": "0.01"}
    with counting.start("time", interval="0.05", **slow, **clock.variables) as process:
        for seconds in (0, -HOUR, HOUR, 0):
            clock.set(seconds)
            lines, epoch = length(counting), committed(counting.store)
            wait_until(lambda: goes_on(lines + 100, epoch + 3), process)  # noqa: B023
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert written(counting.out) == expected()
