"""Reading one's own meters: CPU seconds, wall-clock seconds, memory (Linux)."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def memory(meter: str) -> int:
    """A meter of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{meter}:"):
            return int(line.split()[1]) * 1024
    msg = f"`/proc/self/status` has no `{meter}`"
    raise RuntimeError(msg)


def resident() -> int:
    """How much memory this process has now."""
    return memory("VmRSS")


def forget_peak() -> None:
    """Let the peak begin anew: making the data does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def measured(run: Callable[[], Any], result: Callable[[], object]) -> None:
    """Run, and print what it took and what came out as one JSON line."""
    gc.collect()
    forget_peak()
    before = resident()
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = memory("VmHWM")
    figures = {"cpu": cpu, "wall": wall, "memory": peak, "grown": peak - before}
    print_figures(figures | {"result": result()})


def print_figures(figures: Figures) -> None:
    """Hand figures to the process that waits for them."""
    print(json.dumps(figures), flush=True)
