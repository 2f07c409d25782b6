"""`join`: bring the values of several streams together by their key."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Literal, TypeAlias, get_args, overload

from millstream.dataflow import operator
from millstream.operators._types import X1, X2, X3, X4, X5, X6, KeyedStream, V, X
from millstream.operators.map import map_value
from millstream.operators.merge import merge
from millstream.operators.stateful import StatefulLogic, stateful

__all__ = ["JoinEmitMode", "JoinInsertMode", "join"]

JoinInsertMode: TypeAlias = Literal["first", "last", "product"]
"""Which values of one side to keep: the first, the last, or all of them."""

JoinEmitMode: TypeAlias = Literal["complete", "final", "running"]
"""When to emit: once there is a value from each side, at the end of the input, or
whenever a value arrives."""

_Seen: TypeAlias = list[list[Any]]
"""The values that are kept of each side. None is a value: no value is no entry."""


def _labeler(side: int) -> Callable[[V], tuple[int, V]]:
    def label(value: V) -> tuple[int, V]:
        return side, value

    return label


@operator
def _join_label_merge(
    step_id: str, *sides: KeyedStream[Any]
) -> KeyedStream[tuple[int, Any]]:
    labeled = [
        map_value(f"label_{side}", up, _labeler(side)) for side, up in enumerate(sides)
    ]
    return merge("merge", *labeled)


class _JoinLogic(StatefulLogic[tuple[int, Any], tuple[Any, ...], _Seen]):
    """What has been seen of one key on all sides."""

    def __init__(
        self, insert_mode: JoinInsertMode, emit_mode: JoinEmitMode, seen: _Seen
    ) -> None:
        self._insert_mode = insert_mode
        self._emit_mode = emit_mode
        self._seen = seen

    def on_item(self, value: tuple[int, Any]) -> tuple[Iterable[tuple[Any, ...]], bool]:
        self._insert(*value)
        if self._emit_mode == "running":
            return self._rows(), StatefulLogic.RETAIN
        if self._emit_mode == "complete" and all(self._seen):
            return self._rows(), StatefulLogic.DISCARD
        return (), StatefulLogic.RETAIN

    def _insert(self, side: int, value: Any) -> None:
        values = self._seen[side]
        if self._insert_mode == "product" or not values:
            values.append(value)
        elif self._insert_mode == "last":
            values[0] = value

    def _rows(self) -> Iterable[tuple[Any, ...]]:
        return product(*(values or [None] for values in self._seen))

    def on_eof(self) -> tuple[Iterable[tuple[Any, ...]], bool]:
        if self._emit_mode == "final":
            return self._rows(), StatefulLogic.DISCARD
        return (), StatefulLogic.RETAIN

    def snapshot(self) -> _Seen:
        return copy.deepcopy(self._seen)


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X1 | None]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1, X2]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X1 | None, X2 | None]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1, X2, X3]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X1 | None, X2 | None, X3 | None]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1, X2, X3, X4]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X1 | None, X2 | None, X3 | None, X4 | None]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1, X2, X3, X4, X5]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X1 | None, X2 | None, X3 | None, X4 | None, X5 | None]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    side6: KeyedStream[X6],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X1, X2, X3, X4, X5, X6]]: ...


@overload
def join(
    step_id: str,
    side1: KeyedStream[X1],
    side2: KeyedStream[X2],
    side3: KeyedStream[X3],
    side4: KeyedStream[X4],
    side5: KeyedStream[X5],
    side6: KeyedStream[X6],
    /,
    *,
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[
    tuple[X1 | None, X2 | None, X3 | None, X4 | None, X5 | None, X6 | None]
]: ...


@overload
def join(
    step_id: str,
    *sides: KeyedStream[X],
    insert_mode: JoinInsertMode = ...,
    emit_mode: Literal["complete"] = ...,
) -> KeyedStream[tuple[X, ...]]: ...


@overload
def join(
    step_id: str,
    *sides: KeyedStream[X],
    insert_mode: JoinInsertMode = ...,
    emit_mode: JoinEmitMode,
) -> KeyedStream[tuple[X | None, ...]]: ...


@operator
def join(
    step_id: str,
    *sides: KeyedStream[Any],
    insert_mode: JoinInsertMode = "last",
    emit_mode: JoinEmitMode = "complete",
) -> KeyedStream[tuple[Any, ...]]:
    """Bring the values of several streams together by their key.

    Args:
        step_id: The id of this step.
        *sides: The streams of ``(key, value)`` items, at least one.
        insert_mode: What to do with a further value for the same key from the same
            side: ``"first"`` keeps the first value, ``"last"`` the last, and
            ``"product"`` keeps all of them.
        emit_mode: When to emit the values of a key. ``"complete"``: once there is a
            value from each side; then they are forgotten. ``"final"``: at the end of
            the input. ``"running"``: whenever a value arrives; nothing is ever
            forgotten.

    Returns:
        Tuples with one value from each side, in the order of the sides, and the key;
        for ``"product"``, all combinations. For a side without a value there is None,
        which a value may be as well.

    Raises:
        ValueError: If there is no side, or no such mode.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("join_example")
        >>> names_source = TestingSource([("1", "ann"), ("2", "bob")])
        >>> names = op.input("names", flow, names_source)
        >>> mails_source = TestingSource([("2", "bob@host")])
        >>> mails = op.input("mails", flow, mails_source)
        >>> complete, final = [], []
        >>> op.output("complete", op.join("j1", names, mails), TestingSink(complete))
        >>> all_users = op.join(
        ...     "j2", names, mails, insert_mode="product", emit_mode="final"
        ... )
        >>> op.output("final", all_users, TestingSink(final))
        >>> run_main(flow)
        >>> complete
        [('2', ('bob', 'bob@host'))]
        >>> final
        [('1', ('ann', None)), ('2', ('bob', 'bob@host'))]
    """
    _check_mode(step_id, "insert_mode", insert_mode, get_args(JoinInsertMode))
    _check_mode(step_id, "emit_mode", emit_mode, get_args(JoinEmitMode))

    def build(
        resume_state: _Seen | None,
    ) -> StatefulLogic[tuple[int, Any], tuple[Any, ...], _Seen]:
        seen = [[] for _ in sides] if resume_state is None else resume_state
        return _JoinLogic(insert_mode, emit_mode, seen)

    return stateful("join", _join_label_merge("add_names", *sides), build)


def _check_mode(
    step_id: str, parameter: str, mode: object, modes: tuple[str, ...]
) -> None:
    if mode not in modes:
        choices = ", ".join(f'`"{each}"`' for each in modes)
        msg = (
            f"`{parameter}` of step `{step_id}` must be one of {choices}; got {mode!r}"
        )
        raise ValueError(msg)
