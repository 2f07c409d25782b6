"""`collect`: gather the values of each key into lists, by number and time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from millstream.dataflow import operator
from millstream.operators._types import KeyedStream, V, a_type
from millstream.operators.stateful import StatefulLogic, stateful

__all__ = ["collect"]

_State: TypeAlias = tuple[list[V], datetime | None]
"""The values so far, and when they are emitted at the latest."""


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class _CollectLogic(StatefulLogic[V, list[V], _State[V]]):
    """One list of one key: emitted when it is complete, and then discarded."""

    def __init__(
        self,
        now_getter: Callable[[], datetime],
        timeout: timedelta,
        max_size: int,
        resume_state: _State[V] | None,
    ) -> None:
        self._max_size = max_size
        if resume_state is not None:
            self._values, self._timeout_at = resume_state
        else:
            # An object is built when its first value has arrived.
            self._values = []
            self._timeout_at = _later(now_getter(), timeout)

    def on_item(self, value: V) -> tuple[Iterable[list[V]], bool]:
        self._values.append(value)
        if len(self._values) >= self._max_size:
            return self._emit()
        return (), StatefulLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[list[V]], bool]:
        return self._emit()

    def on_eof(self) -> tuple[Iterable[list[V]], bool]:
        return self._emit()

    def _emit(self) -> tuple[Iterable[list[V]], bool]:
        return (self._values,), StatefulLogic.DISCARD

    def notify_at(self) -> datetime | None:
        return self._timeout_at

    def snapshot(self) -> _State[V]:
        return copy.deepcopy((self._values, self._timeout_at))


def _later(now: datetime, timeout: timedelta) -> datetime | None:
    """When a time-out is over; None if that is beyond the end of time."""
    try:
        return now + timeout
    except OverflowError:
        return None


@operator
def collect(
    step_id: str, up: KeyedStream[V], timeout: timedelta, max_size: int
) -> KeyedStream[list[V]]:
    """Gather values into lists, which are emitted when they are full or old.

    The time-out runs from the first value of a list; later values don't put it off.
    So no value waits for longer than `timeout`, however many follow it. A resumed
    dataflow keeps to the time at which a list was due.

    Args:
        step_id: The id of this step.
        up: The ``(key, value)`` items. All values of a key go to one worker.
        timeout: How long after its first value to emit a list. `timedelta.max`
            means never.
        max_size: At how many values to emit a list. With 1 or less, each value gets
            a list of its own.

    Returns:
        Lists of values in the order of their arrival, each with its key. What is
        left at the end of the input is emitted then.

    Raises:
        TypeError: If `timeout` or `max_size` has another type.

    Examples:
        >>> from datetime import timedelta
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("collect_example")
        >>> source = TestingSource([("a", 1), ("b", 2), ("a", 3), ("a", 4)])
        >>> numbers = op.input("numbers", flow, source)
        >>> pairs = op.collect(
        ...     "pairs", numbers, timeout=timedelta(minutes=1), max_size=2
        ... )
        >>> out = []
        >>> op.output("out", pairs, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [('a', [1, 3]), ('a', [4]), ('b', [2])]
    """
    if not isinstance(timeout, timedelta):
        msg = (
            f"`timeout` of step `{step_id}` must be a `datetime.timedelta`; "
            f"got {a_type(timeout)}"
        )
        raise TypeError(msg)
    if not isinstance(max_size, int):
        msg = f"`max_size` of step `{step_id}` must be an `int`; got {a_type(max_size)}"
        raise TypeError(msg)

    def build(
        resume_state: _State[V] | None,
    ) -> StatefulLogic[V, list[V], _State[V]]:
        return _CollectLogic(_utc_now, timeout, max_size, resume_state)

    return stateful("stateful", up, build)
