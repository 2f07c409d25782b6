"""Several processes run one dataflow, and end as one."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.conftest import (
    GONE,
    JOIN_TIMEOUT,
    UNHEARD,
    assert_lost,
    distrust,
    endings,
    missed,
    turned,
)
from tests.cluster.flows import ENDLESS, EXPECTED, SUMS, lines_in, wait_for_output
from tests.processes import TIMEOUT, finished, started


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("optimize", ["0", "1"])
def test_processes_share_the_work(cluster, count, workers, optimize):
    flow = cluster.write(SUMS)
    with cluster.started(
        count, flow, "-w", workers, MILLSTREAM_OPTIMIZE=optimize
    ) as processes:
        assert endings(processes) == [(0, "")] * count
    assert lines_in(cluster.folder) == EXPECTED


def test_command_line_starts_processes(cluster):
    flow = cluster.write(SUMS)
    ended = finished("-m", "millstream.run", flow, "-p", "3", folder=cluster.folder)
    assert ended == (0, "", "")
    assert lines_in(cluster.folder) == EXPECTED


FAILS = """
import os
import time

import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.inputs import DynamicSource, StatelessSourcePartition


class Numbers(StatelessSourcePartition):
    def __init__(self, worker):
        self.worker = worker
        self.number = 0

    def next_batch(self):
        time.sleep(0.001)
        self.number += 1
        if self.worker == 1 and self.number == 100:
            raise ValueError("the hundredth")
        return [self.number]


class Source(DynamicSource):
    def build(self, _step_id, worker_index, _worker_count):
        return Numbers(worker_index)


flow = Dataflow("flow")
up = op.redistribute("spread", op.input("inp", flow, Source()))
op.output("out", op.filter("none", up, lambda _: False), StdOutSink())
"""


def test_every_process_shows_the_first_cause(cluster):
    flow = cluster.write(FAILS)
    begun = time.monotonic()
    with cluster.started(3, flow) as processes:
        ended = endings(processes)
    assert time.monotonic() - begun < 10
    assert [code for code, _ in ended] == [70, 70, 70]
    for number, (_, err) in enumerate(ended):
        assert err.count("ValueError: the hundredth") == 1, (number, err)
        assert err.count("step `flow.inp` failed while calling `next_batch`") == 1
        assert 'raise ValueError("the hundredth")' in err
        is_peer = err.startswith("millstream: process 1 failed: step `flow.inp`")
        assert is_peer == (number != 1), err


def test_launched_processes_show_it_once(cluster):
    flow = cluster.write(FAILS)
    code, _, err = finished(
        "-m", "millstream.run", flow, "-p", "3", folder=cluster.folder
    )
    assert code == 70
    assert err.count("ValueError: the hundredth") == 1
    assert err.startswith("millstream: process 1 failed:\n")
    assert err.count("millstream:") == 1


def test_ctrl_c_on_one_process_stops_all(cluster):
    flow = cluster.write(ENDLESS)
    with cluster.started(3, flow) as processes:
        wait_for_output(cluster, processes)
        processes[1].send_signal(signal.SIGINT)
        begun = time.monotonic()
        ended = endings(processes)
    assert time.monotonic() - begun < 5
    assert [code for code, _ in ended] == [130, 130, 130]
    interrupted = "millstream: process 1 was interrupted\n"
    assert [err for _, err in ended] == [
        interrupted,
        "millstream: interrupted (KeyboardInterrupt)\n",
        interrupted,
    ]


@pytest.mark.parametrize("one", [True, False], ids=["one", "all"])
def test_launched_processes_are_interrupted_once(cluster, one):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "3")
    with started(*command, folder=cluster.folder) as process:
        wait_for_output(cluster, [process])
        interrupted = children_of(process)[1] if one else process.pid
        os.kill(interrupted, signal.SIGINT)
        ended = endings([process], timeout=5)
    told = "process 1 was interrupted" if one else "interrupted (KeyboardInterrupt)"
    assert ended == [(130, f"millstream: {told}\n")]


def children_of(process):
    """The ids of the processes that a process has started."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, 75)]
)
def test_end_that_nobody_can_be_told_of(cluster, number, code):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "2")
    with started(*command, folder=cluster.folder) as process:
        wait_for_output(cluster, [process])
        process.stderr.close()
        os.kill(children_of(process)[1], number)
        assert process.wait(5) == code


