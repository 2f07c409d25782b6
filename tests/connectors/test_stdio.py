import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


def test_each_item_is_a_line(capsys):
    part = StdOutSink().build("flow.out", 0, 1)
    part.write_batch([1, "two", None, ("k", 3.0)])
    part.write_batch([])
    part.write_batch(["last"])
    part.close()
    assert capsys.readouterr().out == "1\ntwo\nNone\n('k', 3.0)\nlast\n"


def test_items_are_shown_by_str_not_format(capsys):
    class Item:
        def __str__(self):
            return "by str"

        def __format__(self, spec):
            return "by format"

    StdOutSink().build("flow.out", 0, 1).write_batch([Item()])
    assert capsys.readouterr().out == "by str\n"


def test_each_batch_is_flushed_as_one_write(monkeypatch):
    calls = []

    class Stream:
        def write(self, text):
            calls.append(text)

        def flush(self):
            calls.append("flush")

    monkeypatch.setattr("sys.stdout", Stream())
    StdOutSink().build("flow.out", 0, 1).write_batch([1, 2])
    assert calls == ["1\n2\n", "flush"]


def test_end_to_end(entry_point, capsys):
    flow = Dataflow("prints")
    s = op.input("inp", flow, TestingSource(range(20)))
    op.output("out", op.redistribute("spread", s), StdOutSink())
    entry_point(flow)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines, key=int) == [str(number) for number in range(20)]
