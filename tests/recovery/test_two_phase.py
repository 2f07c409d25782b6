"""Sinks that show what they were given only when it can't be taken back any more."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

import millstream.operators as op
import pytest
from millstream.connectors.files import CommittingDirSink, DirSink
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.outputs import TwoPhaseSink, TwoPhaseSinkPartition
from millstream.recovery import RecoveryConfig, RecoveryError, init_db_dir
from millstream.testing import TestingSource, cluster_main, run_main

from tests.counting import expected, written
from tests.processes import started


class Table(TwoPhaseSinkPartition):
    """Values that wait by epoch, and those that can be seen; both outlive a run."""

    def __init__(self, database, name):
        self.database, self.name = database, name
        self.values = []

    def recover(self, prepared):
        self.database.calls.append(("recover", self.name, prepared))
        super().recover(prepared)
        for key in [key for key in self.database.waiting if key[0] == self.name]:
            del self.database.waiting[key]

    def write_batch(self, values):
        if "poison" in values:
            msg = "poison"
            raise ValueError(msg)
        self.values.extend(values)

    def prepare(self, epoch):
        self.database.waiting[self.name, epoch] = self.values
        self.values = []
        return self.name, epoch

    def commit(self, prepared):
        if self.database.commits_left == 0:
            msg = "the database is down"
            raise OSError(msg)
        self.database.commits_left -= 1
        if prepared in self.database.waiting:
            self.database.seen.extend(self.database.waiting.pop(prepared))

    def abort(self):
        self.database.calls.append(("abort", self.name, self.values))

    def close(self):
        self.database.calls.append(("close", self.name))


class Database(TwoPhaseSink):
    def __init__(self, names=("a", "b")):
        self.names = names
        self.waiting, self.seen, self.calls = {}, [], []
        self.commits_left = 1_000_000

    def list_parts(self):
        return list(self.names)

    def part_fn(self, item_key):
        return self.names.index(item_key)

    def claim_part(self, step_id, for_part):
        self.calls.append(("claim", step_id, for_part))

    def build_part(self, _step_id, for_part, execution):
        self.calls.append(("build", for_part, execution))
        return Table(self, for_part)


def run(database, items, config=None, workers=1, interval=timedelta()):
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource(items))
    op.output("out", up, database)
    cluster_main(
        flow,
        [],
        0,
        worker_count_per_proc=workers,
        epoch_interval=interval,
        recovery_config=config,
    )


@pytest.fixture
def config(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    init_db_dir(store, 2)
    return RecoveryConfig(store)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("interval", [timedelta(), timedelta(hours=1)])
@pytest.mark.parametrize("has_store", [False, True])
def test_all_is_seen_at_the_end(config, workers, interval, has_store):
    database = Database()
    items = [("a", 1), ("b", 2), ("a", 3)]
    run(database, items, config if has_store else None, workers, interval)
    assert sorted(database.seen) == [1, 2, 3]
    assert not database.waiting
    calls = sorted(database.calls)
    execution = 1 if has_store else 0
    assert calls[:2] == [("build", "a", execution), ("build", "b", execution)]
    assert calls[2:4] == [("claim", "flow.out", "a"), ("claim", "flow.out", "b")]
    assert calls[4:6] == [("close", "a"), ("close", "b")]
    assert calls[6:] == [("recover", "a", []), ("recover", "b", [])]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_nothing_of_an_epoch_that_failed_is_seen(config, workers):
    database = Database()
    items = [("a", 1), ("b", 2), ("a", "poison"), ("b", 3)]
    with pytest.raises(MillstreamRuntimeError):
        run(database, items, config, workers)
    seen = sorted(database.seen)
    assert set(seen) <= {1, 2}
    assert {call[0] for call in database.calls} >= {"abort", "close"}
    items[2] = ("a", 10)
    run(database, items, config, 4 - workers)
    assert sorted(database.seen) == [1, 2, 3, 10]


@pytest.mark.parametrize("workers", [1, 2])
def test_next_run_commits_what_the_last_one_could_not(config, workers):
    database = Database()
    database.commits_left = 1
    items = [("a", 1), ("b", 2), ("a", 3), ("b", 4)]
    with pytest.raises(MillstreamRuntimeError) as raised:
        run(database, items, config, workers)
    assert "step `flow.out` failed while calling `commit`" in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)
    assert len(database.seen) == 1
    assert database.waiting
    database.commits_left = 1_000_000
    # All that counts is committed, whether or not there is more.
    run(database, items, config)
    assert sorted(database.seen) == [1, 2, 3, 4]
    assert any(call[2] for call in database.calls if call[0] == "recover")
    # It is remembered that this is done.
    database.calls.clear()
    run(database, items, config)
    recovered = [call for call in database.calls if call[0] == "recover"]
    assert recovered == [("recover", "a", []), ("recover", "b", [])]
    # Each execution has a number of its own.
    assert {call[2] for call in database.calls if call[0] == "build"} == {3}
    assert sorted(database.seen) == [1, 2, 3, 4]


def test_partition_is_closed_when_it_cannot_recover(config):
    class Broken(Table):
        def recover(self, _prepared):
            msg = "no way back"
            raise OSError(msg)

    class Sink(Database):
        def build_part(self, _step_id, for_part, _execution):
            return Broken(self, for_part)

    database = Sink(["a"])
    with pytest.raises(MillstreamRuntimeError) as raised:
        run(database, [("a", 1)], config)
    assert "failed while calling `recover`" in str(raised.value)
    assert ("close", "a") in database.calls


def test_sink_of_another_kind_is_another_step(config, tmp_path):
    def flow_to(sink):
        flow = Dataflow("flow")
        op.output("out", op.input("inp", flow, TestingSource([("a", "1")])), sink)
        run_main(flow, recovery_config=config)

    out = tmp_path / "out"
    out.mkdir()
    flow_to(CommittingDirSink(out, 1))
    (out / "part_0").write_text("of somebody else")
    with pytest.raises(RecoveryError) as raised:
        flow_to(DirSink(out, 1))
    assert str(raised.value) == (
        "step `flow.out` keeps a sink, and the recovery store has of it what an "
        "earlier run kept of a two-phase sink; give the step a new name, and drop the "
        "old one"
    )
    assert raised.value.exit_code == 78
    assert (out / "part_0").read_text() == "of somebody else"


def test_partition_must_be_of_its_class(config):
    class Wrong(Database):
        def build_part(self, _step_id, _for_part, _execution):
            return 7

    with pytest.raises(MillstreamRuntimeError) as raised:
        run(Wrong(), [("a", 1)], config)
    assert str(raised.value.__cause__) == (
        "`build_part` must return an instance of "
        "`millstream.outputs.TwoPhaseSinkPartition`; got 7, an `int`"
    )


def test_sink_can_refuse_a_partition(config):
    class Taken(Database):
        def claim_part(self, _step_id, for_part):
            msg = f"table {for_part} is somebody else's"
            raise ValueError(msg)

    for store in (None, config):
        database = Taken()
        with pytest.raises(MillstreamRuntimeError) as raised:
            run(database, [("a", 1)], store)
        assert "failed while taking over its partition `a`" in str(raised.value)
        assert str(raised.value.__cause__) == "table a is somebody else's"
        assert not database.calls


STOPS = """
import os
import signal
import time

