from collections.abc import Sequence
from datetime import timedelta

from millstream.dataflow import Dataflow

__all__ = ["cli_main", "cluster_main", "physical", "run_main"]

def run_main(
    flow: Dataflow,
    *,
    epoch_interval: timedelta | None = None,
    recovery_config: None = None,
    optimize: bool | None = None,
) -> None: ...
def cluster_main(
    flow: Dataflow,
    addresses: Sequence[str] | None,
    proc_id: int,
    *,
    epoch_interval: timedelta | None = None,
    recovery_config: None = None,
    worker_count_per_proc: int | None = None,
    optimize: bool | None = None,
) -> None: ...
def cli_main(
    flow: Dataflow,
    *,
    workers_per_process: int | None = None,
    process_id: int | None = None,
    addresses: Sequence[str] | None = None,
    epoch_interval: timedelta | None = None,
    recovery_config: None = None,
    optimize: bool | None = None,
) -> None: ...
def physical(
    flow: Dataflow, *, optimize: bool | None = None
) -> list[tuple[str, list[str], list[str], list[str]]]: ...
