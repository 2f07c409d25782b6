"""The command line that runs a dataflow: ``python -m millstream.run flow.py``.

An *import string* says where the dataflow is: ``path_or_module[:expression]``.
This module finds it, hands it to the engine, and tells the shell how it went:

| exit code | meaning |
|---|---|
| 0 | the dataflow ran to its end |
| 64 | the command line, a variable or the import string is wrong |
| 70 | the user's code failed; the traceback is on standard error |
| 130 | interrupted by Ctrl-C |
| 141 | nobody reads standard output any more |

A mistake in how the command was called gets one sentence. A failure of the user's
code gets Python's own traceback, which begins where the user's code begins.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import select
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn, TypeAlias

from typing_extensions import Self

from millstream._engine import cli_main
from millstream.dataflow import Dataflow

__all__ = ["cli_main"]

_USAGE_ERROR = 64
_USER_CODE_FAILED = 70
_INTERRUPTED = 130
_STDOUT_LOST = 141

_Arguments: TypeAlias = tuple[list[Any], dict[str, Any]]


class _UsageError(Exception):
    """The command was called wrongly; the message is all that the user needs."""


# Import strings


def _prepare_import(import_str: str) -> tuple[str, str]:
    """Make the module that an import string names importable.

    Its root, which is the current directory for a dotted name, becomes the first
    entry of `sys.path`.

    Args:
        import_str: ``path_or_module[:expression]``.

    Returns:
        The name of the module and the expression, ``flow`` unless given.

    Raises:
        _UsageError: If it isn't an import string, or names a file that isn't there
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
        raise _UsageError(msg)
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
            raise _UsageError(msg)
        return package
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        msg = f"can't find a dataflow in `{where}`: there is no such file"
        raise _UsageError(msg)
    return path


def _check_importable(path: Path, parts: list[str], loaded: ModuleType | None) -> None:
    for part in parts:
        if "." in part:
            msg = (
                f"can't import `{path}`: Python can't import a module whose name "
                f"contains `.`, such as `{part}`; rename it"
            )
            raise _UsageError(msg)
    if loaded is None:
        return
    file = getattr(loaded, "__file__", None)
    if file is None or Path(file).resolve() != path:
        msg = (
            f"can't import `{path}`: another module is named `{'.'.join(parts)}` "
            f"already, `{file or 'built into Python'}`; rename yours"
        )
        raise _UsageError(msg)


def _locate_dataflow(module_name: str, expression: str) -> Dataflow:
    """Import a module and find the dataflow in it.

    Args:
        module_name: An importable module.
        expression: The name of a `Dataflow` or of a function that returns one when
            called without arguments; or a call with literal arguments of anything
            that returns one.

    Returns:
        The dataflow.

    Raises:
        _UsageError: If the module isn't there or the expression finds no dataflow.
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
        msg = f"{what} is not a `Dataflow` but a `{type(found).__name__}`{hint}"
        raise _UsageError(msg)
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
    raise _UsageError(msg)


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
        raise _UsageError(msg) from None


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
        raise _UsageError(msg) from None


def _find_attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        flows = [k for k, v in vars(module).items() if isinstance(v, Dataflow)]
        choices = ", ".join(f"`{module.__name__}:{flow}`" for flow in flows)
        hint = f"its dataflows are {choices}" if flows else "it has no dataflow"
        msg = f"module `{module.__name__}` has no attribute `{name}`; {hint}"
        raise _UsageError(msg) from None


def _check_call(what: str, factory: Any, arguments: _Arguments) -> None:
    if not callable(factory):
        msg = (
            f"can't call {what}: it is a `{type(factory).__name__}`; "
            "leave out the parentheses"
        )
        raise _UsageError(msg)
    try:
        signature = inspect.signature(factory)
    except ValueError:  # Some callables written in C don't tell.
        return
    args, kwargs = arguments
    try:
        signature.bind(*args, **kwargs)
    except TypeError as ex:
        msg = f"can't call {what}: {ex}"
        raise _UsageError(msg) from None


# Options


class _ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are reported like all other mistakes in calling."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(message) from None


class _EnvironmentValue(str):
    """The value of a variable, which error messages show with the variable's name."""

    __slots__ = ("variable",)
    variable: str

    def __new__(cls, value: str, variable: str) -> Self:
        self = super().__new__(cls, value)
        self.variable = variable
        return self

    def __repr__(self) -> str:
        return f"{super().__repr__()} from `{self.variable}`"


