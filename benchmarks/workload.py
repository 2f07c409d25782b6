"""What every workload shares: reading its own meters, and printing them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_memory() -> int:
    """The most memory that this process has used, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    msg = "/proc/self/status has no VmHWM"
    raise RuntimeError(msg)


def measured(run: Callable[[], Any], result: Callable[[], object]) -> None:
    """Run a workload, and print what it took and what came out as one JSON line."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    figures = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "memory": peak_memory(),
        "result": result(),
    }
    print(json.dumps(figures))
