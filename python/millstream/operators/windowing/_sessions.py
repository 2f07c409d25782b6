"""Which sessions there are, and when: arithmetic on microseconds."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

__all__ = ["Session", "Sessions"]


@dataclass
class Session:
    """Values that are close to each other, and the times of the first and last.

    Attributes:
        window_id: Its id.
        opened: Which of the sessions of its key it was to open.
        open_time: When its first value was.
        close_time: When its last value was.
        merged_ids: The ids of all sessions that became part of it.
    """

    window_id: int
    opened: int
    open_time: int
    close_time: int
    merged_ids: set[int] = field(default_factory=set)


@dataclass
class Sessions:
    """The open sessions of a key.

    Attributes:
        gap: How far from a session a value may be to belong to it.
        opened: How many were opened so far.
        open: The sessions in the order of their times. They are more than a gap
            apart, so a value can belong to the one before it and the one after it.
        has_times_as_ids: Whether a session's id is the timestamp of the value that
            opened it, and not how many were opened before.
    """

    gap: int
    opened: int = 0
    open: list[Session] = field(default_factory=list)
    has_times_as_ids: bool = False

    def place(self, timestamp: int) -> tuple[Session, Session | None]:
        """Find or open the session of a value.

        Returns:
            The session, and the one that has become part of it, if any.
        """
        index = bisect_right(self.open, timestamp, key=lambda each: each.open_time)
        before = self.open[index - 1] if index > 0 else None
        after = self.open[index] if index < len(self.open) else None
        if before and timestamp - before.close_time > self.gap:
            before = None
        if after and after.open_time - timestamp > self.gap:
            after = None
        if before and after:
            del self.open[index]
            before.close_time = after.close_time
            before.merged_ids |= {after.window_id} | after.merged_ids
            return before, after
        if before:
            before.close_time = max(before.close_time, timestamp)
            return before, None
        if after:
            after.open_time = timestamp
            return after, None
        window_id = timestamp if self.has_times_as_ids else self.opened
        session = Session(window_id, self.opened, timestamp, timestamp)
        self.opened += 1
        self.open.insert(index, session)
        return session, None

    def closes_at(self, session: Session) -> int:
        """The first watermark at which no value can belong to a session any more."""
        return session.close_time + self.gap + 1

    def closed(self, watermark: float) -> list[Session]:
        """The sessions that this watermark closes, as they were opened."""
        return sorted(
            self.open[: self._count_closed(watermark)],
            key=lambda each: each.opened,
        )

    def take_closed(self, watermark: float) -> list[Session]:
        """Remove the sessions that close, and return them as they were opened."""
        closed = self.closed(watermark)
        del self.open[: len(closed)]
        return closed

    def _count_closed(self, watermark: float) -> int:
        # They end in the order of their times.
        return bisect_right(self.open, watermark, key=self.closes_at)
