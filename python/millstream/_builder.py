"""How operators are made of functions, and steps of calls of operators.

`operator` reads the signature of a function once. Each call of what it returns is
checked against it, runs the function to find the substeps, and adds a step to the
dataflow.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, overload

from millstream._graph import (
    Dataflow,
    DataflowId,
    MultiPort,
    Operator,
    P,
    R,
    SinglePort,
    Stream,
    _check_name,
    _CoreOperator,
    _MultiStream,
    _Scope,
)
from millstream._naming import a_type

__all__ = ["F", "operator"]

F = TypeVar("F", bound=Callable[..., Any])
"""An operator function."""

_UNIONS = (typing.Union, UnionType)
"""What ``Optional[X]`` and ``X | None`` are made of."""

_RESERVED = frozenset(
    {"step_name", "step_id", "substeps", "ups_names", "dwn_names", "core"}
)


def _is_stream(annotation: object) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return inspect.isclass(origin) and issubclass(origin, Stream)


def _takes_callable(annotation: object) -> bool:
    """Whether an annotation asks for a callable, or for either that or None."""
    if typing.get_origin(annotation) in _UNIONS:
        choices = typing.get_args(annotation)
        return all(_takes_callable(each) for each in choices if each is not NoneType)
    return (typing.get_origin(annotation) or annotation) is Callable


def _other_than_callable(annotation: object, default: object) -> list[object]:
    """What an argument annotated as a callable may be instead."""
    may_be_none = NoneType in typing.get_args(annotation)
    return [default, None] if may_be_none else [default]


def _values_given(kind: object, argument: Any) -> Iterable[Any]:
    """The values that a caller has written for one parameter."""
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return tuple(argument)
    if kind is inspect.Parameter.VAR_KEYWORD:
        return tuple(argument.values())
    return (argument,)


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

    callables: dict[str, list[object]]
    """The parameters that take a callable, and what else each of them may be."""

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
        callables = {
            p: _other_than_callable(hints[p], signature.parameters[p].default)
            for p in parameters
            if p in hints and _takes_callable(hints[p])
        }
        return cls(
            name,
            builder.__module__,
            signature,
            ups,
            downs,
            down_fields,
            returned,
            callables,
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
            f"got {a_type(value)}{hint}"
        )
        raise TypeError(msg)

    def check_callables(self, step_id: str, arguments: Mapping[str, Any]) -> None:
        for name, others in self.callables.items():
            kind = self.signature.parameters[name].kind
            for value in _values_given(kind, arguments[name]):
                if not callable(value) and all(value is not other for other in others):
                    msg = (
                        f"`{name}` of step `{step_id}` must be callable; "
                        f"got `{value!r}`, {a_type(value)}"
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
        shape.check_callables(step_id, arguments)

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
