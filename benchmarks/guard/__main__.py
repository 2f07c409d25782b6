"""Counts instructions an item, and compares them with the baseline.

``python -m benchmarks.guard [--write] [--tolerance PERCENT] [--any-python]
[--may-skip]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.guard.counted import INTERPRETER, NAMES, SIZES

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
TOLERANCE = 15.0

Counts = dict[str, float]
"""Instructions an item, by workload."""


def minor(version: str) -> str:
    """The part of a version of Python that bytecode depends on."""
    return ".".join(version.split(".")[:2])


def build_requests(directory: Path) -> Path:
    """Compile how the process talks with callgrind."""
    library = directory / "requests.so"
    compiler = os.environ.get("CC", "cc")
    options = ["-O2", "-shared", "-fPIC", "-o"]
    subprocess.run([compiler, *options, library, HERE / "requests.c"], check=True)
    return library


def count_instructions() -> Counts:
    """Run everything under callgrind, which counts nothing until it is asked to."""
    with tempfile.TemporaryDirectory(prefix="guard-") as name:
        directory = Path(name)
        command: list[str | Path] = [
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={directory / 'counted'}",
            sys.executable,
            "-m",
            "benchmarks.guard.counted",
            build_requests(directory),
        ]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})
        return read_counts(directory)


def read_counts(directory: Path) -> Counts:
    """Make of the dumps of callgrind what an item costs."""
    totals: dict[str, int] = {}
    for path in directory.glob("counted.*"):
        text = path.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)$", text, re.MULTILINE)
        if name is not None and total is not None:
            totals[name[1]] = int(total[1])
    few, many = SIZES
    return {
        name: (totals[f"{name} {many}"] - totals[f"{name} {few}"]) / (many - few)
        for name in (INTERPRETER, *NAMES)
    }


def write_baseline(counts: Counts) -> None:
    """Write the baseline, with what it was counted on."""
    baseline = {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "machine": platform.machine(),
        "instructions an item": {name: round(each) for name, each in counts.items()},
    }
    BASELINE.write_text(json.dumps(baseline, indent=2) + "\n")
    print(f"wrote {BASELINE}")


def check_python(recorded: str, *, may_skip: bool) -> None:
    """Refuse to compare what can't be compared."""
    running = platform.python_version()
    if minor(recorded) == minor(running):
        return
    print(
        f"the baseline was counted with Python {recorded}, and this is {running}; "
        f"use Python {minor(recorded)}, write a baseline of your own with "
        "`make guard-baseline`, or compare all the same with `--any-python`",
        file=sys.stderr,
    )
    sys.exit(0 if may_skip else 1)


def compare(counts: Counts, baseline: Counts, tolerance: float) -> list[str]:
    """Print all figures; return the workloads that cost too much."""
    interpreter = max(1.0, counts[INTERPRETER] / baseline[INTERPRETER])
    print(f"{'instructions an item':22}{'baseline':>10}{'now':>10}{'change':>9}")
    exceeded = []
    for name, now in counts.items():
        before = baseline.get(name)
        if before is None:
            print(f"{name:22}{'none':>10}{now:10,.0f}{'':>9}")
            exceeded.append(name)
            continue
        change = (now / before / interpreter - 1) * 100
        is_exceeded = name != INTERPRETER and change > tolerance
        mark = "  too many" if is_exceeded else ""
        print(f"{name:22}{before:10,.0f}{now:10,.0f}{now / before - 1:+9.1%}{mark}")
        if is_exceeded:
            exceeded.append(name)
    return exceeded


def main() -> None:
    """Count, and write or compare."""
    parser = argparse.ArgumentParser(prog="benchmarks.guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the baseline anew")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="percent (default: 15)"
    )
    parser.add_argument(
        "--any-python", action="store_true", help="compare another minor version too"
    )
    parser.add_argument(
        "--may-skip", action="store_true", help="don't fail if it can't be compared"
    )
    arguments = parser.parse_args()
    if arguments.write:
        write_baseline(count_instructions())
        return
    baseline = json.loads(BASELINE.read_text())
    if not arguments.any_python:
        check_python(baseline["python"], may_skip=arguments.may_skip)
    exceeded = compare(
        count_instructions(), baseline["instructions an item"], arguments.tolerance
    )
    if exceeded:
        sys.exit(
            f"an item costs over {arguments.tolerance:g} % more instructions than in "
            f"{BASELINE.name}: {', '.join(exceeded)}; mend it, or write the baseline "
            "anew with `make guard-baseline` and say why"
        )


if __name__ == "__main__":
    main()
