"""What a dataflow consists of: operators, the ports they have, and streams.

Users get these classes from `millstream.dataflow`. They only hold what `_builder`
finds out when an operator function is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    runtime_checkable,
)

from millstream._naming import a_type

__all__ = [
    "Dataflow",
    "DataflowId",
    "MultiPort",
    "N",
    "Operator",
    "P",
    "Port",
    "R",
    "SinglePort",
    "Stream",
    "X_co",
    "f_repr",
]

P = ParamSpec("P")
"""The parameters of an operator after the step id and the upstream."""

R = TypeVar("R")
"""What an operator returns."""

N = TypeVar("N")
"""How the streams of a port are named: by position or by keyword."""

X_co = TypeVar("X_co", covariant=True)
"""The items of a stream."""


def f_repr(f: Callable[..., Any]) -> str:
    """Describe a callable so that its author recognises it.

    Args:
        f: Any callable.

    Returns:
        The qualified name and line of a plain function; ``repr`` of the rest.

    Examples:
        >>> f_repr(len)
        '<built-in function len>'
        >>> def double(x):
        ...     return x * 2
        >>> f_repr(double).startswith("<function '")
        True
    """
    if inspect.isfunction(f):
        line = f.__code__.co_firstlineno
        return f"<function '{f.__module__}.{f.__qualname__}' line {line}>"
    return repr(f)


@runtime_checkable
class Port(Protocol):
    """Where streams enter or leave an operator."""

    port_id: str
    stream_ids: dict[Any, str]


@dataclass(frozen=True)
class SinglePort:
    """A port with one stream."""

    port_id: str
    stream_id: str

    @property
    def stream_ids(self) -> dict[str, str]:
        """The one stream, under the name ``"stream"``."""
        return {"stream": self.stream_id}


@dataclass(frozen=True)
class MultiPort(Generic[N]):
    """A port with any number of streams, named by position or keyword."""

    port_id: str
    stream_ids: dict[N, str]


@dataclass(frozen=True)
class DataflowId:
    """How an operator remembers a `Dataflow` it was given."""

    flow_id: str


@dataclass(frozen=True)
class Operator:
    """A step of a dataflow.

    `operator` derives a subclass for each operator function, with a further
    field for each of its parameters and outputs.
    """

    step_name: str
    step_id: str
    substeps: list[Operator]
    ups_names: ClassVar[list[str]] = []
    dwn_names: ClassVar[list[str]] = []


@dataclass(frozen=True)
class _CoreOperator(Operator):
    """A step that the engine runs itself."""

    core: ClassVar[bool] = True


@dataclass(frozen=True)
class _Scope:
    """The operator whose body is being built: new steps become its substeps."""

    parent_id: str
    substeps: list[Operator] = field(compare=False, repr=False)
    flow: Dataflow = field(compare=False, repr=False)
    written_id: str | None = field(default=None, compare=False, repr=False)
    """The id of the step as its author knows it: of the outermost built-in operator
    around. Error messages name it, because nobody wrote the substeps inside."""


@dataclass(frozen=True)
class Dataflow:
    """A dataflow, to be filled by calling operators with it.

    Args:
        flow_id: Its name, the first part of the id of each of its steps. It may
            not contain a ``.``.

    Raises:
        TypeError: If `flow_id` is not a `str`.
        ValueError: If `flow_id` is empty or contains a ``.``.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> flow = Dataflow("doubling")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2, 3]))
        >>> doubled = op.map("double", numbers, lambda x: x * 2)
        >>> out = []
        >>> op.output("out", doubled, TestingSink(out))
        >>> run_main(flow)
        >>> out
        [2, 4, 6]
    """

    flow_id: str
    substeps: list[Operator] = field(default_factory=list)
    _scope: _Scope = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        _check_name("flow id", self.flow_id)
        if self._scope is None:
            object.__setattr__(
                self, "_scope", _Scope(self.flow_id, self.substeps, self)
            )


@dataclass(frozen=True)
class Stream(Generic[X_co]):
    """The items that leave one port of a step.

    Operators make streams; there is no need to build one. A stream may be used
    as often as you like: each user of it sees every item. The items themselves
    are shared, not copied, so don't change an item that another branch sees.
    """

    stream_id: str
    _scope: _Scope = field(repr=False)

    def flow(self) -> Dataflow:
        """The dataflow that this stream belongs to."""
        return self._scope.flow

    def then(
        self,
        op_fn: Callable[Concatenate[str, Stream[X_co], P], R],
        step_id: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Chain an operator: ``s.then(op.map, "id", f)`` is ``op.map("id", s, f)``.

        Args:
            op_fn: An operator that takes a step id and one upstream first.
            step_id: The id of the new step.
            *args: Passed on to the operator.
            **kwargs: Passed on to the operator.

        Returns:
            What the operator returns.

        Examples:
            >>> import millstream.operators as op
            >>> from millstream.testing import TestingSource
            >>> flow = Dataflow("chained")
            >>> s = op.input("numbers", flow, TestingSource([1, 2, 3]))
            >>> s.then(op.map, "double", lambda x: x * 2).stream_id
            'chained.double.flat_map_batch.down'
        """
        return op_fn(step_id, self, *args, **kwargs)


@dataclass(frozen=True)
class _MultiStream(Generic[N]):
    """The streams given to a ``*args`` or ``**kwargs`` parameter."""

    streams: dict[N, Stream[Any]]


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str):
        msg = f"a {what} must be a `str`; got {name!r}, {a_type(name)}"
        raise TypeError(msg)
    if not name:
        msg = f"a {what} must not be empty"
        raise ValueError(msg)
    if "." in name:
        msg = (
            f"a {what} must not contain `.`, which joins nested step ids; got {name!r}"
        )
        raise ValueError(msg)
