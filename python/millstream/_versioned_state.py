"""State of the user's own classes, which may change while a store keeps what they were.

Pickles refer to `restored_state` by this module's name, so both names are for good.
"""

from __future__ import annotations

import copy
import copyreg
from typing import Any, ClassVar, SupportsIndex

from typing_extensions import Self

from millstream.errors import StateVersionError

__all__ = ["VersionedState", "restored_state"]


class VersionedState:
    """Base class of state whose fields may change with a new version of a dataflow.

    An instance is kept with the `STATE_VERSION` of its class. When the version has
    changed by the time it is read again, `migrate` makes the fields of today of those
    of then. Without `migrate`, or if a later version wrote it, the dataflow ends as it
    starts (exit code 78), and nothing counts of what other workers have done by then.

    It may be the state of a step, or be anywhere inside it. Subclasses are plain
    classes or dataclasses, with or without slots; not such that are also a `list`,
    `dict` or the like.

    Examples:
        A first version had a count only. The second also wants to know the latest page:

        >>> from dataclasses import dataclass
        >>> from millstream.recovery import VersionedState
        >>> @dataclass
        ... class Clicks(VersionedState):
        ...     STATE_VERSION = 2
        ...     count: int = 0
        ...     page: str | None = None
        ...
        ...     @classmethod
        ...     def migrate(cls, version, fields):
        ...         return {**fields, "page": None}
        >>> Clicks.migrate(1, {"count": 7})
        {'count': 7, 'page': None}
    """

    __slots__ = ()

    STATE_VERSION: ClassVar[int] = 1
    """The version of the fields; count it up when they change."""

    @classmethod
    def migrate(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        """Make the fields of today of those of an older version.

        Args:
            version: The version that was kept, older than `STATE_VERSION`.
            fields: The fields by name, as that version had them.

        Returns:
            The fields that an instance is to have now.

        Raises:
            StateVersionError: If it can't; as this one does, for versions that yours
                doesn't know.
        """
        advice = "give it a `migrate`"
        others = (each for each in cls.__mro__ if each is not VersionedState)
        if any("migrate" in vars(each) for each in others):
            advice = "let its `migrate` know that version"
        msg = (
            f"state of class `{cls.__qualname__}` was kept in version {version}, "
            f"and the class is of version {cls.STATE_VERSION}; {advice}, or give the "
            "step a new name and drop the old one"
        )
        raise StateVersionError(msg)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, _CONTENTS):
            msg = (
                f"`{cls.__qualname__}` can't be a `VersionedState`, which is its "
                "fields and nothing else: have the `list`, `dict` or the like in a "
                "field"
            )
            raise TypeError(msg)
        for method in ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__"):
            if method in cls.__dict__:
                msg = (
                    f"`{cls.__qualname__}` can't be a `VersionedState` with a "
                    f"`{method}` of its own: its fields are kept by their names"
                )
                raise TypeError(msg)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        cls = type(self)
        state = (cls.STATE_VERSION, _fields(self))
        # Fields come after the object, since they may refer to it.
        return _new, (cls,), state, None, None, restored_state

    def __copy__(self) -> Self:
        copied: Self = _new(type(self))
        _set(copied, _fields(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied: Self = _new(type(self))
        memo[id(self)] = copied
        _set(copied, copy.deepcopy(_fields(self), memo))
        return copied


_CONTENTS = (list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float)


def restored_state(state: VersionedState, kept: tuple[int, dict[str, Any]]) -> None:
    """Give an instance its fields; what a pickle of one calls.

    Args:
        state: The instance, without fields.
        kept: The version of the fields, and the fields by name, as they were.

    Raises:
        StateVersionError: If the class can't make its own of that version.
        TypeError: If `migrate` returns anything but a `dict`.
    """
    cls = type(state)
    version, fields = kept
    if version > cls.STATE_VERSION:
        msg = (
            f"state of class `{cls.__qualname__}` was kept in version {version}, and "
            f"the class is of version {cls.STATE_VERSION}; run the version of the "
            "dataflow that kept it, or a later one"
        )
        raise StateVersionError(msg)
    if version < cls.STATE_VERSION:
        fields = cls.migrate(version, fields)
        if not isinstance(fields, dict):
            msg = (
                f"`{cls.__qualname__}.migrate` must return a `dict` of fields; "
                f"got {fields!r}"
            )
            raise TypeError(msg)
    _set(state, fields)


# Pickles know it by its name.
_new = copyreg.__newobj__  # type: ignore[attr-defined]


def _set(state: VersionedState, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        # Not `setattr`: the class may be frozen.
        object.__setattr__(state, name, value)


def _fields(state: VersionedState) -> dict[str, Any]:
    slots = [
        name
        for cls in type(state).__mro__
        for name in _slots(cls)
        if hasattr(state, name)
    ]
    fields = {name: getattr(state, name) for name in slots}
    return {**fields, **getattr(state, "__dict__", {})}


def _slots(cls: type) -> list[str]:
    slots = cls.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [_mangled(cls, name) for name in names if name not in _NOT_FIELDS]


_NOT_FIELDS = ("__dict__", "__weakref__")


def _mangled(cls: type, name: str) -> str:
    """What a private slot is called outside of its class."""
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{name}" if is_private else name
