"""The figures of a run, as a real reader of them takes them."""

from __future__ import annotations

import pytest
from millstream.recovery import init_db_dir

from tests.api.conftest import EVEN, FLOW, ITEMS, KEYS


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("optimize", ["0", "1"])
def test_items_and_keys_are_counted(run, workers, optimize):
    options = ("--api", "{port}", "-w", workers)
    with run(*options, MILLSTREAM_OPTIMIZE=optimize) as running:
        running.until_worked()
        taken = running.of_steps("millstream_item_inp_count_total")
        made = running.of_steps("millstream_item_out_count_total")
        keys = running.of_steps("millstream_state_keys")
        assert running.finish()[0] == 0
    assert "flow.numbers" not in taken
    assert made["flow.numbers"] == ITEMS
    assert taken["flow.plus"] == ITEMS
    assert made["flow.even"] == EVEN
    assert (taken["flow.total"], made["flow.total"]) == (EVEN, EVEN)
    assert (taken["flow.line"], made["flow.line"]) == (EVEN, EVEN)
    assert taken["flow.out"] == EVEN
    assert "flow.out" not in made
    assert keys == {"flow.total": KEYS}


def test_each_worker_has_figures_of_its_own(run):
    with run("--api", "{port}", "-w", "2") as running:
        running.until_worked()
        made = {
            dict(labels)["worker_index"]: value
            for (name, *labels), value in running.metrics().items()
            if name == "millstream_item_out_count_total"
            and dict(labels)["step_id"] == "flow.numbers"
        }
    # Each has a partition.
    assert made == {"0": ITEMS / 2, "1": ITEMS / 2}


def test_calls_are_timed(run):
    with run("--api", "{port}") as running:
        running.until_worked()
        figures = running.metrics()
    step = {"next_batch": "numbers", "write_batch": "out", "on_batch": "total"}
    for call, prefix in [
        ("next_batch", "inp_part_next_batch"),
        ("write_batch", "out_part_write_batch"),
        ("on_batch", "stateful_batch_on_batch"),
    ]:
        name = f"millstream_{prefix}_duration_seconds"
        labels = (("step_id", f"flow.{step[call]}"), ("worker_index", "0"))
        count = figures[(f"{name}_count", *labels)]
        assert count > 0
        assert figures[(f"{name}_bucket", ("le", "+Inf"), *labels)] == count
        assert 0 < figures[(f"{name}_sum", *labels)] < 30


def test_store_and_epochs_are_counted(run, tmp_path):
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 1)
    options = ("--api", "{port}", "-r", "store", "-s", "0.05")
    with run(*options) as running:
        running.until_worked()
        running.until(
            lambda: running.metrics().get(("millstream_epoch_committed",), 0) > 3
        )
        figures = running.metrics()
        records = running.of_steps("millstream_snapshot_records_total")
        assert running.finish()[0] == 0
    assert figures["millstream_epoch_newest",] >= 3
    assert records["flow.total"] == KEYS
    assert records["flow.numbers"] >= 2
    assert figures["millstream_store_retries_total",] == 0
    assert ("millstream_frontier_lag_epochs", ("worker_index", "0")) in figures


def test_without_store_nothing_is_committed(run):
    with run("--api", "{port}") as running:
        running.until_worked()
        figures = running.metrics()
    assert ("millstream_epoch_committed",) not in figures
    assert figures["millstream_room_limit_bytes",] == 16 << 20


WATERMARK = """
from datetime import datetime, timedelta, timezone
from pathlib import Path

import millstream.operators as op
import millstream.operators.windowing as win
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource

START = datetime(2020, 1, 1, tzinfo=timezone.utc)


def items():
    yield START
    yield START + timedelta(seconds=100)
    while not Path("go").exists():
        yield TestingSource.PAUSE(timedelta(milliseconds=10))


flow = Dataflow("flow")
up = op.input("inp", flow, TestingSource(items()))
clock = win.EventClock(
    lambda moment: moment, wait_for_system_duration=timedelta(0), scope="stream"
)
windower = win.TumblingWindower(length=timedelta(minutes=1), align_to=START)
counts = win.count_window("count", up, clock, windower, lambda _: "a")
op.output("out", counts.down, TestingSink([]))
"""


