"""Which windows of one length there are, and when: arithmetic on microseconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """Windows of one length, which begin at regular intervals.

    Window 0 opens at `align_to`; the ids of those before it are negative. A window
    ends just before its close time, and windows close in the order of their ids.
    """

    length: int
    offset: int
    align_to: int

    def ids_at(self, timestamp: int) -> range:
        """The windows around a timestamp."""
        since = timestamp - self.align_to
        last = since // self.offset
        last_closed = (since - self.length) // self.offset
        return range(last_closed + 1, last + 1)

    def open_time(self, window_id: int) -> int:
        """The first moment of a window."""
        return self.align_to + window_id * self.offset

    def close_time(self, window_id: int) -> int:
        """The first moment after a window."""
        return self.open_time(window_id) + self.length
