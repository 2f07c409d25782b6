"""State of the user's own classes, which may change while a store keeps what they were.

Pickles refer to `restored_state` by this module's name, so both names are for good.
"""

from __future__ import annotations

from typing import Any, ClassVar, SupportsIndex

from millstream.errors import StateVersionError

__all__ = ["VersionedState", "restored_state"]


class VersionedState:
    """Base class of state whose fields may change with a new version of a dataflow.

    An instance is kept with the `STATE_VERSION` of its class. When the version has
    changed by the time it is read again, `migrate` makes the fields of today of those
    of then. Without `migrate`, or if a later version wrote it, the dataflow doesn't
    start (exit code 78), and no source is read.

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
    def migrate(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
        """Make the fields of today of those of an older version.

        Args:
            version: The version that was kept, older than `STATE_VERSION`.
            fields: The fields by name, as that version had them.

        Returns:
            The fields that an instance is to have now.
        """
        raise _NotMigratable(version, fields)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        cls = type(self)
        return restored_state, (cls, cls.STATE_VERSION, _fields(self))


class _NotMigratable(Exception):  # noqa: N818
    """The class has no `migrate` of its own."""


def restored_state(
    cls: type[VersionedState], version: int, fields: dict[str, Any]
) -> VersionedState:
    """What a pickle of an instance calls.

    Args:
        cls: The class, as it is today.
        version: The version of the fields.
        fields: The fields by name, as they were.

    Returns:
        An instance of the version of today.

    Raises:
        StateVersionError: If the class can't make its own of that version.
        TypeError: If `migrate` returns anything but a `dict`.
    """
    if version > cls.STATE_VERSION:
        msg = (
            f"state of class `{cls.__qualname__}` was kept in version {version}, and "
            f"the class is of version {cls.STATE_VERSION}; run the version of the "
            "dataflow that kept it, or a later one"
        )
        raise StateVersionError(msg)
    if version < cls.STATE_VERSION:
        try:
            fields = cls.migrate(version, fields)
        except _NotMigratable:
            msg = (
                f"state of class `{cls.__qualname__}` was kept in version {version}, "
                f"and the class is of version {cls.STATE_VERSION}; give it a "
                "`migrate`, or give the step a new name and drop the old one"
            )
            raise StateVersionError(msg) from None
        if not isinstance(fields, dict):
            msg = (
                f"`{cls.__qualname__}.migrate` must return a `dict` of fields; "
                f"got {fields!r}"
            )
            raise TypeError(msg)
    state = cls.__new__(cls)
    for name, value in fields.items():
        # Not `setattr`: the class may be frozen.
        object.__setattr__(state, name, value)
    return state


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
