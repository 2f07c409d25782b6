"""Import strings, which say where a dataflow is: ``path_or_module[:expression]``."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from millstream._exit import UsageError
from millstream._naming import a_type
from millstream.dataflow import Dataflow

__all__ = ["locate_dataflow", "prepare_import"]

_Arguments: TypeAlias = tuple[list[Any], dict[str, Any]]


def prepare_import(import_str: str) -> tuple[str, str]:
    """Make the module that an import string names importable.

    Its root, which is the current directory for a dotted name, becomes the first
    entry of `sys.path`.

    Args:
        import_str: ``path_or_module[:expression]``.

    Returns:
        The name of the module and the expression, ``flow`` unless given.

    Raises:
        UsageError: If it isn't an import string, or names a file that isn't there
            or can't be imported.
    """
    where, colon, expression = import_str.partition(":")
    is_path = where.endswith(".py") or os.sep in where
    if (colon and not expression) or not (is_path or all(where.split("."))):
        msg = (
            f"`{import_str}` is not an import string; write `path/to/file.py`, "
            "`package.module`, or either followed by `:` and the name of a dataflow "
            "or a call that returns one"
        )
        raise UsageError(msg)
    root, module_name = _module_of_file(where) if is_path else (Path.cwd(), where)
    if sys.path[:1] != [str(root)]:
        sys.path.insert(0, str(root))
    return module_name, expression or "flow"


def _module_of_file(where: str) -> tuple[Path, str]:
    """The directory to import from, and the name of the module in there."""
    path = _module_file(where)
    parts = [] if path.stem == "__init__" else [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    _check_importable(path, parts, sys.modules.get(name))
    return root, name


def _module_file(where: str) -> Path:
    path = Path(where).resolve()
    if path.is_dir():
        package = path / "__init__.py"
        if not package.is_file():
            msg = (
                f"can't find a dataflow in `{where}`: it is a directory without "
                "`__init__.py`; name a file in it"
            )
            raise UsageError(msg)
        return package
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        msg = f"can't find a dataflow in `{where}`: there is no such file"
        raise UsageError(msg)
    return path


def _check_importable(path: Path, parts: list[str], loaded: ModuleType | None) -> None:
    for part in parts:
        if "." in part:
            msg = (
                f"can't import `{path}`: Python can't import a module whose name "
                f"contains `.`, such as `{part}`; rename it"
            )
            raise UsageError(msg)
    if loaded is None:
        return
    file = getattr(loaded, "__file__", None)
    if file is None or Path(file).resolve() != path:
        msg = (
            f"can't import `{path}`: another module is named `{'.'.join(parts)}` "
            f"already, `{file or 'built into Python'}`; rename yours"
        )
        raise UsageError(msg)


def locate_dataflow(module_name: str, expression: str) -> Dataflow:
    """Import a module and find the dataflow in it.

    Args:
        module_name: An importable module.
        expression: The name of a `Dataflow` or of a function that returns one when
            called without arguments; or a call with literal arguments of anything
            that returns one.

    Returns:
        The dataflow.

    Raises:
        UsageError: If the module isn't there or the expression finds no dataflow.
            An exception that the module or the function raises passes through.
    """
    name, arguments = _parse_expression(expression)
    module = _import_module(module_name)
    found = _find_attribute(module, name)
    what = f"`{module_name}:{expression}`"
    if arguments is not None:
        _check_call(what, found, arguments)
    elif inspect.isfunction(found):
        arguments = ([], {})
        _check_call(what, found, arguments)
    if arguments is not None:
        args, kwargs = arguments
        found = found(*args, **kwargs)
    if not isinstance(found, Dataflow):
        hint = "; add parentheses to call it" if callable(found) else ""
        msg = f"{what} is not a `Dataflow` but {a_type(found)}{hint}"
        raise UsageError(msg)
    return found


def _parse_expression(expression: str) -> tuple[str, _Arguments | None]:
    """Take ``name`` or ``name(literal, key=literal)`` apart, evaluating nothing.

    Examples:
        >>> _parse_expression("flow")
        ('flow', None)
        >>> _parse_expression("get_flow('a', size=2)")
        ('get_flow', (['a'], {'size': 2}))
    """
    try:
        parsed = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        parsed = None
    match parsed:
        case ast.Name(name):
            return name, None
        case ast.Call(ast.Name(name), args, keywords):
            return name, _literal_arguments(expression, args, keywords)
    msg = (
        f"can't find a dataflow by `{expression}`: after the `:` comes a name, or a "
        "call of a name with literal arguments"
    )
    raise UsageError(msg)


def _literal_arguments(
    expression: str, args: list[ast.expr], keywords: list[ast.keyword]
) -> _Arguments:
    try:
        return (
            [ast.literal_eval(arg) for arg in args],
            {_keyword_name(each): ast.literal_eval(each.value) for each in keywords},
        )
    except (ValueError, TypeError):
        msg = (
            f"can't call `{expression}`: the arguments must be literals, such as "
            "`1`, `'text'` or `[1, 2]`"
        )
        raise UsageError(msg) from None


def _keyword_name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        msg = "`**` unpacks something that need not be a literal"
        raise ValueError(msg)
    return keyword.arg


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as ex:
        # Only this module or a package that it is in: whatever else is missing,
        # the module itself was found, and its author wants to see where it failed.
        if ex.name is None or not f"{name}.".startswith(f"{ex.name}."):
            raise
        msg = (
            f"can't find a dataflow in `{name}`: there is no module `{ex.name}` in "
            "the current directory or where Python is installed"
        )
        raise UsageError(msg) from None


def _find_attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        flows = [k for k, v in vars(module).items() if isinstance(v, Dataflow)]
        choices = ", ".join(f"`{module.__name__}:{flow}`" for flow in flows)
        hint = f"its dataflows are {choices}" if flows else "it has no dataflow"
        msg = f"module `{module.__name__}` has no attribute `{name}`; {hint}"
        raise UsageError(msg) from None


def _check_call(what: str, factory: Any, arguments: _Arguments) -> None:
    if not callable(factory):
        msg = f"can't call {what}: it is {a_type(factory)}; leave out the parentheses"
        raise UsageError(msg)
    try:
        signature = inspect.signature(factory)
    except ValueError:  # Some callables written in C don't tell.
        return
    args, kwargs = arguments
    try:
        signature.bind(*args, **kwargs)
    except TypeError as ex:
        msg = f"can't call {what}: {ex}"
        raise UsageError(msg) from None
