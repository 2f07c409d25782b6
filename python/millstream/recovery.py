"""Keeping what a dataflow has come to, to go on from there after a stop or a crash.

Make a store once, with `init_db_dir` or ``python -m millstream.recovery DIR COUNT``,
and give its `RecoveryConfig` to an entry point, or its directory to
``python -m millstream.run -r DIR``. At the end of each epoch, what has changed is kept:
the positions of sources, the state of keys, the positions of sinks. The next run with
the same store goes on from the last epoch that was kept, whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from millstream._arguments import ArgumentParser, whole_number
from millstream._engine import (
    backup_store,
    export_store,
    import_store,
    init_store,
    inspect_store,
    repartition_store,
    verify_store,
)
from millstream._exit import UsageError, exit_code_of
from millstream._naming import a_type
from millstream._versioned_state import VersionedState
from millstream.errors import (
    InconsistentPartitionsError,
    MissingPartitionsError,
    NoPartitionsError,
    RecoveryError,
    StateVersionError,
    StoreError,
    UnknownOutputError,
)

__all__ = [
    "InconsistentPartitionsError",
    "MissingPartitionsError",
    "NoPartitionsError",
    "RecoveryConfig",
    "RecoveryError",
    "StateVersionError",
    "UnknownOutputError",
    "VersionedState",
    "init_db_dir",
]

_MOST_FILES = 1024
"""The store refuses more, too; here it is a mistake in calling the command."""


@dataclass
class RecoveryConfig:
    """Where to keep what is needed to go on after a stop.

    Args:
        db_dir: The directory of a store.
        backup_interval: Accepted for compatibility, and not used: back up a store with
            ``python -m millstream.recovery backup``, also while it is in use.
        aliases: For steps that have another name now: the old full id to the new one.
        drop: Full ids of steps that are gone for good, with all they had. A partition
            of a source or sink that is gone is ``"step/partition"``.

    Raises:
        TypeError: If an argument has another type.

    Examples:
        >>> from tempfile import mkdtemp
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.recovery import RecoveryConfig, init_db_dir
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> store = mkdtemp()
        >>> init_db_dir(store, 1)
        >>> items = [("a", 1), ("a", 2), TestingSource.EOF(), ("a", 3)]
        >>> out = []
        >>> flow = Dataflow("sums")
        >>> numbers = op.input("numbers", flow, TestingSource(items))
        >>> def add(total, number):
        ...     total = (total or 0) + number
        ...     return total, total
        >>> sums = op.stateful_map("sum", numbers, add)
        >>> op.output("out", sums, TestingSink(out))
        >>> run_main(flow, recovery_config=RecoveryConfig(store))
        >>> out
        [('a', 1), ('a', 3)]

        The next run goes on behind the end of the first:

        >>> run_main(flow, recovery_config=RecoveryConfig(store))
        >>> out
        [('a', 1), ('a', 3), ('a', 6)]
    """

    db_dir: Path | str
    backup_interval: timedelta | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    drop: Iterable[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        self.db_dir = Path(self.db_dir)
        interval = self.backup_interval
        if not (interval is None or isinstance(interval, timedelta)):
            msg = (
                "`backup_interval` of a `RecoveryConfig` must be a "
                f"`datetime.timedelta`; got {a_type(interval)}"
            )
            raise TypeError(msg)
        if isinstance(self.drop, str):
            msg = "`drop` of a `RecoveryConfig` must be a list of step ids; got a `str`"
            raise TypeError(msg)
        self.drop = tuple(self.drop)


def init_db_dir(db_dir: Path | str, count: int) -> None:
    """Make a store.

    Args:
        db_dir: A directory that exists; the files of the store are made in it.
        count: How many files to spread the state over; one is enough for most purposes.

    Raises:
        FileNotFoundError: If there is no such directory.
        RecoveryError: If there is a store in it already.
    """
    if not Path(db_dir).is_dir():
        msg = f"recovery directory `{db_dir}` does not exist; make it first"
        raise FileNotFoundError(msg)
    # The store says what it takes; this is beyond what it can be asked.
    if not 0 <= count < 1 << 32:
        msg = (
            f"A store cannot have {count} partitions: it takes from 1 to {_MOST_FILES}."
        )
        error = RecoveryError(msg)
        error.exit_code = 64
        raise error
    init_store(Path(db_dir), count)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _show(found: dict[str, Any]) -> None:
    _say(f"store {found['store']} of dataflow {found['flow'] or '(none yet)'}")
    for title, rows in (
        ("executions", found["executions"]),
        ("steps", found["steps"]),
        ("files", found["files"]),
    ):
        _say(f"\n{title}")
        if not rows:
            _say("  (none)")
            continue
        table = [list(rows[0]), *([str(each) for each in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            )
            _say(("  " + "  ".join(cells)).rstrip())


def _inspect(args: argparse.Namespace) -> None:
    found = inspect_store(args.directory)
    if args.json:
        _say(json.dumps(found, indent=2, default=str))
    else:
        _show(found)


def _verify(args: argparse.Namespace) -> None:
    rows, problems = verify_store(args.directory)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        raise SystemExit(76)
    _say(f"{rows} snapshots, nothing wrong")


_COMMANDS = ("init", "inspect", "verify", "repartition", "backup", "export", "import")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m millstream.recovery",
        description="Make recovery stores, and look after them.",
        epilog="`python -m millstream.recovery DIR COUNT` is `init DIR COUNT`.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, help: str, *arguments: str) -> argparse.ArgumentParser:  # noqa: A002
        added = commands.add_parser(name, help=help, description=help)
        for argument in arguments:
            kind = whole_number(1, _MOST_FILES) if argument == "count" else Path
            added.add_argument(argument, type=kind, metavar=argument.upper())
        return added

    command("init", "make a store of COUNT files", "directory", "count")
    inspect = command("inspect", "show what is in a store", "directory")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    command("verify", "check everything that can be checked", "directory")
    command(
        "repartition", "copy to a new store of COUNT files", "directory", "new", "count"
    )
    command("backup", "copy a store, also one in use", "directory", "new")
    command("export", "write a store to a text file", "directory", "file")
    command("import", "make a store of such a file", "file", "directory", "count")
    return parser


def _do(argv: Sequence[str]) -> None:
    if argv and argv[0] not in _COMMANDS and not argv[0].startswith("-"):
        argv = ["init", *argv]
    args = _parser().parse_args(argv)
    if args.command == "init":
        try:
            init_db_dir(args.directory, args.count)
        except StoreError:
            raise
        except FileNotFoundError as ex:
            raise UsageError(ex) from None
    elif args.command == "inspect":
        _inspect(args)
    elif args.command == "verify":
        _verify(args)
    elif args.command == "repartition":
        count = repartition_store(args.directory, args.new, args.count)
        _say(f"{count} snapshots")
    elif args.command == "backup":
        _say(f"{backup_store(args.directory, args.new)} snapshots")
    elif args.command == "export":
        _say(f"{export_store(args.directory, args.file)} snapshots")
    else:
        _say(f"{import_store(args.file, args.directory, args.count)} snapshots")


def _try(argv: Sequence[str]) -> None:
    try:
        _do(argv)
    except StoreError:
        raise
    except OSError as ex:
        msg = f"can't open `{ex.filename}`: {ex.strerror}"
        raise UsageError(msg) from None


def main() -> NoReturn:
    """Do what the command line says, and exit."""
    sys.exit(exit_code_of(lambda: _try(sys.argv[1:])))


if __name__ == "__main__":
    main()