import millstream.operators as op
from millstream.connectors.files import CommittingDirSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


class Sink(CommittingDirSink):
    def build_part(self, *args):
        if "STOPS" in os.environ:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().build_part(*args)


def slowly(item):
    time.sleep(0.005)
    return item


flow = Dataflow("flow")
numbers = op.input("inp", flow, TestingSource([("a", str(n)) for n in range(200)]))
op.output("out", op.map("slowly", numbers, slowly), Sink("out", 1))
"""


class TestCommittingDirSink:
    SEEDS = int(os.environ.get("KILL_SEEDS", "2"))

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_what_is_seen_is_true_at_any_time(self, committing, seed):
        """Also while processes are killed: seen lines are right, and stay."""
        draw = random.Random(seed)  # noqa: S311 # Not for secrets.
        killed, before = 0, {}
        for attempt in range(6):
            with committing.start(repr((seed, attempt)), PAUSE="0.001") as process:
                now = time.monotonic()
                deadline, latest = now + draw.uniform(0.3, 0.8), now + 30
                # The last one is killed once there is something to see, on a busy
                # machine too.
                while time.monotonic() < deadline or (
                    attempt == 5 and not before and time.monotonic() < latest
                ):
                    before = self.check(committing.out, before)
                process.kill()
            killed += process.wait() == -signal.SIGKILL
            before = self.check(committing.out, before)
        with committing.start(str(seed), PAUSE="0", BATCH="50") as process:
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        self.check(committing.out, before)
        assert written(committing.out) == expected()
        assert not list(committing.out.glob(".*"))
        assert killed
        assert before

    def check(self, out, before):
        """Every file that could be seen is there, and the lines of all are right."""
        now = {path.name: path.read_text() for path in out.glob("part_*")}
        assert {name: now.get(name) for name in before} == before
        lines = sorted(line for text in now.values() for line in text.splitlines())
        assert len(lines) == len(set(lines))
        assert set(lines) <= set(expected())
        # Of each key, what is seen has no gaps.
        counts = {}
        for line in lines:
            key, number = line.rsplit(" ", 1)
            counts.setdefault(key, []).append(int(number))
        for key, numbers in counts.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), key
        return now

    def test_run_that_was_taken_over_harms_nothing(self, tmp_path):
        """It stands still before it tidies up, and wakes when another writes."""
        store, out = tmp_path / "store", tmp_path / "out"
        for folder in (store, out):
            folder.mkdir()
        init_db_dir(store, 1)
        (tmp_path / "flow.py").write_text(STOPS)

        def start(**variables):
            return started(
                *("-m", "millstream.run", "flow.py", "-r", str(store), "-s", "0.05"),
                folder=tmp_path,
                **variables,
            )

        with start(STOPS="1") as first:
            deadline = time.monotonic() + 20
            stat = Path(f"/proc/{first.pid}/stat")
            while stat.read_text().split()[2] != "T":
                assert first.poll() is None, first.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with start() as second:
                while not any(out.glob("*.pending")) and not any(out.glob(".*")):
                    assert second.poll() is None, second.communicate()
                    time.sleep(0.001)
                first.send_signal(signal.SIGCONT)
                assert first.wait(timeout=20) == 73
                _, err = second.communicate(timeout=30)
        assert (second.returncode, err) == (0, "")
        assert written(out) == sorted(str(number) for number in range(200))

    def test_drain_shows_all(self, committing):
        with committing.start("drain", PAUSE="0.005", BATCH="5") as process:
            while not written(committing.out):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        assert not list(committing.out.glob(".*"))
        with committing.start("rest", PAUSE="0", BATCH="50") as process:
            process.communicate(timeout=60)
        assert written(committing.out) == expected()
