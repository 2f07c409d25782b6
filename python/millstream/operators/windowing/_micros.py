"""Time as whole microseconds since 1970 in UTC, which the rules of windows are in.

Integers don't overflow where a `datetime` or `timedelta` would. A moment before
`UTC_MIN` or after `UTC_MAX`, as other time zones have them, counts as these.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TypeGuard

from millstream.operators._types import a_type
from millstream.operators.windowing._types import UTC_MAX, UTC_MIN, ZERO_TD

__all__ = [
    "FIRST",
    "LAST",
    "THE_END",
    "a_moment",
    "check_duration",
    "check_moment",
    "datetime_of",
    "duration_of",
    "is_moment",
    "micros_of",
    "utc_now",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

FIRST = (UTC_MIN - _EPOCH) // _MICROSECOND
"""The first moment that there is."""

THE_END = (UTC_MAX - _EPOCH) // _MICROSECOND
"""The last moment that there is. As a watermark, it means the end of the input."""

LAST = THE_END - 1
"""How far a watermark goes before the end of the input."""


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(timezone.utc)


def is_moment(value: object) -> TypeGuard[datetime]:
    """Whether a value is one moment everywhere: an aware `datetime`."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def micros_of(moment: datetime) -> int:
    """Convert an aware `datetime`."""
    return min(max((moment - _EPOCH) // _MICROSECOND, FIRST), THE_END)


def datetime_of(micros: int) -> datetime:
    """Convert to a `datetime` in UTC; the nearest one if there is none so far off."""
    return _EPOCH + timedelta(microseconds=min(max(micros, FIRST), THE_END))


def duration_of(duration: timedelta) -> int:
    """Convert a `timedelta`."""
    return duration // _MICROSECOND


def a_moment(value: object) -> str:
    """Name the kind of a value that is no moment, for the end of an error message."""
    if isinstance(value, datetime):
        return (
            "a naive one; give it a time zone, for example with "
            "`.replace(tzinfo=timezone.utc)`"
        )
    return a_type(value)


def check_moment(name: str, value: object) -> datetime:
    """Refuse what is not an aware `datetime`.

    Args:
        name: What the value is, to begin the error message with.
        value: Any value.

    Returns:
        The value.

    Raises:
        TypeError: If it is not a `datetime`.
        ValueError: If it has no time zone.
    """
    if is_moment(value):
        return value
    msg = f"{name} must be an aware `datetime`; got {a_moment(value)}"
    raise ValueError(msg) if isinstance(value, datetime) else TypeError(msg)


def check_duration(name: str, value: object, *, positive: bool) -> None:
    """Refuse what is not a `timedelta`, or negative.

    Args:
        name: What the value is, to begin the error message with.
        value: Any value.
        positive: Whether to refuse no time at all as well.

    Raises:
        TypeError: If it is not a `timedelta`.
        ValueError: If it is negative, or if it must be positive and is not.
    """
    if not isinstance(value, timedelta):
        msg = f"{name} must be a `datetime.timedelta`; got {a_type(value)}"
        raise TypeError(msg)
    if value < ZERO_TD or (positive and value == ZERO_TD):
        rule = "must be positive" if positive else "must not be negative"
        msg = f"{name} {rule}; got `{value!r}`"
        raise ValueError(msg)
