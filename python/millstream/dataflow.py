"""The logical dataflow: a tree of operators joined by streams.

A [`Dataflow`][millstream.dataflow.Dataflow] is built by calling operator
functions (see `millstream.operators`) with it and with the streams they return.
Nothing runs while it is built; an entry point (`millstream.run`) hands the
finished tree to the engine, which reads it once.

Every operator is either *core*, which means that the engine knows how to run it,
or is *composed*: its body calls other operators, which become its substeps.
`operator` makes either kind from a plain function.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
    runtime_checkable,
)

__all__ = [
    "Dataflow",
    "DataflowId",
    "F",
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
    "operator",
]

P = ParamSpec("P")
"""The parameters of an operator after the step id and the upstream."""

R = TypeVar("R")
"""What an operator returns."""

N = TypeVar("N")
"""How the streams of a port are named: by position or by keyword."""

X_co = TypeVar("X_co", covariant=True)
"""The items of a stream."""

F = TypeVar("F", bound=Callable[..., Any])
"""An operator function."""


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


_RESERVED = frozenset(
    {"step_name", "step_id", "substeps", "ups_names", "dwn_names", "core"}
)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str):
        msg = f"a {what} must be a `str`; got {name!r}, a `{type(name).__name__}`"
        raise TypeError(msg)
    if not name:
        msg = f"a {what} must not be empty"
        raise ValueError(msg)
    if "." in name:
        msg = (
            f"a {what} must not contain `.`, which joins nested step ids; got {name!r}"
        )
        raise ValueError(msg)


def _is_stream(annotation: object) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return inspect.isclass(origin) and issubclass(origin, Stream)


@dataclass(frozen=True)
class _Shape:
    """What the signature of an operator function says about its ports."""

    name: str
    module: str
    signature: inspect.Signature
    ups: list[str]
    downs: list[str]
    down_fields: list[str]
    """The fields of what it returns: the streams among `downs`, and the rest."""

    returned: Any
    """The class that the operator function promises to return; None for no class."""

    @property
    def returns_fields(self) -> bool:
        return self.returned is not None and not issubclass(self.returned, Stream)

    @classmethod
    def of(cls, builder: Callable[..., Any]) -> _Shape:
        name = builder.__name__
        signature = inspect.signature(builder)
        hints = _hints_of(builder)
        if "step_id" not in signature.parameters:
            msg = f"operator `{name}` must have a parameter `step_id`"
            raise TypeError(msg)

        hint = hints.get("return", Any)
        returned = typing.get_origin(hint) or hint
        if not (inspect.isclass(returned) and dataclasses.is_dataclass(returned)):
            returned = None
        if hint is type(None):
            downs = down_fields = []
        elif returned is None or issubclass(returned, Stream):
            downs = down_fields = ["down"]
        else:
            down_fields = [f.name for f in dataclasses.fields(returned)]
            field_hints = _hints_of(returned)
            downs = [f for f in down_fields if _is_stream(field_hints[f])]

        ups = [p for p in signature.parameters if p in hints and _is_stream(hints[p])]
        parameters = [p for p in signature.parameters if p != "step_id"]
        for taken in parameters + down_fields:
            if taken in _RESERVED:
                msg = (
                    f"operator `{name}` can't have a parameter or an output named "
                    f"`{taken}`, which every operator has already; rename it"
                )
                raise TypeError(msg)
        for both in sorted(set(parameters) & set(down_fields)):
            msg = (
                f"operator `{name}` has both a parameter and an output named "
                f"`{both}`; rename one of them"
            )
            raise TypeError(msg)
        return cls(
            name, builder.__module__, signature, ups, downs, down_fields, returned
        )

    def operator_class(self, *, core: bool) -> type[Operator]:
        base = _CoreOperator if core else Operator
        parameters = [p for p in self.signature.parameters if p != "step_id"]
        return dataclasses.make_dataclass(
            self.name,
            [(name, Any) for name in parameters + self.down_fields],
            bases=(base,),
            frozen=True,
            eq=False,
            namespace={
                "__module__": self.module,
                "ups_names": self.ups,
                "dwn_names": self.downs,
            },
        )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Name every argument, and gather the streams of variadic parameters."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as ex:
            msg = f"operator `{self.name}` called incorrectly; see cause above"
            raise TypeError(msg) from ex
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for up in self.ups:
            kind = self.signature.parameters[up].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                arguments[up] = _MultiStream(dict(enumerate(arguments[up])))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                arguments[up] = _MultiStream(dict(arguments[up]))
        return arguments

    def call(self, builder: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Call the builder with arguments as `bind` named them."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            value = arguments[name]
            if isinstance(value, _MultiStream):
                value = value.streams
                if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                    value = value.values()
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(value)
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = value
            else:
                args.append(value)
        return builder(*args, **kwargs)

    def check_streams(self, arguments: Mapping[str, Any]) -> None:
        for up in self.ups:
            for value in _streams_in(arguments[up]):
                if not isinstance(value, Stream):
                    self._refuse_stream(up, value)

    def _refuse_stream(self, up: str, value: object) -> NoReturn:
        hint = ""
        if isinstance(value, (list, tuple)):
            hint = "; did you forget to unpack it with `*`?"
        elif names := _stream_fields(value):
            hint = f"; did you forget to choose one of its streams, {names}?"
        msg = (
            f"`{up}` of operator `{self.name}` must be a `Stream`; "
            f"got a `{type(value).__name__}`{hint}"
        )
        raise TypeError(msg)

    def check_returned(self, step_id: str, value: object) -> None:
        if self.returned is not None and not isinstance(value, self.returned):
            msg = (
                f"operator `{self.name}` must return a `{self.returned.__name__}`, as "
                f"it is annotated; in step `{step_id}`, it returned a "
                f"`{type(value).__name__}`"
            )
            raise TypeError(msg)


def _hints_of(annotated: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(annotated)
    except NameError as ex:
        msg = (
            f"can't resolve the annotations of `{annotated.__name__}`: {ex}; "
            "they are needed at run time, so define or import all names in them at "
            "the top level of the module, and not only for type checkers"
        )
        raise TypeError(msg) from ex


def _stream_fields(value: object) -> str:
    """Name the fields of an operator's output; empty if it isn't one."""
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return ""
    return " or ".join(
        f"`.{f.name}`"
        for f in dataclasses.fields(value)
        if isinstance(getattr(value, f.name), Stream)
    )


def _streams_in(value: object) -> Iterable[Any]:
    return value.streams.values() if isinstance(value, _MultiStream) else (value,)


def _scopes_of(arguments: Mapping[str, Any]) -> Iterator[_Scope]:
    for value in arguments.values():
        for each in _streams_in(value):
            if isinstance(each, (Stream, Dataflow)):
                yield each._scope  # noqa: SLF001


def _common_scope(name: str, step_id: str, arguments: Mapping[str, Any]) -> _Scope:
    """The one scope that all streams and dataflows of a call belong to."""
    scopes = list(_scopes_of(arguments))
    if not scopes:
        msg = (
            f"step `{step_id}` has no upstream: operator `{name}` needs at least "
            "one `Stream`, or the `Dataflow`, as a direct argument"
        )
        raise ValueError(msg)
    first = scopes[0]
    for scope in scopes[1:]:
        if scope.flow is not first.flow:
            msg = (
                f"step `{step_id}` joins streams of two dataflows, "
                f"{first.flow.flow_id!r} and {scope.flow.flow_id!r}; "
                "all upstreams of a step must belong to one dataflow"
            )
            raise ValueError(msg)
        if scope != first:
            msg = (
                f"step `{step_id}` mixes streams from inside {first.parent_id!r} "
                f"and inside {scope.parent_id!r}; an operator's body may use only "
                "the streams that it was given or made itself"
            )
            raise ValueError(msg)
    return first


def _rescope(value: Any, scope: _Scope) -> Any:
    """The same stream or dataflow, seen from another scope."""
    if isinstance(value, (Stream, Dataflow)):
        return dataclasses.replace(value, _scope=scope)
    if isinstance(value, _MultiStream):
        return _MultiStream({k: _rescope(s, scope) for k, s in value.streams.items()})
    return value


def _reference(value: Any, port_id: str) -> Any:
    """What an operator keeps of an argument: ports in place of streams."""
    if isinstance(value, Stream):
        return SinglePort(port_id, value.stream_id)
    if isinstance(value, _MultiStream):
        return MultiPort(port_id, {k: s.stream_id for k, s in value.streams.items()})
    if isinstance(value, Dataflow):
        return DataflowId(value.flow_id)
    return value


def _outputs(shape: _Shape, returned: Any) -> dict[str, Any]:
    if shape.returns_fields:
        return {name: getattr(returned, name) for name in shape.down_fields}
    return dict.fromkeys(shape.down_fields, returned)


def _wrap(builder: Callable[P, R], *, core: bool) -> Callable[P, R]:
    shape = _Shape.of(builder)
    operator_class = shape.operator_class(core=core)
    built_in = shape.module.startswith("millstream.")

    def build(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = shape.bind(args, kwargs)
        shape.check_streams(arguments)
        step_name = arguments["step_id"]
        _check_name("step id", step_name)
        outer = _common_scope(shape.name, step_name, arguments)
        step_id = f"{outer.parent_id}.{step_name}"

        written_id = outer.written_id or (step_id if built_in else None)
        inner = _Scope(step_id, [], outer.flow, written_id)
        inside = {name: _rescope(v, inner) for name, v in arguments.items()}
        inside["step_id"] = step_id
        returned = shape.call(builder, inside)
        shape.check_returned(step_id, returned)

        if any(step.step_id == step_id for step in outer.substeps):
            msg = f"step `{step_id}` already exists; give each step an id of its own"
            raise ValueError(msg)
        fields = {**arguments, **_outputs(shape, returned)}
        del fields["step_id"]
        step = operator_class(
            step_name=step_name,
            step_id=step_id,
            substeps=inner.substeps,
            **{k: _reference(v, f"{step_id}.{k}") for k, v in fields.items()},
        )
        outer.substeps.append(step)

        if shape.returns_fields:
            streams = {
                name: _rescope(value, outer)
                for name, value in _outputs(shape, returned).items()
            }
            return dataclasses.replace(returned, **streams)  # type: ignore[type-var]
        return typing.cast("R", _rescope(returned, outer))

    # Not `functools.wraps`: the wrapper keeps no reference to the builder's
    # frame, and `inspect.signature` still shows the builder's parameters.
    build.__name__ = builder.__name__
    build.__qualname__ = builder.__qualname__
    build.__module__ = builder.__module__
    build.__doc__ = builder.__doc__
    build.__wrapped__ = builder  # type: ignore[attr-defined]
    build._op_cls = operator_class  # type: ignore[attr-defined]  # noqa: SLF001
    return build


@overload
def operator(builder: F, *, _core: bool = ...) -> F: ...


@overload
def operator(builder: None = None, *, _core: bool = ...) -> Callable[[F], F]: ...


def operator(
    builder: Callable[..., Any] | None = None, *, _core: bool = False
) -> Callable[..., Any]:
    """Make an operator from a function that composes other operators.

    The function must have a parameter `step_id`. Each parameter annotated as a
    `Stream` (or a subclass or alias of it, ``*args`` and ``**kwargs`` included)
    is an upstream. It returns a `Stream`, a dataclass of streams, or None. Inside
    it, `step_id` is the full id of the step, and the steps that it makes become
    its substeps.

    Args:
        builder: The function.
        _core: Whether the engine runs this operator itself. Not for users: the
            engine refuses a core operator that it doesn't know.

    Returns:
        An operator function with the same signature.

    Raises:
        TypeError: If there is no parameter `step_id`, or if a parameter and an
            output have one name, or a name that every operator already has, or if
            an annotation can't be resolved.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> @operator
        ... def double(step_id: str, up: Stream[int]) -> Stream[int]:
        ...     return op.map("map", up, lambda x: x * 2)
        >>> flow = Dataflow("custom")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> out = []
        >>> op.output("out", double("twice", numbers), TestingSink(out))
        >>> run_main(flow)
        >>> out
        [2, 4]
    """
    if builder is None:
        return lambda builder: _wrap(builder, core=_core)
    return _wrap(builder, core=_core)
