"""How error messages name things."""

from __future__ import annotations

__all__ = ["a_type"]


def a_type(value: object) -> str:
    """Name the type of a value, for the end of an error message."""
    name = type(value).__name__
    if isinstance(value, tuple):
        return f"a `{name}` of length {len(value)}"
    article = "an" if name[:1] in "aeiouAEIOU" else "a"
    if isinstance(value, type):
        return f"the class `{value.__name__}` itself"
    return f"{article} `{name}`"
