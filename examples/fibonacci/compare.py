"""Measure the recursive function in Python, in Rust, and in Rust called from Python.

``make fibonacci`` builds what is needed and runs this. Two questions are asked: what
does one call cost, as a process of its own; and do two threads get more done than
one. The answers differ between the functions for two reasons, machine code and the
GIL, which ``docs/python-and-rust.md`` explains.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import fibonacci_pyo3

from examples.fibonacci import fibonacci

HERE = Path(__file__).parent
INDEX = 35
EXPECTED = 9_227_465

THREADS_INDEX = {"Python": 32, "Rust from Python": 40}
"""What the threads compute: it takes about as long in either language, and long
enough that starting a thread doesn't show."""


@dataclass(frozen=True)
class Cost:
    """What a computation took, in seconds, and in megabytes at its peak."""

    wall: float
    cpu: float
    peak: float = 0.0

    @classmethod
    def median(cls, costs: Iterable[Cost]) -> Cost:
        """Take the median of each figure for itself."""
        return cls(*map(median, zip(*map(astuple, costs), strict=True)))


ARTICLE = {
    "Python": ("1.13 s", "11.7 MB"),
    "Rust": ("0.08 s", "1.3 MB"),
    "Python : Rust": ("14 : 1", "8 : 1"),
}
"""Wall time and peak memory in the article that this comparison repeats."""


def peak_megabytes(process_id: int) -> float:
    """Read the largest memory that a running process has had.

    The kernel's ``ru_maxrss`` can't be used for small programs: it counts the memory
    of the process that started them too, which is this interpreter.

    Args:
        process_id: A child that was not waited for yet.

    Returns:
        Megabytes; 0 if the process has just ended.
    """
    status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def run(command: list[str]) -> Cost:
    """Run a command that prints the expected number, and measure it.

    Args:
        command: Program and arguments.

    Returns:
        What it took, from start to end of its process.
    """
    peak = 0.0
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        ended = 0
        while not ended:
            peak = max(peak, peak_megabytes(process.pid))
            time.sleep(0.001)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = process.communicate()[0].strip()
    if process.returncode != 0 or printed != str(EXPECTED):
        sys.exit(
            f"`{' '.join(command)}` printed `{printed}` and ended with exit code "
            f"{process.returncode}; expected {EXPECTED} and 0"
        )
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def alternate(
    subjects: Mapping[str, Callable[[], Cost]], repeats: int
) -> dict[str, Cost]:
    """Measure each subject several times, in turn.

    What else the machine does then falls on all of them alike.

    Args:
        subjects: What to measure, by name.
        repeats: How often.

    Returns:
        Medians by name.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, measure in subjects.items():
            costs[name].append(measure())
    return {name: Cost.median(each) for name, each in costs.items()}


def timed(work: Callable[[], None]) -> Cost:
    """Measure work inside this process.

    Args:
        work: What to do.

    Returns:
        Wall and CPU time, of all threads.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def in_sequence(fib: Callable[[int], int], n: int) -> None:
    """Call a function twice, one after the other."""
    fib(n)
    fib(n)


def in_two_threads(fib: Callable[[int], int], n: int) -> None:
    """Call a function twice, in two threads at once."""
    threads = [threading.Thread(target=fib, args=(n,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def row(name: str, *cells: str) -> str:
    """Lay out one line of a table."""
    return f"{name:26}" + "".join(f"{cell:>12}" for cell in cells)


def compare_processes(program: Path, repeats: int) -> None:
    """Print what one call costs as a process of its own, beside the article.

    Args:
        program: The Rust program.
        repeats: How often to measure each.
    """
    call = f"import fibonacci_pyo3; print(fibonacci_pyo3.fib({INDEX}))"
    commands = {
        "Python": [sys.executable, str(HERE / "fibonacci.py"), str(INDEX)],
        "Rust": [str(program), str(INDEX)],
        "Rust from Python": [sys.executable, "-c", call],
    }
    costs = alternate(
        {name: partial(run, command) for name, command in commands.items()}, repeats
    )
    cells: dict[str, tuple[str, ...]] = {
        name: (f"{cost.wall:.3f} s", f"{cost.cpu:.3f} s", f"{cost.peak:.1f} MB")
        for name, cost in costs.items()
    }
    pairs = zip(astuple(costs["Python"]), astuple(costs["Rust"]), strict=True)
    cells["Python : Rust"] = tuple(f"{round(p / r)} : 1" for p, r in pairs)

    print(f"fib({INDEX}) = {EXPECTED} in each; medians of {repeats} runs, in turn\n")
    print(row("", "", "", "", "the article:"))
    print(row("", "wall", "CPU", "peak memory", "wall", "peak memory"))
    for name, figures in cells.items():
        print(row(name, *figures, *ARTICLE.get(name, ())))


def compare_threads(repeats: int) -> None:
    """Print what a second thread gains each function.

    Args:
        repeats: How often to measure each.
    """
    functions = {"Python": fibonacci.fib, "Rust from Python": fibonacci_pyo3.fib}
    print(f"\ntwo calls, on a machine with {os.cpu_count()} cores\n")
    print(row("", "in sequence:", "", "two threads:"))
    print(row("", "wall", "CPU", "wall", "CPU", "gain"))
    for name, fib in functions.items():
        n = THREADS_INDEX[name]
        ways = {
            "in sequence": partial(timed, partial(in_sequence, fib, n)),
            "two threads": partial(timed, partial(in_two_threads, fib, n)),
        }
        one, two = alternate(ways, repeats).values()
        times = (f"{t:.2f} s" for t in (one.wall, one.cpu, two.wall, two.cpu))
        print(row(f"{name}, fib({n})", *times, f"{one.wall / two.wall:.1f} : 1"))


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(
        description="Compare a function in Python and in Rust."
    )
    parser.add_argument(
        "--program",
        type=Path,
        default=HERE / "target" / "release" / "fibonacci",
        help="the Rust program (default: %(default)s)",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of each (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if not arguments.program.exists():
        parser.error(f"`{arguments.program}` is not built yet; run `make fibonacci`")
    if not Path("/proc/self/status").exists():
        parser.error("peak memory is read from `/proc`, so this needs Linux")
    compare_processes(arguments.program, arguments.repeats)
    compare_threads(arguments.repeats)


if __name__ == "__main__":
    main()
