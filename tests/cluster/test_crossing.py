"""Whatever items are made of, they are the same in another process."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import endings

FLOW = """
import decimal
import enum
from collections import namedtuple
from datetime import date, datetime, timedelta, timezone

import millstream.operators as op
from millstream.connectors.files import DirSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


Point = namedtuple("Point", "x y")
EAST = timezone(timedelta(hours=2))
ITEMS = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, 2**100, 1.5, -0.0,
    float("inf"), "", "a", "größe", "\\U0001f600", "\\ud800", b"", b"\\x00\\xff", (),
    (1,), ((("deep",),),), (((((((1,),),),),),),), ("a", 1, 2.5, None, True, b"b"),
    [1, 2], {"a": (1, 2)}, {1, 2},
    datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc), datetime(1, 1, 1),
    datetime.max.replace(tzinfo=timezone.utc), datetime(2024, 1, 1, tzinfo=EAST),
    datetime(2024, 1, 1, fold=1, tzinfo=timezone.utc), date(2024, 1, 1), timedelta(1),
    decimal.Decimal("1.50"), Colour.RED, Text("t"), Point(1, 2), 3 + 4j, ..., int, len,
]


def described(item):
    fold = getattr(item, "fold", None)
    return ascii((type(item).__name__, item if not isinstance(item, set) else 0, fold))


flow = Dataflow("flow")
up = op.input("inp", flow, TestingSource(ITEMS, SIZE))
# From the one process to the other and back, whole and by key.
pairs = op.key_on("key", op.redistribute("rows", up), lambda item: described(item))
kept = op.stateful_flat_map("step", pairs, lambda state, item: (None, [item]))
lines = op.map("line", kept, lambda pair: (pair[0], described(pair[1])))
is_same = lambda pair: (pair[0], str(pair[0] == described(pair[1])))
same = op.map("compare", kept, is_same)
# By few keys, which go once for a whole batch.
few = op.key_on("few", up, lambda item: type(item).__name__)
listed = op.collect("collect", few, timedelta(hours=1), len(ITEMS))
again = op.flat_map_value("again", listed, lambda items: map(described, items))
lines = op.merge("lines", lines, again)
op.output("out", lines, DirSink(".", 1))
op.output("same", same, DirSink(".", 1, lambda index, count: "same"))
"""


def lines_of(path):
    return sorted(path.read_text().splitlines())


def test_items_are_the_same_there(cluster):
    """In batches that are plain, and in one that isn't and so is pickled."""
    expected = None
    for size in (1, 1000):
        flow = cluster.write(f"SIZE = {size}\n{FLOW}")
        for count in (1, 2):
            with cluster.started(count, flow) as processes:
                assert endings(processes) == [(0, "")] * count
            lines = lines_of(cluster.folder / "part_0")
            expected = expected or lines
            assert lines == expected
            assert set(lines_of(cluster.folder / "same")) == {"True"}
    assert len(expected) == 2 * 42


COUNTS = """
import millstream.operators as op
from millstream.connectors.files import DirSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource

flow = Dataflow("flow")
up = op.input("inp", flow, TestingSource(range(1000), 10))
counts = op.count_final("count", up, lambda number: f"key {number % 7}" + LONG)
op.output("out", op.map_value("line", counts, str), DirSink(".", 1))
"""


@pytest.mark.parametrize("long", ["", "x" * 100_000], ids=["short", "long"])
def test_counts_are_added_up(cluster, long):
    """Of workers that are alone, and of threads; in one epoch, and in many."""
    flow = cluster.write(f"LONG = {long!r}\n{COUNTS}")
    expected = sorted(str(len(range(key, 1000, 7))) for key in range(7))
    for count, options in [(1, ()), (2, ()), (2, ("-w", "2", "-s", "0"))]:
        with cluster.started(count, flow, *options) as processes:
            assert endings(processes) == [(0, "")] * count
        assert lines_of(cluster.folder / "part_0") == expected
