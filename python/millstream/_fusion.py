"""Fusion: one loop for a run of stateless steps.

Steps such as `map` and `filter` call a function of the user for each item. Run one by
one, each makes a list for the next. Here a run of them becomes the source of a single
Python function, such as one would write by hand::

    def fused(items, f0=f0, f1=f1):
        out = []
        for x in items:
            x0 = f0(x)
            y1 = f1(x0)
            if y1 is not True:
                if y1 is not False:
                    require_bool(1, y1)
                continue
            out.append(x0)
        return out

CPython calls a Python function from Python faster than from outside, so this beats
calling each function from Rust. A ``(key, value)`` item is taken apart once, and put
together only where a step wants it whole.

Each line belongs to one step, and each step has variables of its own. So a traceback
through `fused` says which step failed, and its variables say on which item; errors name
the step that the user wrote.

An item goes through all steps before the next one is looked at, where unfused steps
take the whole batch in turn. What a step returned for one item is read to its end
before it goes on, so a generator isn't interleaved with the steps behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    item: tuple[str, ...]
    """The variables that hold what the stage got: an item, or its key and value."""


_serial = count()


class Fused:
    """A run of stages as one function."""

    def __init__(self, stages: list[Stage], keyed: bool = False) -> None:  # noqa: FBT001, FBT002
        """Write the function, and compile it.

        Args:
            stages: What it does.
            keyed: Whether only steps that need keys take what it makes.
        """
        self._stages = stages
        self._lines, self.is_keyed = _write(stages, keyed=keyed)
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
        self.call: Callable[[list[Any]], Any] = names["fused"]

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
        held = tuple(values[name] for name in line.item if name in values)
        item = (held,) if len(held) == PAIR else held
        return Failed(self._stages[line.stage], item)

    # What the function calls to make sure of a type when a quick look didn't.

    def _require_pair(self, number: int, item: object) -> None:
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise not_a_pair(self._stages[number].step_id, item)

    def _require_str(self, number: int, key: object) -> None:
        if not isinstance(key, str):
            raise self._wrong_return(number, "a `str`", key)

    def _require_bool(self, number: int, keeps: object) -> None:
        raise self._wrong_return(number, "a `bool`", keeps)

    def _require_iterable(self, number: int, items: Any) -> list[Any]:
        try:
            iterator = iter(items)
        except TypeError:
            if is_iterable(items):
                raise
        else:
            return list(iterator)
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
        return self._require_iterable(number, items)

    def _wrong_return(self, number: int, expected: str, got: object) -> TypeError:
        stage = self._stages[number]
        function = stage.function or type(None)
        return wrong_return(stage.step_id, stage.role, function, expected, got)


_MOST_LOOPS = 10
"""How many loops may be in each other; Python allows 20 blocks in all."""

_LOOPS = frozenset({"flat_map", "flat_map_value", "flatten"})


class _Writer:
    """Writes the loop, stage by stage.

    The item is either whole, in the variable `x`, or apart, in `k` and `v`.
    """

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.indent = 0
        self.stage: int | None = None
        # What the stage got, which stays as it is until the stage is done.
        self.got: tuple[str, ...] = ()
        self.x = "x"
        self.k = ""
        self.v = ""
        self.is_pair = False
        self.is_keyed = False

    def begin(self, stage: int | None) -> None:
        self.stage = stage
        self.got = (self.k, self.v) if self.is_pair else (self.x,)

    def line(self, text: str) -> None:
        text = text.replace("#", str(self.stage))
        self.lines.append(_Line("    " * self.indent + text, self.stage, self.got))

    def block(self, head: str) -> None:
        self.line(head)
        self.indent += 1

    def new(self, letter: str) -> str:
        """A variable of this stage."""
        return f"{letter}{self.stage}"

    def whole(self) -> None:
        if self.is_pair:
            # Not one of the stage's own names, which it may give to what it makes.
            whole = self.new("whole")
            self.line(f"{whole} = ({self.k}, {self.v})")
            self.x = whole
            self.is_pair = False

    def apart(self) -> None:
        if not self.is_pair:
            self.line(
                f"if {self.x}.__class__ is not tuple or len({self.x}) != 2: "
                f"require_pair(#, {self.x})"
            )
            k, v = self.new("key"), self.new("value")
            self.line(f"{k}, {v} = {self.x}")
            self.k, self.v = k, v
            self.is_pair = True


def _write(stages: list[Stage], *, keyed: bool) -> tuple[list[_Line], bool]:
    """Write the function; say whether it returns keys and values in a list each."""
    writer = _Writer()
    # What is looked up for each item is a variable of the function itself.
    names = [f"f{number}" for number in range(len(stages))]
    defaults = ", ".join(f"{name}={name}" for name in names)
    writer.block(f"def fused(items, {defaults}):")
    segments = _segments(stages)
    for position, segment in enumerate(segments):
        if stages[segment[0]].kind == "flat_map_batch":
            writer.stage, writer.got = segment[0], ()
            if position > 0:
                # No step is called without items.
                writer.line(_NOTHING_LEFT)
            writer.line("items = require_batch(#, f#(items))")
        else:
            is_last = position + 1 == len(segments)
            _write_loop(writer, stages, segment, keyed=keyed and is_last)
    writer.line("return items")
    lines = writer.lines
    if writer.is_keyed:
        # Two lists, even if nothing is left before the end.
        both = f"{_NOTHING_LEFT}, items"
        lines = [
            replace(line, text=line.text.replace(_NOTHING_LEFT, both)) for line in lines
        ]
    return lines, writer.is_keyed


_NOTHING_LEFT = "if not items: return items"


def _segments(stages: list[Stage]) -> list[list[int]]:
    """Stages that share a loop; one that wants the whole batch is on its own."""
    segments: list[list[int]] = []
    may_join = False
    loops = 0
    for number, stage in enumerate(stages):
        is_batch = stage.kind == "flat_map_batch"
        loops += stage.kind in _LOOPS
        if may_join and not is_batch and loops <= _MOST_LOOPS:
            segments[-1].append(number)
        else:
            segments.append([number])
            loops = int(stage.kind in _LOOPS)
        may_join = not is_batch
    return segments


def _write_loop(
    writer: _Writer, stages: list[Stage], segment: list[int], *, keyed: bool
) -> None:
    writer.x, writer.is_pair = "x", False
    writer.begin(None)
    outside = writer.indent
    start = len(writer.lines)
    writer.block("for x in items:")
    for number in segment:
        writer.begin(number)
        _WRITE[stages[number].kind](writer)
    writer.begin(None)
    writer.is_keyed = keyed and writer.is_pair
    if writer.is_keyed:
        new, made = "keys, values = [], []", "keys, values"
        writer.line(f"keys.append({writer.k})")
        writer.line(f"values.append({writer.v})")
    else:
        new, made = "out = []", "out"
        whole = f"({writer.k}, {writer.v})" if writer.is_pair else writer.x
        writer.line(f"out.append({whole})")
    writer.indent = outside
    writer.lines.insert(start, _Line("    " * outside + new, None, ()))
    writer.line(f"items = {made}")


def _map(writer: _Writer) -> None:
    writer.whole()
    new = writer.new("x")
    writer.line(f"{new} = f#({writer.x})")
    writer.x = new


def _map_value(writer: _Writer) -> None:
    writer.apart()
    new = writer.new("v")
    writer.line(f"{new} = f#({writer.v})")
    writer.v = new


def _loop(writer: _Writer, made: str, variable: str) -> None:
    writer.line(f"y# = {made}")
    # A copy, since whoever made a list may change it while it is read here.
    writer.line("y# = y#[:] if y#.__class__ is list else require_iterable(#, y#)")
    writer.block(f"for {variable} in y#:")


def _flat_map(writer: _Writer) -> None:
    writer.whole()
    new = writer.new("x")
    _loop(writer, f"f#({writer.x})", new)
    writer.x = new


def _flat_map_value(writer: _Writer) -> None:
    writer.apart()
    new = writer.new("v")
    _loop(writer, f"f#({writer.v})", new)
    writer.v = new


def _flatten(writer: _Writer) -> None:
    writer.whole()
    new = writer.new("x")
    _loop(writer, writer.x, new)
    writer.x = new


def _keep_if(writer: _Writer, call: str) -> None:
    writer.line(f"y# = {call}")
    writer.block("if y# is not True:")
    writer.line("if y# is not False: require_bool(#, y#)")
    writer.line("continue")
    writer.indent -= 1


def _filter(writer: _Writer) -> None:
    writer.whole()
    _keep_if(writer, f"f#({writer.x})")


def _filter_value(writer: _Writer) -> None:
    writer.apart()
    _keep_if(writer, f"f#({writer.v})")


def _filter_map(writer: _Writer) -> None:
    _map(writer)
    writer.line(f"if {writer.x} is None: continue")


def _filter_map_value(writer: _Writer) -> None:
    _map_value(writer)
    writer.line(f"if {writer.v} is None: continue")


def _key_on(writer: _Writer) -> None:
    writer.whole()
    new = writer.new("k")
    writer.line(f"{new} = f#({writer.x})")
    writer.line(f"if {new}.__class__ is not str: require_str(#, {new})")
    writer.k, writer.v = new, writer.x
    writer.is_pair = True


def _key_rm(writer: _Writer) -> None:
    writer.apart()
    writer.x = writer.v
    writer.is_pair = False


def _inspect(writer: _Writer) -> None:
    whole = f"({writer.k}, {writer.v})" if writer.is_pair else writer.x
    writer.line(f"f#(id#, {whole})")


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
