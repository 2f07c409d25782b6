"""The benchmarks themselves: workloads agree, and the guard notices what it should."""

import os
import platform

import pytest

from benchmarks import data
from benchmarks.catalogue import WORKLOADS
from benchmarks.engines import load
from benchmarks.guard import __main__ as guard
from benchmarks.guard.counted import INTERPRETER, NAMES, SIZES
from benchmarks.studies.split import parse, split_keys, write_lines
from benchmarks.workload import Digest

ITEMS = 3_000


@pytest.fixture(autouse=True)
def kept_data(tmp_path, monkeypatch):
    monkeypatch.setenv(data.DIRECTORY, os.fspath(tmp_path))


@pytest.mark.parametrize("name", WORKLOADS)
def test_dataflow_and_plain_loop_come_to_equal_results(name):
    workload, engine = WORKLOADS[name], load("millstream")
    rows = data.load(name, ITEMS, workload.make)
    of_flow, of_loop = Digest(workload.compared), Digest(workload.compared)
    flow = engine.dataflow.Dataflow("benchmark")
    engine.write("out", workload.flow(engine, flow, rows), of_flow.write)
    engine.run(flow)
    workload.plain(rows, of_loop.write)
    assert of_flow.result() == of_loop.result()
    assert not of_flow.result().startswith("0 ")


def test_lines_are_of_the_events_that_they_were_made_of(tmp_path):
    parts = split_keys(WORKLOADS["tumbling"].make(ITEMS))
    write_lines(parts, tmp_path)
    for number, batches in enumerate(parts):
        lines = (tmp_path / f"{number}.jsonl").read_text().splitlines()
        assert lines
        events = [pair for batch in batches for pair in batch]
        assert [parse(line) for line in lines] == events


def test_an_item_costs_the_difference_of_two_sizes(tmp_path):
    few, many = SIZES
    for number, name in enumerate((INTERPRETER, *NAMES)):
        for size in SIZES:
            (tmp_path / f"counted.{number}-{size}").write_text(
                f"desc: Trigger: Client Request: {name} {size}\n"
                f"summary: {1_000_000 + (number + 1) * size}\n"
            )
    assert few < many
    assert guard.read_counts(tmp_path) == {
        name: number + 1 for number, name in enumerate((INTERPRETER, *NAMES))
    }


@pytest.mark.parametrize(
    ("now", "exceeded"),
    [
        ({INTERPRETER: 100, "words": 1_140}, []),
        ({INTERPRETER: 100, "words": 1_160}, ["words"]),
        ({INTERPRETER: 110, "words": 1_160}, []),
        ({INTERPRETER: 90, "words": 1_160}, ["words"]),
        ({INTERPRETER: 200, "words": 1_000}, []),
        ({INTERPRETER: 100, "unknown": 1}, ["unknown"]),
    ],
)
def test_what_costs_more_beyond_the_tolerance_and_the_interpreter(now, exceeded):
    baseline = {INTERPRETER: 100, "words": 1_000}
    assert guard.compare(now, baseline, 15) == exceeded


@pytest.mark.parametrize(("may_skip", "code"), [(False, 1), (True, 0)])
def test_another_minor_version_of_python_is_refused(capsys, may_skip, code):
    same = ".".join(platform.python_version_tuple()[:2]) + ".99"
    guard.check_python(same, may_skip=may_skip)
    assert capsys.readouterr().err == ""
    with pytest.raises(SystemExit) as stopped:
        guard.check_python("3.1.0", may_skip=may_skip)
    assert stopped.value.code == code
    assert "the baseline was counted with Python 3.1.0" in capsys.readouterr().err
