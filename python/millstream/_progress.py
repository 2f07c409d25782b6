"""A table of what each step has done, on a terminal, while a dataflow runs."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

from millstream._engine import Watch
from millstream.dataflow import Dataflow, Operator

__all__ = ["shown_progress"]

_REFRESH = 0.5
"""How many seconds a table stays as it is."""

_UP = "\x1b[{}A"
_CLEAR = "\x1b[J"


@dataclass
class _Row:
    """What a step has done on all workers; nothing is known of what is `None`."""

    items_in: int | None = None
    items_out: int | None = None
    keys: int | None = None

    @property
    def moved(self) -> int:
        """What its rate is that of: a sink makes nothing."""
        return self.items_out if self.items_out is not None else self.items_in or 0


@contextmanager
def shown_progress(flow: Dataflow, watch: Watch) -> Iterator[None]:
    """Show a table for as long as the block takes.

    Args:
        flow: The dataflow.
        watch: What looks at its run.
    """
    table = _Table(flow, watch)
    is_over = Event()

    def show() -> None:
        while not is_over.wait(_REFRESH):
            table.draw()

    painter = Thread(target=show, name="millstream-progress", daemon=True)
    painter.start()
    try:
        yield
    finally:
        is_over.set()
        painter.join()
        table.draw()


class _Table:
    def __init__(self, flow: Dataflow, watch: Watch) -> None:
        self._order = {step_id: n for n, step_id in enumerate(_step_ids(flow.substeps))}
        self._watch = watch
        self._height = 0
        self._moved: dict[str, int] = {}
        self._drawn_at = time.monotonic()
        self._epochs = ""

    def draw(self) -> None:
        """Write the table over the one before."""
        rows = self._rows()
        if not rows:
            return
        now = time.monotonic()
        # The last table may come right after the one before.
        elapsed = max(now - self._drawn_at, _REFRESH / 10)
        rates = {
            step_id: (row.moved - self._moved.get(step_id, 0)) / elapsed
            for step_id, row in rows.items()
        }
        self._moved = {step_id: row.moved for step_id, row in rows.items()}
        self._drawn_at = now
        size = shutil.get_terminal_size()
        # What scrolls away can't be written over.
        lines = [line[: size.columns - 1] for line in self._lines(rows, rates)]
        lines = lines[: size.lines - 1]
        before = _UP.format(self._height) if self._height else ""
        sys.stderr.write(f"{before}{_CLEAR}" + "".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
        self._height = len(lines)

    def _rows(self) -> dict[str, _Row]:
        rows: dict[str, _Row] = {}
        for step_id, *counted in self._watch.steps():
            row = rows.setdefault(step_id, _Row())
            row.items_in = _sum(row.items_in, counted[0])
            row.items_out = _sum(row.items_out, counted[1])
            row.keys = _sum(row.keys, counted[2])
        last = len(self._order)
        return dict(
            sorted(rows.items(), key=lambda item: self._order.get(item[0], last))
        )

    def _lines(self, rows: dict[str, _Row], rates: dict[str, float]) -> Iterator[str]:
        width = max(len("step"), *map(len, rows))
        columns = "{:<{}} {:>12} {:>12} {:>10} {:>10}"
        yield columns.format("step", width, "items in", "items out", "a second", "keys")
        for step_id, row in rows.items():
            shown = (row.items_in, row.items_out, round(rates[step_id]), row.keys)
            yield columns.format(step_id, width, *map(_number, shown))
        epochs = self._watch.epochs()
        if epochs is not None:
            newest, committed = epochs
            kept = "" if committed is None else f", kept up to {committed}"
            self._epochs = f"epoch {newest}{kept}"
        yield self._epochs


def _step_ids(steps: Iterable[Operator]) -> Iterator[str]:
    for step in steps:
        yield step.step_id
        yield from _step_ids(step.substeps)


def _sum(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