class _EnvDefault(argparse.Action):
    """An option that an environment variable sets unless the option is given.

    Args:
        env: The name of the variable. An empty variable counts as not set.
        help: What the option is for; the name of the variable is added.
        default: The value with neither option nor variable.
        **kwargs: As for every action of `argparse`.
    """

    def __init__(
        self,
        env: str,
        help: str,  # noqa: A002 # The name that `add_argument` passes on.
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        value = os.environ.get(env)
        if value:
            default = _EnvironmentValue(value, env)
        super().__init__(help=f"{help} [env: {env}]", default=default, **kwargs)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        setattr(namespace, self.dest, values)


def _parse_timedelta(seconds: str) -> timedelta:
    """Read a duration in seconds.

    Examples:
        >>> _parse_timedelta("0.5")
        datetime.timedelta(microseconds=500000)
    """
    try:
        duration = timedelta(seconds=float(seconds))
    except (ValueError, OverflowError):
        duration = None
    if duration is None or duration < timedelta(0):
        msg = f"must be a number of seconds from 0 on; got {seconds!r}"
        raise argparse.ArgumentTypeError(msg)
    return duration


def _parse_whole_number(text: str, minimum: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or number < minimum:
        msg = f"must be a whole number from {minimum} on; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _parse_worker_count(text: str) -> int:
    return _parse_whole_number(text, 1)


def _parse_process_id(text: str) -> int:
    return _parse_whole_number(text, 0)


def _parse_addresses(text: str) -> list[str]:
    """Read ``host:port`` addresses with ``;`` between them.

    Examples:
        >>> _parse_addresses("localhost:2101;localhost:2102")
        ['localhost:2101', 'localhost:2102']
    """
    addresses = [each.strip() for each in text.split(";") if each.strip()]
    if not addresses or not all(_is_address(each) for each in addresses):
        msg = f"must be `host:port` addresses with `;` between them; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return addresses


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 1 << 16


def _create_arg_parser() -> argparse.ArgumentParser:
    """The options of every command that runs a dataflow."""
    parser = _ArgumentParser(
        prog="python -m millstream.run", description="Run a dataflow."
    )
    parser.add_argument(
        "import_str",
        metavar="import_string",
        help=(
            "where the dataflow is: `path/to/file.py` or `package.module`, and "
            "unless it is named `flow`, `:name` or `:function(literal arguments)`"
        ),
    )
    parser.add_argument(
        "-r",
        "--recovery-directory",
        action=_EnvDefault,
        env="MILLSTREAM_RECOVERY_DIRECTORY",
        type=Path,
        metavar="DIR",
        help="directory of the recovery store (not in this version)",
    )
    parser.add_argument(
        "-s",
        "--snapshot-interval",
        action=_EnvDefault,
        env="MILLSTREAM_SNAPSHOT_INTERVAL",
        type=_parse_timedelta,
        metavar="SECONDS",
        help="length of an epoch, after which state is snapshotted; 10 by default",
    )
    parser.add_argument(
        "-b",
        "--backup-interval",
        action=_EnvDefault,
        env="MILLSTREAM_RECOVERY_BACKUP_INTERVAL",
        type=_parse_timedelta,
        metavar="SECONDS",
        help="how long to keep old snapshots (not in this version)",
    )
    return parser


def _parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line and the environment.

    Args:
        argv: The arguments; those of this process by default.

    Returns:
        The value of every option.

    Raises:
        _UsageError: If an option or variable is wrong or not in this version.
    """
    parser = _create_arg_parser()
    parser.add_argument(
        "-w",
        "--workers-per-process",
        action=_EnvDefault,
        env="MILLSTREAM_WORKERS_PER_PROCESS",
        type=_parse_worker_count,
        default=1,
        metavar="N",
        help="number of worker threads; 1 by default",
    )
    parser.add_argument(
        "-i",
        "--process-id",
        action=_EnvDefault,
        env="MILLSTREAM_PROCESS_ID",
        type=_parse_process_id,
        metavar="N",
        help="which of the addresses is this process, from 0 (not in this version)",
    )
    parser.add_argument(
        "-a",
        "--addresses",
        action=_EnvDefault,
        env="MILLSTREAM_ADDRESSES",
        type=_parse_addresses,
        metavar="HOST:PORT;...",
        help="addresses of all processes (not in this version)",
    )
    args = parser.parse_args(argv)
    if args.process_id is None:
        args.process_id = _process_id_of_pod()
    if args.process_id is not None and args.addresses is None:
        args.addresses = _addresses_of_hosts()
    _check_cluster(args.process_id, args.addresses)
    _refuse_what_is_not_there_yet(args)
    return args


def _process_id_of_pod() -> int | None:
    """In a Kubernetes stateful set, pod ``name-2`` is process 2."""
    pod = os.environ.get("MILLSTREAM_POD_NAME")
    stateful_set = os.environ.get("MILLSTREAM_STATEFULSET_NAME")
    if not pod or not stateful_set:
        return None
    number = pod.removeprefix(f"{stateful_set}-")
    if not number.isdecimal():
        msg = (
            f"can't tell the process id from `MILLSTREAM_POD_NAME`: a pod of "
            f"`{stateful_set}`, as `MILLSTREAM_STATEFULSET_NAME` says, is named "
            f"`{stateful_set}-0` and so on; got {pod!r}"
        )
        raise _UsageError(msg)
    return int(number)


def _addresses_of_hosts() -> list[str] | None:
    """The addresses in the host file, one a line."""
    path = os.environ.get("MILLSTREAM_HOSTFILE_PATH")
    if not path:
        return None
    try:
        return _parse_addresses(";".join(Path(path).read_text("utf-8").splitlines()))
    except OSError as ex:
        reason = ex.strerror
    except (UnicodeDecodeError, argparse.ArgumentTypeError):
        reason = "it must have a `host:port` address in each line"
    msg = (
        f"can't read the host file `{path}`, which `MILLSTREAM_HOSTFILE_PATH` "
        f"names: {reason}"
    )
    raise _UsageError(msg)


def _check_cluster(process_id: int | None, addresses: list[str] | None) -> None:
    if process_id is None:
        return
    if addresses is None:
        msg = (
            f"process id {process_id} needs the addresses of all processes: give "
            "`-a/--addresses`, `MILLSTREAM_ADDRESSES` or `MILLSTREAM_HOSTFILE_PATH`"
        )
        raise _UsageError(msg)
    if process_id >= len(addresses):
        msg = (
            f"process id {process_id} is not that of an address: "
            f"{len(addresses)} given, counted from 0"
        )
        raise _UsageError(msg)


def _refuse_what_is_not_there_yet(args: argparse.Namespace) -> None:
    if args.recovery_directory is not None or args.backup_interval is not None:
        msg = (
            "this version can't recover state yet; leave out "
            "`-r/--recovery-directory` and `-b/--backup-interval`, and unset "
            "`MILLSTREAM_RECOVERY_DIRECTORY` and `MILLSTREAM_RECOVERY_BACKUP_INTERVAL`"
        )
        raise _UsageError(msg)
    if args.addresses is not None:
        msg = (
            "this version can't run in several processes yet; use "
            "`-w/--workers-per-process`, leave out `-i/--process-id` and "
            "`-a/--addresses`, and unset `MILLSTREAM_PROCESS_ID`, "
            "`MILLSTREAM_POD_NAME` and `MILLSTREAM_ADDRESSES`"
        )
        raise _UsageError(msg)


# Running, and what the shell gets to know of it


def _exit_code_of(command: Callable[[], object]) -> int:
    """Do something, report how it failed, and choose the exit code.

    Args:
        command: What to do. `SystemExit` passes through.

    Returns:
        One of the exit codes in the description of this module.
    """
    try:
        command()
        _flush_stdout()
    except _UsageError as ex:
        sys.stderr.write(f"millstream: {ex}\n")
        code = _USAGE_ERROR
    except KeyboardInterrupt:
        _flush_or_abandon_stdout()
        sys.stderr.write("millstream: interrupted (KeyboardInterrupt)\n")
        code = _INTERRUPTED
    except Exception as ex:  # noqa: BLE001 # Whatever the user's code raises.
        code = _report_failure(ex)
    else:
        code = 0
    return code


def _report_failure(failure: Exception) -> int:
    pipe_is_broken = isinstance(_first_cause(failure), BrokenPipeError)
    stdout_is_lost = pipe_is_broken and _nobody_reads_stdout()
    _flush_or_abandon_stdout()
    if stdout_is_lost:
        return _STDOUT_LOST
    # Not `traceback.print_exception`: the user may have a hook of their own.
    failure.with_traceback(_without_own_frames(failure.__traceback__))
    sys.excepthook(type(failure), failure, failure.__traceback__)
    return _USER_CODE_FAILED


def _first_cause(failure: BaseException) -> BaseException:
    while failure.__cause__ is not None:
        failure = failure.__cause__
    return failure


_FRAMES_BEFORE_USER_CODE = frozenset(
    {
        "__main__",
        __name__,
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
    }
)


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that the user can do something about."""
    while (
        traceback is not None
        and traceback.tb_frame.f_globals.get("__name__") in _FRAMES_BEFORE_USER_CODE
    ):
        traceback = traceback.tb_next
    return traceback


def _flush_stdout() -> None:
    # There is none if the process was started with standard output closed.
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _flush_or_abandon_stdout() -> None:
    """Flush standard output; if that fails, let nothing try it again.

    The interpreter flushes it once more at its exit, and would complain then.
    """
    try:
        _flush_stdout()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _nobody_reads_stdout() -> bool:
    """Whether standard output is the pipe that broke, and not some connection."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run(args: argparse.Namespace) -> None:
    flow = _locate_dataflow(*_prepare_import(args.import_str))
    cli_main(
        flow,
        workers_per_process=args.workers_per_process,
        epoch_interval=args.snapshot_interval,
    )


def main() -> NoReturn:
    """Run the dataflow that the command line names, and exit."""
    sys.exit(_exit_code_of(lambda: _run(_parse_args())))


if __name__ == "__main__":
    main()
