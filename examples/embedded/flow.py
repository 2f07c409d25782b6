"""The Python half of the embedded example: a dataflow over what Rust hands it.

The Rust program carries this file inside itself; it is not imported from a folder.
"""

from __future__ import annotations

from collections.abc import Callable

import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, run_main


def warmest(
    readings: list[tuple[str, int]], to_celsius: Callable[[int], float]
) -> list[tuple[str, float]]:
    """Find the highest temperature of each sensor.

    Args:
        readings: Sensors and their raw readings; in the embedded example, a list
            that was built in Rust.
        to_celsius: Converts a raw reading; in the embedded example, a Rust function.

    Returns:
        Sensors and temperatures.
    """
    flow = Dataflow("embedded")
    raw = op.input("readings", flow, TestingSource(readings))
    celsius = op.map_value("to_celsius", raw, to_celsius)
    highest = op.max_final("warmest", celsius)
    found: list[tuple[str, float]] = []
    op.output("found", highest, TestingSink(found))
    run_main(flow)
    return found
