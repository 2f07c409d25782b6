"""Who traces the runs of this process, if anybody does; asked by the engine.

Apart from `millstream._spans`, as that needs packages which need not be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream._logging import logger

if TYPE_CHECKING:
    from millstream._spans import Exporting, RunSpans

__all__ = ["begin_run", "forget", "replace", "tell_broken"]

_current: Exporting | None = None


def replace(exporting: Exporting | None) -> Exporting | None:
    """Have runs that begin from now on traced, or not.

    Args:
        exporting: What takes their spans.

    Returns:
        What took them before.
    """
    global _current  # There is one of the process.
    before, _current = _current, exporting
    return before


def forget(exporting: Exporting) -> None:
    """Give it no more spans, if it is what takes them.

    Args:
        exporting: What is about to be shut down.
    """
    if _current is exporting:
        replace(None)


def begin_run(flow_id: str, process: int) -> RunSpans | None:
    """Begin to trace a run.

    Args:
        flow_id: The id of its dataflow.
        process: Which of several processes this is.

    Returns:
        What is to be told of its calls, if anybody traces it.
    """
    return None if _current is None else _current.begin_run(flow_id, process)


def tell_broken(error: BaseException) -> None:
    """Say that tracing has failed.

    Args:
        error: How.
    """
    logger.error("tracing failed; the run goes on without it", exc_info=error)
