"""What several operators share: type variables, and the checks on items.

Items are only known to be what an operator needs when they arrive. Whatever is not
gets one sentence, which names the step as its author wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from millstream._naming import a_type
from millstream.dataflow import Dataflow, Stream, f_repr

__all__ = [
    "DK",
    "DV",
    "PAIR",
    "X1",
    "X2",
    "X3",
    "X4",
    "X5",
    "X6",
    "KeyedStream",
    "S",
    "U",
    "V",
    "V_contra",
    "W",
    "W_co",
    "X",
    "Y",
    "a_type",
    "core_stream",
    "describe",
    "is_iterable",
    "not_a_pair",
    "written_id",
    "wrong_return",
]

X = TypeVar("X")
"""Items going in."""

Y = TypeVar("Y")
"""Items coming out."""

U = TypeVar("U")
"""Values of a third or further stream."""

V = TypeVar("V")
"""Values going in."""

V_contra = TypeVar("V_contra", contravariant=True)
"""Values going in, of a class that never returns them."""

W = TypeVar("W")
"""Values coming out."""

W_co = TypeVar("W_co", covariant=True)
"""Values coming out, where a protocol only ever returns them."""

X1 = TypeVar("X1")
X2 = TypeVar("X2")
X3 = TypeVar("X3")
X4 = TypeVar("X4")
X5 = TypeVar("X5")
X6 = TypeVar("X6")

S = TypeVar("S")
"""The state kept for a key."""

DK = TypeVar("DK")
"""Keys of a dictionary or cache."""

DV = TypeVar("DV")
"""Values of a dictionary or cache."""

PAIR = 2
"""The length of a ``(key, value)`` tuple."""

KeyedStream: TypeAlias = Stream[tuple[str, V]]
"""A stream of ``(key, value)`` 2-tuples.

The key is a `str`. Items with the same key meet in the same place, so that steps
can keep state for each key. `millstream.operators.key_on` makes one.
"""


def core_stream(up: Stream[Any] | Dataflow, port: str = "down") -> Stream[Any]:
    """The stream that leaves a port of the core operator whose body this is in."""
    scope = up._scope  # noqa: SLF001
    return Stream(f"{scope.parent_id}.{port}", scope)


def written_id(up: Stream[Any]) -> str:
    """The id of the step whose body this is in, as the author of the flow knows it.

    That is the outermost built-in operator: of `filter_value`, not of the
    `flat_map_value` inside it.
    """
    scope = up._scope  # noqa: SLF001
    return scope.written_id or scope.parent_id


def describe(item: object) -> str:
    """Show an item in an error message, unless the user wants them hidden."""
    if os.environ.get("MILLSTREAM_SHOW_ITEMS") == "0":
        return f"{a_type(item)} (hidden)"
    return repr(item)


def not_a_pair(step_id: str, item: object) -> TypeError:
    """The error for an item that is not a ``(key, value)`` 2-tuple."""
    return TypeError(
        f"step `{step_id}` requires `(key, value)` 2-tuples from upstream; "
        f"got {a_type(item)}; use `key_on` to add a key to each item"
    )


def wrong_return(
    step_id: str, role: str, f: Callable[..., Any], expected: str, got: object
) -> TypeError:
    """The error for a user's function that returned what the operator can't use.

    Args:
        step_id: The step that called the function.
        role: Which parameter of the operator the function is.
        f: The function.
        expected: What it must return.
        got: What it returned.

    Returns:
        The error, to be raised.
    """
    return TypeError(
        f"return value of `{role}` {f_repr(f)} in step `{step_id}` "
        f"must be {expected}; got {a_type(got)}"
    )


def is_iterable(value: object) -> bool:
    """Whether a ``for`` loop takes a value; to be asked only after it didn't."""
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")
