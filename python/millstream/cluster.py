"""Several processes that run one dataflow: how they find and trust each other.

Processes of one host need nothing of this: ``python -m millstream.run FLOW -p 4``
starts four, joined by sockets that only their user can reach. On several hosts, each
process is started with its number and the addresses of all, and they must share a
secret, or have certificates of one authority:

    python -m millstream.cluster init-tls DIR 3

makes such an authority in a directory, and certificates for processes 0 to 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from millstream._arguments import ArgumentParser, whole_number
from millstream._engine import init_tls
from millstream._exit import UsageError, exit_code_of
from millstream.errors import ClusterError

__all__ = ["ClusterConfig", "ClusterError", "init_tls"]

_MOST_PROCESSES = 1024
"""More certificates are most likely a slip of the finger, and fill the disk."""


@dataclass
class ClusterConfig:
    """How the processes of a cluster trust each other, and how long they wait.

    Whoever can take part in a cluster can run code in all of its processes, since items
    are pickled. So addresses other than loopback ones and ``unix:`` paths are refused
    without `secret_file` or `tls_dir`.

    Args:
        secret_file: A file with the same secret for all processes, of 16 bytes or more.
        tls_dir: A directory with ``ca.pem``, and ``process-N.pem`` and
            ``process-N-key.pem`` for process N, as `init_tls` makes it.
        insecure: Run on any network without either. Never do this where strangers are.
        join_timeout: How long the others may take to come.
        peer_timeout: How long another process may be silent until it counts as lost.

    Raises:
        ValueError: If there are both a secret and certificates.
    """

    secret_file: Path | str | None = None
    tls_dir: Path | str | None = None
    insecure: bool = False
    join_timeout: timedelta = field(default=timedelta(seconds=60))
    peer_timeout: timedelta = field(default=timedelta(seconds=10))

    def __post_init__(self) -> None:
        if self.secret_file is not None and self.tls_dir is not None:
            msg = "give either `secret_file` or `tls_dir`, and not both"
            raise ValueError(msg)


def _do(argv: Sequence[str]) -> None:
    parser = ArgumentParser(
        prog="python -m millstream.cluster",
        description="Make certificates for the processes of a cluster.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    about = "make an authority, and certificates for COUNT processes, in DIRECTORY"
    tls = commands.add_parser("init-tls", help=about, description=about)
    tls.add_argument("directory", type=Path, metavar="DIRECTORY")
    tls.add_argument("count", type=whole_number(1, _MOST_PROCESSES), metavar="COUNT")
    args = parser.parse_args(argv)
    try:
        init_tls(args.directory, args.count)
    except ClusterError as ex:
        raise UsageError(ex) from None


def main() -> NoReturn:
    """Do what the command line says, and exit."""
    sys.exit(exit_code_of(lambda: _do(sys.argv[1:])))


if __name__ == "__main__":
    main()
