"""Fusion: one loop for a run of stateless steps.

Steps such as `map` and `filter` call a function of the user for each item. Run one by
one, each makes a list for the next. Here a run of them becomes the source of a single
Python function, such as one would write by hand::

    def fused(items):
        out = []
        for x in items:
            x = f0(x)
            y = f1(x)
            if y is not True:
                require_bool(1, y)
                continue
            out.append(x)
        return out

CPython calls a Python function from Python faster than from outside, so this beats
calling each function from Rust. A ``(key, value)`` item is taken apart once, and put
together only where a step wants it whole.

Each line belongs to one step. So a traceback through `fused` says which step failed,
and its variables say on which item; errors name the step that the user wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from millstream.operators._types import (
    PAIR,
    a_type,
    is_iterable,
    not_a_pair,
    wrong_return,
)

__all__ = ["Failed", "Fused", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One stateless step."""

    kind: str
    """The name of its operator."""
    step_id: str
    function: Callable[..., Any] | None = None
    """The function that the user gave it, if it takes one."""
    role: str = ""
    """Which parameter of the operator that function is."""


@dataclass(frozen=True)
class Failed:
    """Which stage an exception came from."""

    stage: Stage
    item: tuple[Any, ...]
    """The item that was being worked on, alone in a tuple; empty if unknown."""


@dataclass(frozen=True)
class _Line:
    """A line of the generated function, and what its variables mean."""

    text: str
    stage: int | None
    is_pair: bool


_serial = count()


class Fused:
    """A run of stages as one function."""

    def __init__(self, stages: list[Stage]) -> None:
        """Write the function, and compile it."""
        self._stages = stages
        self._lines = _write(stages)
        self.source = "\n".join(line.text for line in self._lines)
        # By its file name, an entry of a traceback is known to be of this function.
        self._filename = f"<millstream fused steps {next(_serial)}>"
        names: dict[str, Any] = {
            "require_batch": self._require_batch,
            "require_bool": self._require_bool,
            "require_iterable": self._require_iterable,
            "require_pair": self._require_pair,
            "require_str": self._require_str,
        }
        for number, stage in enumerate(stages):
            names[f"f{number}"] = stage.function
            names[f"id{number}"] = stage.step_id
        exec(compile(self.source, self._filename, "exec"), names)  # noqa: S102
        self.call: Callable[[list[Any]], list[Any]] = names["fused"]

    def explain(self, error: BaseException) -> Failed | None:
        """Say which stage an exception came from, and take our own entries off it.

        Args:
            error: What `call` raised.

        Returns:
            The stage, if the exception came through this function.
        """
        entry = error.__traceback__
        while entry is not None and entry.tb_frame.f_code.co_filename != self._filename:
            entry = entry.tb_next
        if entry is None:
            return None
        line = self._lines[entry.tb_lineno - 1]
        if line.stage is None:
            return None
        values = entry.tb_frame.f_locals
        below = entry.tb_next
        if below is not None and below.tb_frame.f_code.co_filename == __file__:
            below = None
        error.__traceback__ = below
        wanted = ("k", "v") if line.is_pair else ("x",)
        item = tuple(values[name] for name in wanted if name in values)
        if line.is_pair:
            item = (item,)
        return Failed(self._stages[line.stage], item)

    # What the function calls to make sure of a type when a quick look didn't.

    def _require_pair(self, number: int, item: object) -> None:
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise not_a_pair(self._stages[number].step_id, item)

    def _require_str(self, number: int, key: object) -> None:
        if not isinstance(key, str):
            raise self._wrong_return(number, "a `str`", key)

    def _require_bool(self, number: int, keeps: object) -> None:
        if keeps is not False:
            raise self._wrong_return(number, "a `bool`", keeps)

    def _require_iterable(self, number: int, items: Any) -> Iterable[Any]:
        try:
            iterator: Iterable[Any] = iter(items)
        except TypeError:
            if is_iterable(items):
                raise
        else:
            return iterator
        stage = self._stages[number]
        if stage.function is not None:
            raise self._wrong_return(number, "iterable", items)
        msg = (
            f"step `{stage.step_id}` requires iterables from upstream; "
            f"got {a_type(items)}"
        )
        raise TypeError(msg)

    def _require_batch(self, number: int, items: Any) -> list[Any]:
        if items.__class__ is list:
            return items
        return list(self._require_iterable(number, items))

    def _wrong_return(self, number: int, expected: str, got: object) -> TypeError:
        stage = self._stages[number]
        function = stage.function or type(None)
        return wrong_return(stage.step_id, stage.role, function, expected, got)


