"""What named aggregators mean: how to fold values, merge states, and finish.

The operators that take aggregators are folds of what is here. It is the specification
of what the engine does by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add
from typing import Any, Generic, TypeAlias

from millstream.operators._types import V, a_type
from millstream.operators.aggregators import Aggregator, Kind

__all__ = ["Aggregation", "State"]

State: TypeAlias = tuple[Any, ...]
"""A part for each aggregator; empty until there is a value."""


def _itself(value: V) -> V:
    return value


@dataclass(frozen=True)
class _Rule:
    """What a kind of aggregator keeps: something that two of make one.

    Never changes what it is given, since that may be the user's own.
    """

    combine: Callable[[Any, Any], Any]
    """Makes one of what earlier and later values came to."""
    start: Callable[[Any], Any] = _itself
    """What a single value comes to."""
    finish: Callable[[Any], Any] = _itself
    """What comes out of it."""


def _earlier(one: tuple[int, Any], other: tuple[int, Any]) -> tuple[int, Any]:
    return one if one[0] <= other[0] else other


def _later(one: tuple[int, Any], other: tuple[int, Any]) -> tuple[int, Any]:
    return other if one[0] <= other[0] else one


def _value_of(timed: tuple[int, Any]) -> Any:
    return timed[1]


_TIMED_RULES: dict[Kind, _Rule] = {
    "first": _Rule(_earlier, finish=_value_of),
    "last": _Rule(_later, finish=_value_of),
}
"""By time, for values that don't come in its order: they start with their time."""


_RULES: dict[Kind, _Rule] = {
    "count": _Rule(add, start=lambda _taken: 1),
    "sum": _Rule(add),
    "mean": _Rule(
        lambda earlier, later: (earlier[0] + later[0], earlier[1] + later[1]),
        start=lambda taken: (taken, 1),
        finish=lambda sum_and_count: sum_and_count[0] / sum_and_count[1],
    ),
    # Of equals, both keep the one that they are given first.
    "min": _Rule(min),
    "max": _Rule(max),
    "first": _Rule(lambda earlier, _later: earlier),
    "last": _Rule(lambda _earlier, later: later),
}


class Aggregation(Generic[V]):
    """The aggregators of a step, all at once."""

    def __init__(
        self,
        step_id: str,
        aggregators: Mapping[str, Aggregator[V, Any]],
        time: Callable[[V], int] | None = None,
    ) -> None:
        """Check the aggregators.

        Args:
            step_id: The step, as its author wrote it.
            aggregators: Its parameter of this name.
            time: Returns the time of a value, which decides what is first and last.
                None if values come in order.

        Raises:
            TypeError: If it isn't a mapping of names to aggregators.
            ValueError: If it is empty, or there is no such kind of aggregator.
        """
        _check_aggregators(step_id, aggregators)
        self._names = list(aggregators)
        self._time = time
        kinds = [each.kind for each in aggregators.values()]
        rules = _RULES if time is None else _RULES | _TIMED_RULES
        self._rules = [rules[kind] for kind in kinds]
        self._is_timed = [time is not None and kind in _TIMED_RULES for kind in kinds]
        getters = [
            _itself if each.by is None else each.by for each in aggregators.values()
        ]
        # By identity, since what can be called may be without a hash.
        self._getters = {id(getter): getter for getter in getters}
        self._getter_ids = [id(getter) for getter in getters]

    def fold(self, state: State, value: V) -> State:
        """Take in a value."""
        taken = {key: getter(value) for key, getter in self._getters.items()}
        time = self._time(value) if self._time else 0
        parts = zip(self._rules, self._getter_ids, self._is_timed, strict=True)
        return self.merge(
            state,
            tuple(
                rule.start((time, taken[key]) if is_timed else taken[key])
                for rule, key, is_timed in parts
            ),
        )

    def merge(self, earlier: State, later: State) -> State:
        """Make one state of two that are about different values."""
        if not earlier:
            return later
        parts = zip(self._rules, earlier, later, strict=True)
        return tuple(rule.combine(before, after) for rule, before, after in parts)

    def finish(self, state: State) -> dict[str, Any]:
        """Name the results of a state, which has seen a value."""
        parts = zip(self._names, self._rules, state, strict=True)
        return {name: rule.finish(part) for name, rule, part in parts}


def _check_aggregators(step_id: str, aggregators: object) -> None:
    parameter = f"`aggregators` of step `{step_id}`"
    if not isinstance(aggregators, Mapping):
        msg = (
            f"{parameter} must be a mapping of names to aggregators, "
            f'such as `{{"n": agg.count()}}`; got {a_type(aggregators)}'
        )
        raise TypeError(msg)
    if not aggregators:
        msg = f'{parameter} must not be empty; add one, such as `{{"n": agg.count()}}`'
        raise ValueError(msg)
    for name, aggregator in aggregators.items():
        if not isinstance(name, str):
            msg = f"names in {parameter} must be `str`; got `{name!r}`, {a_type(name)}"
            raise TypeError(msg)
        _check_aggregator(f"{name!r} in {parameter}", aggregator)


def _check_aggregator(entry: str, aggregator: object) -> None:
    if not isinstance(aggregator, Aggregator):
        name = getattr(aggregator, "__name__", None)
        hint = f"; did you mean `agg.{name}()`?" if name in _RULES else ""
        msg = f"{entry} must be an `Aggregator`; got {a_type(aggregator)}{hint}"
        raise TypeError(msg)
    if aggregator.kind not in _RULES:
        kinds = ", ".join(f"`{kind}`" for kind in _RULES)
        msg = f"the kind of {entry} must be one of {kinds}; got `{aggregator.kind}`"
        raise ValueError(msg)
    by = aggregator.by
    if by is not None and not callable(by):
        msg = f"`by` of {entry} must be callable; got `{by!r}`, {a_type(by)}"
        raise TypeError(msg)
