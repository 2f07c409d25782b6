from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, final

from typing_extensions import Self

from millstream.cluster import ClusterConfig
from millstream.dataflow import Dataflow
from millstream.recovery import RecoveryConfig

__all__ = [
    "Watch",
    "api_address",
    "backup_store",
    "cli_main",
    "cluster_main",
    "drain",
    "export_store",
    "import_store",
    "init_store",
    "init_tls",
    "inspect_store",
    "physical",
    "repartition_store",
    "run_main",
    "verify_store",
]

@final
class Watch:
    def __new__(cls) -> Self: ...
    def has_joined(self) -> bool: ...
    def steps(self) -> list[tuple[str, int | None, int | None, int | None]]: ...
    def epochs(self) -> tuple[int, int | None] | None: ...

def api_address(text: str, process: int) -> str: ...
def run_main(
    flow: Dataflow,
    *,
    epoch_interval: timedelta | None = None,
    recovery_config: RecoveryConfig | None = None,
    optimize: bool | None = None,
) -> None: ...
def cluster_main(
    flow: Dataflow,
    addresses: Sequence[str] | None,
    proc_id: int,
    *,
    epoch_interval: timedelta | None = None,
    recovery_config: RecoveryConfig | None = None,
    worker_count_per_proc: int | None = None,
    cluster_config: ClusterConfig | None = None,
    optimize: bool | None = None,
) -> None: ...
def cli_main(
    flow: Dataflow,
    *,
    workers_per_process: int | None = None,
    process_id: int | None = None,
    addresses: Sequence[str] | None = None,
    epoch_interval: timedelta | None = None,
    recovery_config: RecoveryConfig | None = None,
    cluster_config: ClusterConfig | None = None,
    optimize: bool | None = None,
    api: str | None = None,
    watch: Watch | None = None,
) -> None: ...
def physical(
    flow: Dataflow, *, optimize: bool | None = None
) -> list[tuple[str, list[str], list[str], list[str]]]: ...
def drain() -> None: ...
def init_store(directory: Path, partitions: int) -> None: ...
def init_tls(directory: Path, processes: int) -> None: ...
def inspect_store(directory: Path) -> dict[str, Any]: ...
def verify_store(directory: Path) -> tuple[int, list[str]]: ...
def repartition_store(from_: Path, to: Path, partitions: int) -> int: ...
def backup_store(from_: Path, to: Path) -> int: ...
def export_store(directory: Path, file: Path) -> int: ...
def import_store(file: Path, directory: Path, partitions: int) -> int: ...