class _Writer:
    """Writes the loop, stage by stage.

    The item is either whole, in ``x``, or apart, in ``k`` and ``v``.
    """

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.indent = 0
        self.stage: int | None = None
        self.is_pair = False

    def line(self, text: str) -> None:
        indented = "    " * self.indent + text.replace("#", str(self.stage))
        self.lines.append(_Line(indented, self.stage, self.is_pair))

    def block(self, head: str) -> None:
        self.line(head)
        self.indent += 1

    def whole(self) -> None:
        if self.is_pair:
            self.line("x = (k, v)")
            self.is_pair = False

    def apart(self) -> None:
        if not self.is_pair:
            self.line("if x.__class__ is not tuple or len(x) != 2: require_pair(#, x)")
            self.line("k, v = x")
            self.is_pair = True


def _write(stages: list[Stage]) -> list[_Line]:
    writer = _Writer()
    writer.block("def fused(items):")
    for segment in _segments(stages):
        writer.stage = segment[0]
        if stages[segment[0]].kind == "flat_map_batch":
            writer.line("items = require_batch(#, f#(items))")
        else:
            _write_loop(writer, stages, segment)
    writer.line("return items")
    return writer.lines


def _segments(stages: list[Stage]) -> list[list[int]]:
    """Stages that share a loop; one that wants the whole batch is on its own."""
    segments: list[list[int]] = []
    may_join = False
    for number, stage in enumerate(stages):
        is_batch = stage.kind == "flat_map_batch"
        if may_join and not is_batch:
            segments[-1].append(number)
        else:
            segments.append([number])
        may_join = not is_batch
    return segments


def _write_loop(writer: _Writer, stages: list[Stage], segment: list[int]) -> None:
    writer.stage = None
    writer.is_pair = False
    writer.line("out = []")
    outside = writer.indent
    writer.block("for x in items:")
    for number in segment:
        writer.stage = number
        _WRITE[stages[number].kind](writer)
    writer.stage = None
    writer.line("out.append((k, v))" if writer.is_pair else "out.append(x)")
    writer.indent = outside
    writer.line("items = out")


def _map(writer: _Writer) -> None:
    writer.whole()
    writer.line("x = f#(x)")


def _map_value(writer: _Writer) -> None:
    writer.apart()
    writer.line("v = f#(v)")


def _flat_map(writer: _Writer) -> None:
    writer.whole()
    writer.line("y = f#(x)")
    writer.line("if y.__class__ is not list: y = require_iterable(#, y)")
    writer.block("for x in y:")


def _flat_map_value(writer: _Writer) -> None:
    writer.apart()
    writer.line("y = f#(v)")
    writer.line("if y.__class__ is not list: y = require_iterable(#, y)")
    writer.block("for v in y:")


def _flatten(writer: _Writer) -> None:
    writer.whole()
    writer.line("y = x")
    writer.line("if y.__class__ is not list: y = require_iterable(#, y)")
    writer.block("for x in y:")


def _keep_if(writer: _Writer, call: str) -> None:
    writer.line(f"y = {call}")
    writer.block("if y is not True:")
    writer.line("require_bool(#, y)")
    writer.line("continue")
    writer.indent -= 1


def _filter(writer: _Writer) -> None:
    writer.whole()
    _keep_if(writer, "f#(x)")


def _filter_value(writer: _Writer) -> None:
    writer.apart()
    _keep_if(writer, "f#(v)")


def _filter_map(writer: _Writer) -> None:
    writer.whole()
    writer.line("y = f#(x)")
    writer.line("if y is None: continue")
    writer.line("x = y")


def _filter_map_value(writer: _Writer) -> None:
    writer.apart()
    writer.line("y = f#(v)")
    writer.line("if y is None: continue")
    writer.line("v = y")


def _key_on(writer: _Writer) -> None:
    writer.whole()
    writer.line("k = f#(x)")
    writer.line("if k.__class__ is not str: require_str(#, k)")
    writer.line("v = x")
    writer.is_pair = True


def _key_rm(writer: _Writer) -> None:
    writer.apart()
    writer.line("x = v")
    writer.is_pair = False


def _inspect(writer: _Writer) -> None:
    writer.line("f#(id#, (k, v))" if writer.is_pair else "f#(id#, x)")


_WRITE: dict[str, Callable[[_Writer], None]] = {
    "filter": _filter,
    "filter_map": _filter_map,
    "filter_map_value": _filter_map_value,
    "filter_value": _filter_value,
    "flat_map": _flat_map,
    "flat_map_value": _flat_map_value,
    "flatten": _flatten,
    "inspect": _inspect,
    "key_on": _key_on,
    "key_rm": _key_rm,
    "map": _map,
    "map_value": _map_value,
}
