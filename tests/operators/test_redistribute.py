import millstream.operators as op
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main


def test_no_item_is_lost_or_doubled(evaluate):
    out = evaluate(range(500), lambda up: op.redistribute("step", up), batch_size=10)
    assert sorted(out) == list(range(500))


def test_every_worker_gets_items():
    workers = set()
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(range(1000), batch_size=10))
    spread = op.redistribute("step", up)
    seen = op.inspect_debug("seen", spread, lambda _id, _x, _epoch, w: workers.add(w))
    op.output("out", seen, TestingSink([]))
    cluster_main(flow, [], 0, worker_count_per_proc=3)
    assert workers == {0, 1, 2}
