"""What a dataflow is, as one number, by which processes see that they run the same.

The steps, the operators, and the code of the user's functions and classes count, and so
do the versions of Python and of millstream: processes that differ in any of these might
take the same item for different things. What functions refer to beyond their own code,
such as global variables, is not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from hashlib import blake2b
from importlib.metadata import version
from types import CodeType, FunctionType
from typing import Any

from millstream._graph import Dataflow, Operator

__all__ = ["fingerprint"]


def fingerprint(flow: Dataflow) -> int:
    """The fingerprint of a dataflow, a number of 64 bits."""
    digest = blake2b(digest_size=8)
    for text in _texts(flow):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return int.from_bytes(digest.digest(), "little")


def _texts(flow: Dataflow) -> Iterator[str]:
    yield f"{sys.version_info[:2]} {version('millstream')} {flow.flow_id}"
    for step in flow.substeps:
        yield from _texts_of_step(step)


def _texts_of_step(step: Operator) -> Iterator[str]:
    yield f"{step.step_id} {type(step).__module__}.{type(step).__qualname__}"
    for field in fields(step):
        if not field.name.startswith("_"):
            yield field.name
            yield from _texts_of_value(getattr(step, field.name))
    for substep in step.substeps:
        yield from _texts_of_step(substep)


def _texts_of_value(value: Any) -> Iterator[str]:
    """What a function or an object of the user's own does."""
    function = getattr(value, "__func__", value)
    if isinstance(function, FunctionType):
        yield function.__qualname__
        yield from _texts_of_code(function.__code__)
        return
    cls = value if isinstance(value, type) else type(value)
    yield f"{cls.__module__}.{cls.__qualname__}"
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in _TRUSTED:
            continue
        for name, member in sorted(vars(base).items()):
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType):
                yield name
                yield from _texts_of_code(function.__code__)


_TRUSTED = ("builtins", "millstream", "typing", "abc", "collections")
"""Packages whose classes don't differ between processes of the same versions."""


def _texts_of_code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join((*code.co_names, *code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _texts_of_code(constant)
        elif isinstance(constant, frozenset):
            # Its order is another in each process.
            yield " ".join(sorted(map(repr, constant)))
        else:
            yield repr(constant)
