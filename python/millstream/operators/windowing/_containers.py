"""The containers that `collect_window` folds values into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from millstream.operators._types import DK, DV, PAIR, a_type
from millstream.operators.windowing._types import C, V

__all__ = ["Container", "container_of"]


@dataclass(frozen=True)
class Container(Generic[V, C]):
    """How to fold values into a sort of container."""

    builder: Callable[[], C]
    folder: Callable[[C, V], C]
    merger: Callable[[C, C], C]


def _append(values: list[V], value: V) -> list[V]:
    values.append(value)
    return values


def _extend(values: list[V], others: list[V]) -> list[V]:
    values += others
    return values


def _add(values: set[V], value: V) -> set[V]:
    values.add(value)
    return values


def _unite(values: set[V], others: set[V]) -> set[V]:
    values |= others
    return values


def _setter(
    step_id: str,
) -> Callable[[dict[DK, DV], tuple[DK, DV]], dict[DK, DV]]:
    def set_item(values: dict[DK, DV], value: tuple[DK, DV]) -> dict[DK, DV]:
        if not isinstance(value, tuple) or len(value) != PAIR:
            msg = (
                f"step `{step_id}` collects into a `dict`, so each value must be a "
                f"`(key, value)` 2-tuple; got {a_type(value)}"
            )
            raise TypeError(msg)
        values[value[0]] = value[1]
        return values

    return set_item


def _update(values: dict[DK, DV], others: dict[DK, DV]) -> dict[DK, DV]:
    values |= others
    return values


def container_of(step_id: str, into: object) -> Container[Any, Any]:
    """Find out how to fold values into containers of a class.

    Args:
        step_id: The step, as its author wrote it.
        into: The class: `list`, `set`, `dict`, or one derived from these.

    Returns:
        How to do it, with plain lists, sets and dictionaries.

    Raises:
        TypeError: If it is no such class.
    """
    if isinstance(into, type):
        if issubclass(into, list):
            return Container(list, _append, _extend)
        if issubclass(into, set):
            return Container(set, _add, _unite)
        if issubclass(into, dict):
            return Container(dict, _setter(step_id), _update)
    got = f"`{into.__name__}`" if isinstance(into, type) else a_type(into)
    msg = f"`into` of step `{step_id}` must be `list`, `set` or `dict`; got {got}"
    raise TypeError(msg)
