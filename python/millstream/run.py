"""The command line that runs a dataflow: ``python -m millstream.run flow.py``.

An *import string* says where the dataflow is: ``path_or_module[:expression]``.
This module finds it, hands it to the engine, and tells the shell how it went:

| exit code | meaning |
|---|---|
| 0 | the dataflow ran to its end, or was drained |
| 64 | the command line, a variable, the import string or the dataflow is wrong |
| 70 | the user's code failed; the traceback is on standard error (see `--log-json`) |
| 72 | the recovery store was written by a later version |
| 73 | the recovery store is in use by another run |
| 74 | the recovery store can't be read or written |
| 75 | another process of the cluster is lost, or didn't come |
| 76 | the recovery store is damaged or not there, or doesn't know an output |
| 78 | the recovery store doesn't go with the dataflow, or its classes of state |
| 130 | interrupted by Ctrl-C; 143 if by SIGTERM, 129 if by SIGHUP |
| 141 | nobody reads standard output any more |

A mistake in how the command was called, and a dataflow that can't run at all, get one
sentence. A failure of the user's code gets Python's own traceback, which begins where
the user's code begins. A second Ctrl-C doesn't wait for the user's code to return.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from millstream import _watching
from millstream._arguments import (
    ArgumentParser,
    parse_addresses,
    parse_alias,
    whole_number,
)
from millstream._arguments import EnvDefault as _EnvDefault
from millstream._arguments import parse_timedelta as _parse_timedelta
from millstream._engine import Watch, cli_main
from millstream._exit import (
    DRAIN_AT_MOST,
    LAUNCHED,
    drain_at_signals,
    end_at_second_interrupt,
    exit_code_of,
)
from millstream._exit import UsageError as _UsageError
from millstream._import_string import locate_dataflow as _locate_dataflow
from millstream._import_string import prepare_import as _prepare_import
from millstream._launch import launch, listen_to_parent
from millstream.cluster import ClusterConfig
from millstream.errors import InvalidDataflowError
from millstream.recovery import RecoveryConfig

__all__ = ["cli_main"]

_MOST_WORKERS = 1024
"""The engine refuses more, too; here it is a mistake in calling the command."""

_MOST_PROCESSES = 256
"""More are most likely a slip of the finger."""


def _create_arg_parser() -> argparse.ArgumentParser:
    """The options of every command that runs a dataflow."""
    parser = ArgumentParser(
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
        help="directory of the recovery store",
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
        help="accepted for compatibility, and not used",
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
        type=whole_number(1, _MOST_WORKERS),
        default=1,
        metavar="N",
        help="number of worker threads; 1 by default",
    )
    parser.add_argument(
        "-i",
        "--process-id",
        action=_EnvDefault,
        env="MILLSTREAM_PROCESS_ID",
        type=whole_number(0),
        metavar="N",
        help="which of the addresses is this process, from 0",
    )
    parser.add_argument(
        "-a",
        "--addresses",
        action=_EnvDefault,
        env="MILLSTREAM_ADDRESSES",
        type=parse_addresses,
        metavar="HOST:PORT;...",
        help="addresses of all processes",
    )
    parser.add_argument(
        "-p",
        "--processes",
        action=_EnvDefault,
        env="MILLSTREAM_PROCESSES",
        type=whole_number(1, _MOST_PROCESSES),
        metavar="N",
        help="start N processes on this host",
    )
    parser.add_argument(
        "--restart",
        action=_EnvDefault,
        env="MILLSTREAM_RESTART",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="with -p and -r: start all again, up to N times, when a process is lost",
    )
    parser.add_argument(
        "--secret-file",
        action=_EnvDefault,
        env="MILLSTREAM_CLUSTER_SECRET_FILE",
        type=Path,
        metavar="FILE",
        help="a secret that all processes of a cluster share",
    )
    parser.add_argument(
        "--tls",
        action=_EnvDefault,
        env="MILLSTREAM_CLUSTER_TLS",
        type=Path,
        metavar="DIR",
        help="certificates of a cluster, as `python -m millstream.cluster` makes them",
    )
    parser.add_argument(
        "--insecure-cluster",
        action="store_true",
        help="let anybody who reaches the addresses run code here",
    )
    parser.add_argument(
        "--join-timeout",
        action=_EnvDefault,
        env="MILLSTREAM_JOIN_TIMEOUT",
        type=_parse_timedelta,
        default=timedelta(seconds=60),
        metavar="SECONDS",
        help="how long the other processes may take to come; 60 by default",
    )
    parser.add_argument(
        "--peer-timeout",
        action=_EnvDefault,
        env="MILLSTREAM_PEER_TIMEOUT",
        type=_parse_timedelta,
        default=timedelta(seconds=10),
        metavar="SECONDS",
        help="how long another process may be silent until it is lost; 10 by default",
    )
    parser.add_argument(
        "--drain-timeout",
        action=_EnvDefault,
        env="MILLSTREAM_DRAIN_TIMEOUT",
        type=_parse_timedelta,
        default=DRAIN_AT_MOST,
        metavar="SECONDS",
        help=(
            "how long a run with a recovery store may take to stop at the first "
            "SIGTERM, SIGINT or SIGHUP; 25 by default"
        ),
    )
    parser.add_argument(
        "--alias",
        action="append",
        type=parse_alias,
        metavar="OLD=NEW",
        help="a step in the recovery store that has another name now",
    )
    parser.add_argument(
        "--drop",
        action="append",
        metavar="STEP",
        help="a step in the recovery store, or `step/partition`, that is gone for good",
    )
    _watching.add_arguments(parser)
    args = parser.parse_args(argv)
    if args.process_id is None:
        args.process_id = _process_id_of_pod()
    if args.process_id is not None and args.addresses is None:
        args.addresses = _addresses_of_hosts()
    _check_cluster(args.process_id, args.addresses)
    _check_processes(args)
    args.api = _watching.address_of(args)
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
        return parse_addresses(";".join(Path(path).read_text("utf-8").splitlines()))
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


def _check_processes(args: argparse.Namespace) -> None:
    if LAUNCHED in os.environ:
        args.processes = None
        args.restart = 0
    if args.addresses is not None and args.process_id is None:
        msg = (
            f"{len(args.addresses)} addresses need to know which of them is this "
            "process: give `-i/--process-id` or `MILLSTREAM_PROCESS_ID`"
        )
        raise _UsageError(msg)
    if args.processes is not None and args.addresses is not None:
        msg = (
            "`-p/--processes` starts processes on this host; on several hosts, start "
            "each with `-i/--process-id` and `-a/--addresses`"
        )
        raise _UsageError(msg)
    if args.restart and (args.processes is None or args.recovery_directory is None):
        msg = (
            "`--restart` needs `-p/--processes`, the processes that it starts again, "
            "and `-r/--recovery-directory`, what they go on from"
        )
        raise _UsageError(msg)
    if args.secret_file is not None and args.tls is not None:
        msg = "give either `--secret-file` or `--tls`, and not both"
        raise _UsageError(msg)


def _cluster_config(args: argparse.Namespace) -> ClusterConfig:
    return ClusterConfig(
        secret_file=args.secret_file,
        tls_dir=args.tls,
        insecure=args.insecure_cluster,
        join_timeout=args.join_timeout,
        peer_timeout=args.peer_timeout,
    )


def _recovery_config(args: argparse.Namespace) -> RecoveryConfig | None:
    if args.recovery_directory is None:
        return None
    return RecoveryConfig(
        args.recovery_directory,
        args.backup_interval,
        aliases=dict(args.alias or ()),
        drop=args.drop or (),
    )


def _run(args: argparse.Namespace) -> None:
    _watching.begin_to_log(args)
    if args.processes is not None:
        argv, store = sys.argv[1:], args.recovery_directory
        sys.exit(launch(argv, args.processes, args.restart, store))
    watch = Watch()
    if LAUNCHED in os.environ:
        listen_to_parent(watch)
    flow = _locate_dataflow(*_prepare_import(args.import_str))
    # The module that it is in may have set up logging, and so turned off what is here.
    _watching.begin_to_log(args)
    if args.recovery_directory is not None:
        drain_at_signals(args.drain_timeout)
    try:
        with _watching.progress_as_asked(flow, args, watch):
            cli_main(
                flow,
                workers_per_process=args.workers_per_process,
                process_id=args.process_id,
                addresses=args.addresses,
                epoch_interval=args.snapshot_interval,
                recovery_config=_recovery_config(args),
                cluster_config=_cluster_config(args),
                api=args.api,
                watch=watch,
            )
    except InvalidDataflowError as ex:
        raise _UsageError(ex) from None


def main() -> NoReturn:
    """Run the dataflow that the command line names, and exit."""
    end_at_second_interrupt()
    sys.exit(exit_code_of(lambda: _run(_parse_args())))


if __name__ == "__main__":
    main()
