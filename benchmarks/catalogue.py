"""All workloads and studies, by the names that the command line takes."""

from __future__ import annotations

from benchmarks import (
    join,
    json_lines,
    map_filter,
    maps,
    running_average,
    sessions,
    windows,
    words,
)

WORKLOADS = {
    **{f"maps-{count}": maps.workload(count) for count in maps.COUNTS},
    "map_filter": map_filter.WORKLOAD,
    "words": words.WORKLOAD,
    "running_average": running_average.WORKLOAD,
    "tumbling": windows.TUMBLING,
    "aggregates": windows.AGGREGATES,
    "sliding": windows.SLIDING,
    "sessions": sessions.WORKLOAD,
    "join": join.WORKLOAD,
    "json_lines": json_lines.WORKLOAD,
}

STUDIES = (
    "growth",
    "open_state",
    "partitions",
    "processes",
    "latency",
    "backpressure",
    "recovery",
)
"""Modules of `benchmarks.studies`."""