LATE = """
import os
import sys
import time
from pathlib import Path

number = os.environ["MILLSTREAM_PROCESS_ID"]
Path(f"begun-{number}").touch()
if number == "2":
    time.sleep(60)
"""
"""What comes before a flow whose last process never joins."""


@contextmanager
def waiting_for_the_last(cluster, flow=LATE + ENDLESS):
    """Three processes that a command has started, of which the last does not join."""
    command = ("-m", "millstream.run", cluster.write(flow), "-p", "3")
    with started(*command, folder=cluster.folder) as process:
        deadline = time.monotonic() + 20
        while not all((cluster.folder / f"begun-{n}").exists() for n in range(3)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process


KEEPS_ON = """
import signal
import threading

signal.signal(signal.SIGHUP, lambda *_: None)
if number != "2":
    threading.Thread(target=time.sleep, args=(30,)).start()
"""


@pytest.mark.parametrize("before", ["", KEEPS_ON], ids=["", "keeps-on"])
@pytest.mark.parametrize("pause", [0, 1])
def test_process_that_is_killed_before_it_joins_ends_all(cluster, pause, before):
    late = LATE.replace("if number", before + "if number")
    with waiting_for_the_last(cluster, late + ENDLESS) as process:
        time.sleep(pause)
        os.kill(children_of(process)[2], signal.SIGKILL)
        (ending,) = endings([process], timeout=5)
    assert ending == (75, "millstream: process 2 was ended by SIGKILL\n")


def test_process_that_ends_before_it_joins_ends_all(cluster):
    late = LATE.replace("    time.sleep(60)", "    time.sleep(1)\n    sys.exit()")
    with waiting_for_the_last(cluster, late + ENDLESS) as process:
        assert endings([process], timeout=5) == [(0, "")]


def test_two_processes_that_are_killed_are_both_told(cluster):
    with waiting_for_the_last(cluster) as process:
        time.sleep(1)
        children = children_of(process)
        # It sees both at once.
        process.send_signal(signal.SIGSTOP)
        for number in (1, 2):
            os.kill(children[number], signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        ((code, err),) = endings([process], timeout=5)
    assert code == 75
    told = [f"millstream: process {number} was ended by SIGKILL" for number in (1, 2)]
    assert sorted(err.splitlines()) == told


def test_process_that_fails_before_it_joins_ends_all(cluster):
    late = LATE.replace("    time.sleep(60)", "    time.sleep(1)\n    sys.exit(1 / 0)")
    with waiting_for_the_last(cluster, late + ENDLESS) as process:
        ((code, err),) = endings([process], timeout=5)
    assert code == 70
    first, *_, last = err.splitlines()
    assert first == "millstream: process 2 failed:"
    assert last == "ZeroDivisionError: division by zero"
    assert err.count("Traceback") == 1


def test_launched_process_that_stands_still_is_killed_once_it_is_lost(cluster):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "2", "--peer-timeout", "1")
    with started(*command, folder=cluster.folder) as process:
        wait_for_output(cluster, [process])
        os.kill(children_of(process)[1], signal.SIGSTOP)
        ((code, err),) = endings([process], timeout=1 + 5)
    lost, killed = err.splitlines(keepends=True)
    assert_lost((code, lost), 1, UNHEARD)
    assert killed == "millstream: process 1 stands still, and is killed\n"


BROKEN = """
import millstream.operators as op
from millstream.connectors.files import FileSource
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow

flow = Dataflow("flow")
op.output("out", op.input("inp", flow, FileSource("nowhere")), StdOutSink())
"""


def test_what_several_processes_say_at_once_can_be_told_apart(cluster):
    flow = cluster.write(BROKEN)
    command = ("-m", "millstream.run", flow, "-p", "3")
    code, _, err = finished(*command, folder=cluster.folder)
    assert code == 70
    start, *reports = re.split(r"(?m)^millstream: process (\d) failed:\n", err)
    assert start == ""
    assert reports
    for number, report in zip(reports[::2], reports[1::2], strict=True):
        assert number in "012"
        # Whole, and nothing else.
        assert report.startswith("Traceback (most recent call last):\n")
        assert report.count("\nFileNotFoundError: ") == 1
        assert report.count("\nmillstream.errors.MillstreamRuntimeError: ") == 1
        assert report.count("Traceback") == 1


PRINTS = FAILS.replace('raise ValueError("the hundredth")', "pass").replace(
    'op.filter("none", up, lambda _: False)', 'op.map("text", up, str)'
)


def test_all_end_alike_when_nobody_reads_their_output(cluster):
    flow = cluster.write(PRINTS)
    command = ("-m", "millstream.run", flow, "-p", "2")
    for _ in range(5):
        with started(*command, folder=cluster.folder) as process:
            assert process.stdout.readline()
            process.stdout.close()
            assert process.wait(TIMEOUT) == 141
            assert process.stderr.read() == ""


def test_all_hosts_end_alike_when_nobody_reads_the_output_of_one(cluster):
    flow = cluster.write(PRINTS)
    with cluster.started(2, flow) as processes:
        assert processes[0].stdout.readline()
        processes[0].stdout.close()
        err = [process.stderr.read() for process in processes]
        assert [process.wait(TIMEOUT) for process in processes] == [141, 141]
    assert err[0] == ""
    said = "millstream: process 0 failed: step `flow.out` failed while calling "
    assert err[1].startswith(said)
    assert "BrokenPipeError" in err[1]


EXITS = FAILS.replace('raise ValueError("the hundredth")', "raise SystemExit(3)")


def test_exit_in_user_code_ends_all_with_its_code(cluster):
    flow = cluster.write(EXITS)
    with cluster.started(2, flow) as processes:
        ended = endings(processes)
    assert [code for code, _ in ended] == [3, 3], ended
    assert ended[1][1] == ""
    assert "process 1 failed: step `flow.inp` failed" in ended[0][1]
    assert "SystemExit: 3" in ended[0][1]


@pytest.mark.parametrize("code", [3, 79])
def test_exit_in_user_code_is_that_of_the_command(cluster, code):
    flow = cluster.write(EXITS.replace("SystemExit(3)", f"SystemExit({code})"))
    command = ("-m", "millstream.run", flow, "-p", "2")
    assert finished(*command, folder=cluster.folder)[0] == code


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_standard_streams_may_be_closed(cluster, closed):
    flow = cluster.write(SUMS + "\nprint('seen by nobody')\n")
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
    command = ("-m", "millstream.run", flow, "-p", "2")
    with started(*command, folder=cluster.folder, command=shell) as process:
        assert process.wait(TIMEOUT) == 0
    assert lines_in(cluster.folder) == EXPECTED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_processes_end_with_the_command_that_started_them(cluster, number):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "2")
    with started(*command, folder=cluster.folder) as process:
        wait_for_output(cluster, [process])
        children = [Path(f"/proc/{pid}/stat") for pid in children_of(process)]
        assert len(children) == 2
        process.send_signal(number)
        process.wait(timeout=10)
        deadline = time.monotonic() + 10
        while any(_is_alive(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    expected = -number if number == signal.SIGKILL else 143
    assert process.returncode == expected


@pytest.mark.parametrize("pause", [0, 0.05, 0.1, 0.2, 0.3])
def test_processes_end_with_a_command_that_is_killed_early(cluster, pause):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "3")
    with started(*command, folder=cluster.folder) as process:
        deadline = time.monotonic() + 10
        while len(children_of(process)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(pause)
        children = [Path(f"/proc/{pid}/stat") for pid in children_of(process)]
        process.kill()
        process.wait()
        deadline = time.monotonic() + 5
        while any(_is_alive(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_is_not_lost_while_processes_are_started(cluster, number):
    flow = cluster.write(ENDLESS)
    command = ("-m", "millstream.run", flow, "-p", "3")
    for count in range(3):
        with started(*command, folder=cluster.folder) as process:
            deadline = time.monotonic() + 10
            while len(children_of(process)) < count:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            process.send_signal(number)
            code = process.wait(timeout=5)
        # The command itself may not be so far that it passes it on.
        assert code in (143, -number) if count == 0 else code == 143


def _is_alive(stat):
    """Whether a process is there, and more than a name that nobody has asked for."""
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_kill_of_one_process_is_told_by_all_others(cluster):
    flow = cluster.write(ENDLESS)
    with cluster.started(3, flow) as processes:
        wait_for_output(cluster, processes)
        processes[2].kill()
        begun = time.monotonic()
        ended = endings(processes)
    assert time.monotonic() - begun < 5
    assert ended[2] == (-signal.SIGKILL, "")
    for ending in ended[:2]:
        assert_lost(ending, 2, GONE)


def test_stopped_process_is_lost_after_a_while(cluster):
    flow = cluster.write(ENDLESS)
    with cluster.started(3, flow, "--peer-timeout", "1") as processes:
        wait_for_output(cluster, processes)
        processes[0].send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        ended = endings(processes[1:])
        assert 0.5 < time.monotonic() - begun < 5
        processes[0].send_signal(signal.SIGCONT)
        (first,) = endings(processes[:1])
    for ending in ended:
        assert_lost(ending, 0, UNHEARD)
    # It notices late that the others are gone, whichever first.
    assert_lost(first, "[12]", f"{GONE}|{UNHEARD}")


def test_process_that_never_starts_is_missed(cluster):
    flow = cluster.write(ENDLESS)
    begun = time.monotonic()
    with cluster.started(3, flow, "--join-timeout", "2", only=[0, 2]) as processes:
        ended = endings(processes, timeout=2 + 6)
    assert time.monotonic() - begun > 2
    assert [code for code, _ in ended] == [75, 75]
    # Each process calls those before it. One of the two is the first to give up, and
    # the other one may miss it too.
    silent, closed = "it has not come", "can't reach it: nobody listens there"
    first, absent, last = (f"process {n} at {cluster.address(n)}" for n in range(3))
    alone = [missed(2, f"{absent} ({reason})") for reason in (silent, closed)]
    both = [
        missed(2, f"{absent} ({silent})", f"{last} ({silent})"),
        missed(2, f"{first} ({closed})", f"{absent} ({closed})"),
    ]
    errors = [err for _, err in ended]
    assert errors in (alone, [alone[0], both[1]], [both[0], alone[1]])


def test_other_code_is_refused(cluster):
    flow = cluster.write(ENDLESS)
    (cluster.folder / "other.py").write_text(ENDLESS.replace("0.002", "0.003"))
    with (
        cluster.started(2, flow, "--join-timeout", "2", only=[0]) as first,
        cluster.started(2, "other.py", "--join-timeout", "2", only=[1]) as second,
    ):
        ended = endings([*first, *second], timeout=2 + 6)
    reason = "it runs other code than this process; start all with the same dataflow"
    missing = f"process 1 at {cluster.address(1)} ({reason})"
    not_joined = f"millstream: can't join process 0 at {cluster.address(0)}: {reason}\n"
    told = turned(f"process 1 from this host: {reason}")
    assert ended == [(78, told + missed(2, missing)), (78, not_joined)]


def test_who_is_missing_and_who_is_wrong_are_told_with_their_options(cluster):
    flow = cluster.write(SUMS)
    options = ("--join-timeout", "2")
    with (
        cluster.started(3, flow, "-w", "2", *options, only=[0]) as first,
        cluster.started(3, flow, *options, only=[1]) as second,
    ):
        ended = endings([*first, *second], timeout=2 + 6)
    told = "it has 1 worker, and this process 2; give all as many"
    wrong = f"process 1 at {cluster.address(1)} ({told})"
    absent = f"process 2 at {cluster.address(2)} (it has not come)"
    told = turned(f"process 1 from this host: {told}")
    see = f"(see {JOIN_TIMEOUT}, `--workers-per-process`)"
    gave_up = missed(2, wrong, absent).replace(f"(see {JOIN_TIMEOUT})", see)
    assert ended[0] == (64, told + gave_up)
    assert ended[1][0] == 64


def test_other_number_of_workers_is_told_at_once_and_can_be_mended(cluster):
    flow = cluster.write(SUMS)
    with cluster.started(2, flow, "-w", "2", only=[0]) as first:
        with cluster.started(2, flow, only=[1]) as second:
            ((code, err),) = endings(second)
        expected = "it has 2 workers, and this process 1; give all as many"
        address = cluster.address(0)
        assert code == 64
        see = "(see `--workers-per-process`)"
        not_joined = f"can't join process 0 at {address}: {expected} {see}"
        assert err == f"millstream: {not_joined}\n"
        told = "it has 1 worker, and this process 2; give all as many"
        told = turned(f"process 1 from this host: {told}")
        assert first[0].stderr.readline() == told
        with cluster.started(2, flow, "-w", "2", only=[1]) as second:
            assert endings([*first, *second]) == [(0, ""), (0, "")]
    assert lines_in(cluster.folder) == EXPECTED


def test_two_processes_with_one_number(cluster):
    flow = cluster.write(ENDLESS)
    with (
        cluster.started(2, flow, "--join-timeout", "2", only=[0]) as first,
        cluster.started(2, flow, "--join-timeout", "2", only=[0]) as second,
    ):
        ended = endings([*first, *second], timeout=2 + 6)
    taken = (
        f"millstream: process 0 can't listen at {cluster.address(0)}: another process "
        "listens there; end it, or use another path, or give each process a number of "
        "its own\n"
    )
    missing = f"process 1 at {cluster.address(1)} (it has not come)"
    # Whichever of them is the first.
    assert sorted(ended) == [(64, taken), (75, missed(2, missing))]


@pytest.mark.parametrize("secret", ["the same secret for all", "some other secret"])
def test_secret(cluster, secret):
    flow = cluster.write(SUMS)
    secrets = ["the same secret for all", secret]
    names = []
    for number, text in enumerate(secrets):
        path = cluster.folder / f"secret-{number}"
        path.write_text(text)
        names.append(str(path))
    options = ("--join-timeout", "2", "--secret-file")
    with (
        cluster.started(2, flow, *options, names[0], only=[0]) as first,
        cluster.started(2, flow, *options, names[1], only=[1]) as second,
    ):
        ended = endings([*first, *second], timeout=2 + 6)
    if secret == secrets[0]:
        assert ended == [(0, ""), (0, "")]
        assert lines_in(cluster.folder) == EXPECTED
    else:
        assert ended == distrust(cluster, 2)
        assert not lines_in(cluster.folder)


def test_network_without_security_is_refused(cluster):
    flow = cluster.write(SUMS)
    addresses = "192.0.2.1:2101;192.0.2.2:2101"
    with cluster.started(2, flow, only=[0], addresses=addresses) as processes:
        ((code, err),) = endings(processes)
    assert code == 64
    assert "192.0.2.1:2101" in err
    assert err.count("\n") == 1


BAD = """bad = op.map("bad", up, lambda item: lambda: item)
spread = op.redistribute("spread", bad)
"""


def test_item_that_cannot_be_pickled_names_its_step(cluster):
    good = 'spread = op.redistribute("spread", up)\n'
    flow = cluster.write(SUMS.replace(good, BAD))
    with cluster.started(2, flow) as processes:
        ended = endings(processes)
    assert [code for code, _ in ended] == [70, 70]
    for _, err in ended:
        said = (
            "step `flow.spread` failed while taking items from one process to another "
            "(they must be picklable) on worker "
        )
        assert said in err
