"""`join_window`: bring values of several streams together by key and window."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Generic, Literal, TypeAlias, get_args, overload

from millstream.dataflow import operator
from millstream.operators._types import (
    X1,
    X2,
    X3,
    X4,
    X5,
    X6,
    KeyedStream,
    X,
)
from millstream.operators.join import (
    JoinEmitMode,
    JoinInsertMode,
    _check_mode,
    _join_label_merge,
)
from millstream.operators.map import map_value
from millstream.operators.windowing._types import SC, V, WindowOut
from millstream.operators.windowing.clocks import Clock, ClockLogic
from millstream.operators.windowing.window import (
    WindowLogic,
    check_clock_and_windower,
    window,
)
from millstream.operators.windowing.windowers import Windower

__all__ = ["join_window"]

_Labeled: TypeAlias = tuple[int, V]
"""A value, and which side it is from."""

_Row: TypeAlias = tuple[Any, ...]

_Seen: TypeAlias = list[list[Any]]
"""The values that are kept of each side. None is a value: no value is no entry."""


@dataclass
class _LabeledClock(Clock[_Labeled[V], SC], Generic[V, SC]):
    """Shows a clock the values as they were before they got labels."""

    clock: Clock[V, SC]

    def __post_init__(self) -> None:
        self.allowed_lateness = self.clock.allowed_lateness
        self.scope = self.clock.scope

    def build(self, resume_state: SC | None) -> ClockLogic[_Labeled[V], SC]:
        return _LabeledClockLogic(self.clock.build(resume_state))


class _LabeledClockLogic(ClockLogic[_Labeled[V], SC], Generic[V, SC]):
    def __init__(self, logic: ClockLogic[V, SC]) -> None:
        self._logic = logic

    def before_batch(self) -> None:
        self._logic.before_batch()

    def on_item(self, value: _Labeled[V]) -> tuple[datetime, datetime]:
        return self._logic.on_item(value[1])

    def on_notify(self) -> datetime:
        return self._logic.on_notify()

    def on_eof(self) -> datetime:
        return self._logic.on_eof()

    def to_system_utc(self, timestamp: datetime) -> datetime | None:
        return self._logic.to_system_utc(timestamp)

    def snapshot(self) -> SC:
        return self._logic.snapshot()


class _JoinWindowLogic(WindowLogic[_Labeled[Any], _Row, _Seen]):
    """What has been seen in one window on all sides."""

    def __init__(
        self, insert_mode: JoinInsertMode, emit_mode: JoinEmitMode, seen: _Seen
    ) -> None:
        self._insert_mode = insert_mode
        self._emit_mode = emit_mode
        self._seen: _Seen = seen

    def on_value(self, value: _Labeled[Any]) -> Iterable[_Row]:
        side, side_value = value
        self._insert(side, [side_value])
        return self._emit()

    def on_merge(self, original: _JoinWindowLogic) -> Iterable[_Row]:
        for side, values in enumerate(original._seen):
            self._insert(side, values)
        return self._emit()

    def _insert(self, side: int, values: list[Any]) -> None:
        """Take later values of a side."""
        kept = self._seen[side]
        if self._insert_mode == "product":
            kept += values
        elif values and (self._insert_mode == "last" or not kept):
            kept[:] = values

    def _emit(self) -> Iterable[_Row]:
        if self._emit_mode == "running":
            return self._rows()
        if self._emit_mode == "complete" and all(self._seen):
            rows = list(self._rows())
            self._seen = [[] for _ in self._seen]
            return rows
        return ()

    def _rows(self) -> Iterable[_Row]:
        return product(*(values or [None] for values in self._seen))

    def on_close(self) -> Iterable[_Row]:
        return self._rows() if self._emit_mode == "final" else ()

    def snapshot(self) -> _Seen:
        return copy.deepcopy(self._seen)


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1, tuple[X1]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[X1, tuple[X1 | None]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1 | X2, tuple[X1, X2]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[X1 | X2, tuple[X1 | None, X2 | None]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1 | X2 | X3, tuple[X1, X2, X3]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[X1 | X2 | X3, tuple[X1 | None, X2 | None, X3 | None]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1 | X2 | X3 | X4, tuple[X1, X2, X3, X4]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[
    X1 | X2 | X3 | X4, tuple[X1 | None, X2 | None, X3 | None, X4 | None]
]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1 | X2 | X3 | X4 | X5, tuple[X1, X2, X3, X4, X5]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[
    X1 | X2 | X3 | X4 | X5, tuple[X1 | None, X2 | None, X3 | None, X4 | None, X5 | None]
]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    side6: KeyedStream[X6],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X1 | X2 | X3 | X4 | X5 | X6, tuple[X1, X2, X3, X4, X5, X6]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    side6: KeyedStream[X6],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[
    X1 | X2 | X3 | X4 | X5 | X6,
    tuple[X1 | None, X2 | None, X3 | None, X4 | None, X5 | None, X6 | None],
]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    *sides: KeyedStream[X],
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"],
    ordered: bool = ...,
) -> WindowOut[X, tuple[X, ...]]: ...


@overload
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    *sides: KeyedStream[X],
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["final", "running"] = ...,
    ordered: bool = ...,
) -> WindowOut[X, tuple[X | None, ...]]: ...


@operator
def join_window(
    step_id: str,
    clock: Clock[Any, Any],
    windower: Windower[Any],
    *sides: KeyedStream[Any],
    insert_mode: JoinInsertMode = "last",
    emit_mode: JoinEmitMode = "final",
    ordered: bool = True,
) -> WindowOut[Any, tuple[Any, ...]]:
    """Bring the values of several streams together by their key, in each window.

    All sides of a key have one clock in common.

    Args:
        step_id: The id of this step.
        clock: Which time each value has, and how far time has come. It gets the
            values of all sides.
        windower: Which windows a timestamp belongs to, and when they close.
        *sides: The streams of ``(key, value)`` items, at least one.
        insert_mode: What to do with a further value in the same window from the same
            side: ``"first"`` keeps the first value, ``"last"`` the last, and
            ``"product"`` keeps all of them. If windows merge, the values of the
            earlier one come first. A value that is late, within the allowed lateness,
            comes after those that are there.
        emit_mode: When to emit the values in a window. ``"complete"``: once there is
            a value from each side; then they are forgotten. ``"final"``: when the
            window closes, and again if late values change it. ``"running"``: whenever
            a value arrives or windows merge.
        ordered: Whether windows take values in the order of their timestamps.

    Returns:
        Tuples with one value from each side, in the order of the sides; for
        ``"product"``, all combinations. For a side without a value there is None,
        which a value may be as well. Also late values, and the times of windows.

    Raises:
        TypeError: If `clock` or `windower` has another type.
        ValueError: If there is no side, or no such mode.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> import millstream.operators as op
        >>> import millstream.operators.windowing as win
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> START = datetime(2024, 1, 1, tzinfo=timezone.utc)
        >>> flow = Dataflow("join_window_example")
        >>> asked_source = TestingSource([("ann", 1), ("ann", 12)])
        >>> asked = op.input("asked", flow, asked_source)
        >>> answered_source = TestingSource([("ann", 7), ("bob", 3)])
        >>> answered = op.input("answered", flow, answered_source)
        >>> clock = win.EventClock(
        ...     ts_getter=lambda second: START + timedelta(seconds=second),
        ...     wait_for_system_duration=timedelta(minutes=1),
        ... )
        >>> windower = win.TumblingWindower(timedelta(seconds=10), align_to=START)
        >>> final = win.join_window("final", clock, windower, asked, answered)
        >>> complete = win.join_window(
        ...     "complete",
        ...     clock,
        ...     windower,
        ...     asked,
        ...     answered,
        ...     insert_mode="product",
        ...     emit_mode="complete",
        ...     ordered=False,
        ... )
        >>> out, out_complete = [], []
        >>> op.output("out", final.down, TestingSink(out))
        >>> op.output("out_complete", complete.down, TestingSink(out_complete))
        >>> run_main(flow)
        >>> out
        [('ann', (0, (1, 7))), ('ann', (1, (12, None))), ('bob', (0, (None, 3)))]
        >>> out_complete
        [('ann', (0, (1, 7)))]
    """
    _check_mode(step_id, "insert_mode", insert_mode, get_args(JoinInsertMode))
    _check_mode(step_id, "emit_mode", emit_mode, get_args(JoinEmitMode))
    check_clock_and_windower(step_id, clock, windower)

    def build(
        resume_state: _Seen | None,
    ) -> WindowLogic[_Labeled[Any], _Row, _Seen]:
        seen: _Seen = [[] for _ in sides] if resume_state is None else resume_state
        return _JoinWindowLogic(insert_mode, emit_mode, seen)

    labeled = _join_label_merge("add_names", *sides)
    out = window("window", labeled, _LabeledClock(clock), windower, build, ordered)
    late = map_value("unlabel_late", out.late, _unlabel)
    return WindowOut(down=out.down, late=late, meta=out.meta)


def _unlabel(late: tuple[int, _Labeled[Any]]) -> tuple[int, Any]:
    window_id, (_, value) = late
    return window_id, value
