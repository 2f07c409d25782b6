"""What the operators on windows share: their constants, type variables and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Generic, Literal, TypeAlias, TypeVar

from millstream.operators._types import KeyedStream, S, V, V_contra, W

__all__ = [
    "LATE_SESSION_ID",
    "SC",
    "SW",
    "UTC_MAX",
    "UTC_MIN",
    "ZERO_TD",
    "C",
    "S",
    "Scope",
    "V",
    "V_contra",
    "W",
    "WindowMetadata",
    "WindowOut",
]

ZERO_TD: timedelta = timedelta()
"""No time at all."""

UTC_MIN: datetime = datetime.min.replace(tzinfo=timezone.utc)
"""The first moment that there is."""

UTC_MAX: datetime = datetime.max.replace(tzinfo=timezone.utc)
"""The last moment that there is. As a watermark, it means the end of the input."""

LATE_SESSION_ID: int = -1
"""The window id of late values, where windows are sessions.

Which session they would have been in is no longer known.
"""

SC = TypeVar("SC")
"""The state of a clock."""

SW = TypeVar("SW")
"""The state of a windower."""

C = TypeVar("C")
"""What the values of a window are collected into."""


Scope: TypeAlias = Literal["key", "stream"]
"""What has one watermark: each key, or the whole stream."""


@dataclass
class WindowMetadata:
    """What is known about a window when it closes.

    Args:
        open_time: The earliest timestamp that belongs to the window. For a session,
            it is that of the earliest value.
        close_time: The earliest timestamp that no longer belongs to it. For a
            session, it is that of the latest value, which does belong to it.
        merged_ids: The ids of all windows that have become part of this one.
    """

    open_time: datetime
    close_time: datetime
    merged_ids: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class WindowOut(Generic[V, W]):
    """What the operators on windows return: three streams, all with window ids.

    Attributes:
        down: What was made of the values in each window:
            ``(key, (window_id, value))``.
        late: Values from upstream that came too late for their windows:
            ``(key, (window_id, value))``.
        meta: When each window was: ``(key, (window_id, metadata))``, once it has
            closed. Windows that were merged into others don't close.
    """

    down: KeyedStream[tuple[int, W]]
    late: KeyedStream[tuple[int, V]]
    meta: KeyedStream[tuple[int, WindowMetadata]]
