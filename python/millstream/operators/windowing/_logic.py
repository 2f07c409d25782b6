"""What users write to keep state for a window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Generic

from millstream.operators.windowing._types import S, V, W

__all__ = ["WindowLogic"]


class WindowLogic(ABC, Generic[V, W, S]):
    """What `window` does for one window; it has one such object for each open one.

    Each callback returns the values to emit, any iterable.
    """

    @abstractmethod
    def on_value(self, value: V) -> Iterable[W]:
        """Take a value that belongs to this window.

        Args:
            value: The value.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def on_merge(self, original: Any) -> Iterable[W]:
        """Take over another window, which has become part of this one.

        Args:
            original: The object of that window, of the same class; nothing else
                will be done with it.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def on_close(self) -> Iterable[W]:
        """This window has closed.

        This object is forgotten, unless the clock allows lateness: then it is kept for
        so long, gets values that are late, and is called here again after them.

        Returns:
            Values to emit.
        """

    @abstractmethod
    def snapshot(self) -> S:
        """The state, for the builder to start from when the dataflow resumes.

        Must not change later: return a copy of whatever is mutable.
        """
