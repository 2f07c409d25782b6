"""The dataflow of `counting.py`, into files that appear when they are committed."""

from __future__ import annotations

import os

import millstream.operators as op
from millstream.connectors.files import CommittingDirSink
from millstream.dataflow import Dataflow

from tests.counting import Source, count, key_of

flow = Dataflow("committing")
numbers = op.input("numbers", flow, Source())
keyed = op.key_on("key", numbers, key_of)
counts = op.stateful_map("count", keyed, count)
lines = op.map("line", counts, lambda item: (item[0], f"{item[0]} {item[1]}"))
op.output("out", lines, CommittingDirSink(os.environ.get("OUT", "."), 2))
