"""How busy is this machine, and how busy has it been on average?

The machine itself is the sensor: each processor core and the memory report, in percent,
how much of them is in use. Each report is printed beside the average of all reports so
far of the same kind.

``python examples/running_average.py [--count N] [--interval SECONDS]`` runs until
Ctrl-C, or for N rounds of reports. So does
``python -m millstream.run examples.running_average``, with a round a second.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.inputs import FixedPartitionedSource, Source, StatefulSourcePartition
from millstream.operators import KeyedStream
from millstream.run import cli_main

PROC = Path("/proc")
"""Where Linux tells about itself."""

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class CoreTime:
    """What a core has done since the machine was started, in clock ticks."""

    idle: int
    total: int


def core_times(stat: str) -> dict[str, CoreTime]:
    r"""Read ``/proc/stat``.

    Args:
        stat: The text of the file.

    Returns:
        What each core has done.

    Examples:
        >>> core_times("cpu  20 0 20 60 0\ncpu0 10 0 10 25 5\n")
        {'cpu0': CoreTime(idle=30, total=50)}
    """
    times = {}
    for line in stat.splitlines():
        name, *fields = line.split()
        # The line `cpu`, without a number, is the sum of all cores.
        if name.startswith("cpu") and name != "cpu":
            # The columns after these eight are parts of the first two.
            ticks = [int(field) for field in fields[:8]]
            times[name] = CoreTime(idle=ticks[3] + ticks[4], total=sum(ticks))
    return times


def busy_percent(before: CoreTime, now: CoreTime) -> float | None:
    """Compare two readings of one core.

    Args:
        before: The earlier one.
        now: The later one.

    Returns:
        How busy it was between them; None if not even a tick has passed.

    Examples:
        >>> busy_percent(CoreTime(idle=30, total=50), CoreTime(idle=60, total=150))
        70.0
    """
    passed = now.total - before.total
    if passed <= 0:
        return None
    percent = 100 * (1 - (now.idle - before.idle) / passed)
    # The kernel's count of waiting for input and output may step back a little.
    return min(max(percent, 0.0), 100.0)


def memory_percent(meminfo: str) -> float:
    r"""Read ``/proc/meminfo``.

    Args:
        meminfo: The text of the file.

    Returns:
        How much of the memory is in use.

    Examples:
        >>> memory_percent("MemTotal: 200 kB\nMemFree: 20 kB\nMemAvailable: 50 kB\n")
        75.0
    """
    sizes = {}
    for line in meminfo.splitlines():
        name, size = line.split()[:2]
        sizes[name] = int(size)
    return 100 * (1 - sizes["MemAvailable:"] / sizes["MemTotal:"])


class MachinePartition(StatefulSourcePartition[tuple[str, float], None]):
    """Reads the machine's sensors, one round after another.

    There is nothing to resume: what was not read when it happened is gone.
    """

    def __init__(self, interval: timedelta, count: int | None, proc: Path) -> None:
        self._interval = interval
        self._rounds_left = math.inf if count is None else count
        self._proc = proc
        self._before = self._core_times()

    def next_batch(self) -> list[tuple[str, float]]:
        """Take one round of readings."""
        if not self._rounds_left:
            raise StopIteration
        self._rounds_left -= 1
        return list(self._readings())

    def next_awake(self) -> datetime | None:
        """Wait for the next round; the end is reported without a wait."""
        if not self._rounds_left:
            return None
        return datetime.now(timezone.utc) + self._interval

    def snapshot(self) -> None:
        """Keep nothing."""
        return

    def _readings(self) -> Iterator[tuple[str, float]]:
        now = self._core_times()
        for core, time in now.items():
            percent = busy_percent(self._before.get(core, time), time)
            if percent is not None:
                yield core, percent
        self._before = now
        yield "memory", memory_percent((self._proc / "meminfo").read_text())

    def _core_times(self) -> dict[str, CoreTime]:
        return core_times((self._proc / "stat").read_text())


class MachineSource(FixedPartitionedSource[tuple[str, float], None]):
    """The sensors of this machine: ``(sensor, percent in use)``.

    They are one partition, so that one worker reads them, however many there are.

    Args:
        interval: How long to wait before each round of readings.
        count: After how many rounds to end; None never ends.
        proc: Where the kernel's files are.
    """

    def __init__(
        self,
        interval: timedelta = SECOND,
        count: int | None = None,
        proc: Path = PROC,
    ) -> None:
        self._interval = interval
        self._count = count
        self._proc = proc

    def list_parts(self) -> list[str]:
        """The machine."""
        return ["machine"]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,  # noqa: ARG002
        resume_state: None,  # noqa: ARG002
    ) -> MachinePartition:
        """Begin to read."""
        require_sensors(self._proc)
        return MachinePartition(self._interval, self._count, self._proc)


def require_sensors(proc: Path) -> None:
    """Check that this system has the files that the sensors are read from.

    Args:
        proc: Where the kernel's files are.

    Raises:
        FileNotFoundError: If one is missing.
    """
    for name in ("stat", "meminfo"):
        if not (proc / name).is_file():
            msg = (
                f"can't read the sensors of this machine: there is no `{proc / name}`; "
                "this example needs Linux"
            )
            raise FileNotFoundError(msg)


@dataclass(frozen=True)
class Average:
    """The average of some readings, and the last of them."""

    last: float
    mean: float
    count: int

    @staticmethod
    def add(so_far: Average | None, reading: float) -> tuple[Average, Average]:
        """Add a reading.

        Args:
            so_far: The average of the earlier readings; None before the first.
            reading: The new one.

        Returns:
            The new average, as what to keep and as what to send on.
        """
        if so_far is None:
            new = Average(reading, reading, 1)
        else:
            count = so_far.count + 1
            new = Average(reading, so_far.mean + (reading - so_far.mean) / count, count)
        return new, new


def running_averages(
    flow: Dataflow, sensors: Source[tuple[str, float]]
) -> KeyedStream[Average]:
    """Average the readings of each sensor.

    Args:
        flow: The dataflow to add the steps to.
        sensors: Sensors and readings.

    Returns:
        For each reading, the average of that sensor so far.
    """
    readings = op.input("sensors", flow, sensors)
    return op.stateful_map("average", readings, Average.add)


def as_line(sensor_and_average: tuple[str, Average]) -> str:
    """Describe a sensor's last reading and average in a line."""
    sensor, average = sensor_and_average
    return f"{sensor:8}{average.last:6.1f} %   average {average.mean:6.1f} %"