def test_watermark_of_a_stream_is_shown(run):
    with run("--api", "{port}", flow=WATERMARK) as running:
        name = "millstream_watermark_seconds"
        running.until(lambda: running.of_steps(name).get("flow.count", 0) > 0)
        taken = "millstream_item_inp_count_total"
        running.until(lambda: running.of_steps(taken).get("flow.count") == 2)
        watermark = running.of_steps(name)["flow.count"]
        lag = running.of_steps("millstream_watermark_lag_seconds")["flow.count"]
    start = 1_577_836_800
    assert start + 100 <= watermark < start + 130
    # It is years behind.
    assert lag > 5 * 365 * 86_400


@pytest.mark.parametrize("scope", ["key", "stream"])
@pytest.mark.parametrize("late", [0, 2])
def test_late_items_are_counted(run, scope, late):
    """Though nobody takes them."""
    flow = WATERMARK.replace('"stream"', repr(scope)).replace(
        "    while", f"    yield from [START] * {late}\n    while"
    )
    with run("--api", "{port}", flow=flow) as running:
        name, taken = "millstream_late_items_total", "millstream_item_inp_count_total"
        running.until(lambda: running.of_steps(taken).get("flow.count") == 2 + late)
        assert running.of_steps(name) == {"flow.count": late}


@pytest.mark.parametrize("restarts", [None, 0, 3])
def test_restarts_are_shown_to_who_started_it(run, restarts):
    told = {} if restarts is None else {"MILLSTREAM_LAUNCHED_AGAIN": str(restarts)}
    with run("--api", "{port}", **told) as running:
        running.until_worked()
        figures = running.metrics()
    assert figures.get(("millstream_restarts_total",)) == restarts


COUNTER = """
from prometheus_client import Counter

mine = Counter("mine", "Items that I have seen.", ["kind"])
mine.labels("good").inc(3)
"""


def test_own_metrics_of_the_user_appear(run):
    with run("--api", "{port}", flow=COUNTER + FLOW) as running:
        running.until_worked()
        figures = running.metrics()
    assert figures["mine_total", ("kind", "good")] == 3
    assert any(name == "python_info" for name, *_ in figures)


CLASH = """
from prometheus_client import Counter

Counter("millstream_item_inp_count", "Not ours.").inc(99)
"""


def test_name_of_ours_stays_ours(run):
    with run("--api", "{port}", flow=CLASH + FLOW) as running:
        running.until_worked()
        _, text = running.get("/metrics")
    assert text.count("# TYPE millstream_item_inp_count_total ") == 1
    assert "millstream_item_inp_count_total 99" not in text


FAILING = """
from prometheus_client import REGISTRY


class Failing:
    def describe(self):
        return []

    def collect(self):
        raise ValueError("no figures today")


REGISTRY.register(Failing())
"""


def test_collector_that_fails_takes_nothing_else_away(run):
    with run("--api", "{port}", flow=FAILING + FLOW) as running:
        running.until_worked()
        code, err = running.finish()
    assert code == 0
    assert "no figures today" in err


def test_processes_count_what_goes_between_them(run):
    with run("--api", "{port}", "-p", "2", "-w", "2") as running:
        sent = "millstream_transport_sent_bytes_total"
        place = (sent, ("process_index", "1"))
        running.until(lambda: running.metrics().get(place, 0) > 0)
        # Workers are numbered through, and the second process has a port of its own.
        running.port += 1
        workers = {dict(labels).get("worker_index") for _, *labels in running.metrics()}
        assert {"2", "3"} <= workers
        assert not {"0", "1"} & workers
        assert running.finish()[0] == 0
