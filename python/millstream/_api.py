"""What the HTTP API shows that Python knows; called by the engine."""

from __future__ import annotations

import json
import logging

from millstream._engine import physical
from millstream.dataflow import Dataflow
from millstream.visualize import to_json

try:
    from prometheus_client import generate_latest
except ImportError:  # Who has no metrics of their own doesn't need it.
    generate_latest = None  # type: ignore[assignment]

__all__ = ["describe", "user_metrics"]


def describe(flow: Dataflow, optimize: bool) -> str:  # noqa: FBT001
    """Describe a dataflow, and what the engine really runs for it, as JSON.

    Args:
        flow: The dataflow.
        optimize: Whether steps run in their native forms.

    Returns:
        What `to_json` returns, with the operators as ``"physical"``.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource
        >>> flow = Dataflow("api")
        >>> op.output("out", op.input("inp", flow, TestingSource([])), TestingSink([]))
        >>> json.loads(describe(flow, True))["physical"][1]["step_ids"]
        ['api.out']
    """
    described = json.loads(to_json(flow))
    described["physical"] = [
        {"operator": name, "step_ids": steps, "ups": ups, "downs": downs}
        for name, steps, ups, downs in physical(flow, optimize=optimize)
    ]
    return json.dumps(described, indent=2)


def user_metrics() -> str:
    """Write down what is in the default registry of `prometheus_client`.

    Returns:
        Its text format; nothing if the package isn't installed.
    """
    if generate_latest is None:
        return ""
    try:
        return generate_latest().decode()
    except Exception:  # What a collector of the user raises.
        # The run goes on, and so do the engine's own figures.
        logging.getLogger("millstream").warning(
            "can't read the default registry of `prometheus_client`", exc_info=True
        )
        return ""