def printed(sensors: Source[tuple[str, float]]) -> Dataflow:
    """Build the whole dataflow, from the sensors to the screen.

    Args:
        sensors: Sensors and readings.

    Returns:
        A dataflow to run.
    """
    flow = Dataflow("running_average")
    averages = running_averages(flow, sensors)
    op.output("out", op.map("line", averages, as_line), StdOutSink())
    return flow


def positive(text: str) -> int:
    """Read a number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"`{text}` is not a whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def seconds(text: str) -> timedelta:
    """Read a length of time from the command line."""
    try:
        length = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        length = timedelta(0)
    if length <= timedelta(0):
        msg = f"`{text}` is not a number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return length


def main() -> None:
    """Print readings and averages until the last round, or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Average how busy this machine is.")
    parser.add_argument(
        "--count",
        type=positive,
        metavar="N",
        help="stop after N rounds of readings (default: go on until Ctrl-C)",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=SECOND,
        metavar="SECONDS",
        help="how long to wait between rounds (default: 1)",
    )
    arguments = parser.parse_args()
    try:
        require_sensors(PROC)
    except FileNotFoundError as error:
        sys.exit(f"running_average: {error}")
    with contextlib.suppress(KeyboardInterrupt):
        cli_main(printed(MachineSource(arguments.interval, arguments.count)))


flow = printed(MachineSource())

if __name__ == "__main__":
    main()
