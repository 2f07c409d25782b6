"""Spans that a collector really receives, over OTLP."""

from __future__ import annotations

import socket
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import grpc
import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.inputs import DynamicSource, StatelessSourcePartition
from millstream.recovery import RecoveryConfig, init_db_dir
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main
from millstream.tracing import (
    JaegerConfig,
    MillstreamTracer,
    OtlpTracingConfig,
    TracingConfig,
    setup_tracing,
)
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc import exporter as otlp

from tests.collecting import collecting
from tests.processes import finished

ALL = [1, 2, 3, 4, 5]


@pytest.fixture
def collector():
    with collecting() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _tracing_ends():
    yield
    setup_tracing().shutdown()


@pytest.fixture
def traced(collector):
    """Trace this process."""
    return setup_tracing(OtlpTracingConfig("tests", collector.url))


def dead_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def simple_flow(out, double=lambda number: 2 * number):
    flow = Dataflow("flow")
    numbers = op.input("numbers", flow, TestingSource(ALL, batch_size=2))
    doubled = op.map("double", numbers, double)
    some = op.filter("some", doubled, lambda number: number != 4)
    op.output("out", some, TestingSink(out))
    return flow


@pytest.mark.usefixtures("traced")
def test_a_trace_is_what_became_of_a_batch(collector):
    out = []
    run_main(simple_flow(out))
    assert out == [2, 6, 8, 10]
    run = collector.one("run flow")
    assert (run.service, run.parent, run.links) == ("tests", b"", [])
    assert run.about == {"flow": "flow", "process": 0}
    polls = collector.named("next_batch flow.numbers")
    # Of the one that found the end, there is none.
    assert [poll.about["items"] for poll in polls] == [2, 2, 1]
    assert len({poll.trace for poll in polls} | {run.trace}) == 4
    for poll in polls:
        assert (poll.parent, poll.links) == (b"", [run.id])
        (step,) = (
            span
            for span in collector.named("process flow.some")
            if span.trace == poll.trace
        )
        assert (step.parent, step.links) == (poll.id, [run.id])
        assert step.about == {
            "flow": "flow",
            "process": 0,
            "step": "flow.some",
            "steps": ["flow.double", "flow.some"],
            "worker": 0,
            "epoch": 1,
            "items": poll.about["items"],
        }
        (write,) = (
            span
            for span in collector.named("write_batch flow.out")
            if span.trace == poll.trace
        )
        assert write.parent == poll.id
        assert not write.is_error


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("optimize", [True, False])
def test_spans_of_users_are_children(collector, optimize):
    tracer = trace.get_tracer(__name__)

    def double(number):
        with tracer.start_as_current_span("mine", attributes={"number": number}):
            return 2 * number

    run_main(simple_flow([], double), optimize=optimize)
    steps = {
        span.id: span for span in collector.spans if span.name.startswith("process ")
    }
    mine = collector.named("mine")
    assert sorted(span.about["number"] for span in mine) == ALL
    for span in mine:
        assert "flow.double" in steps[span.parent].about["steps"]
        assert span.trace == steps[span.parent].trace


@pytest.mark.usefixtures("traced")
def test_run_is_a_part_of_what_its_caller_traces(collector, traced):
    with trace.get_tracer(__name__).start_as_current_span("job"):
        run_main(simple_flow([]))
    traced.flush()
    assert collector.one("run flow").parent == collector.one("job").id


@pytest.mark.usefixtures("traced")
def test_error_is_the_status_of_its_span(collector):
    def double(number):
        if number == 3:
            msg = "three is too many"
            raise ValueError(msg)
        return 2 * number

    with pytest.raises(MillstreamRuntimeError):
        run_main(simple_flow([], double))
    failed = [span for span in collector.spans if span.is_error]
    assert [span.name for span in failed] == ["process flow.some", "run flow"]
    for span in failed:
        assert span.text.startswith("step `flow.double` failed while calling `mapper`")
        assert span.events == ["exception"]


@pytest.mark.usefixtures("traced")
def test_error_of_a_source_is_the_status_of_its_span(collector):
    class Broken(StatelessSourcePartition):
        def next_batch(self):
            raise OSError

    class Source(DynamicSource):
        def build(self, *_where):
            return Broken()

    flow = Dataflow("flow")
    op.output("out", op.input("inp", flow, Source()), TestingSink([]))
    with pytest.raises(MillstreamRuntimeError):
        run_main(flow)
    assert collector.one("next_batch flow.inp").is_error


@pytest.mark.usefixtures("traced")
def test_polls_that_bring_nothing_are_left_out(collector):
    tracer = trace.get_tracer(__name__)

    class Polled(StatelessSourcePartition):
        polls = 0

        def next_batch(self):
            self.polls += 1
            if self.polls == 5:
                with tracer.start_as_current_span("asked"):
                    return []
            if self.polls > 9:
                raise StopIteration
            return []

    class Source(DynamicSource):
        def build(self, *_where):
            return Polled()

    flow = Dataflow("flow")
    op.output("out", op.input("inp", flow, Source()), TestingSink([]))
    run_main(flow)
    poll = collector.one("next_batch flow.inp")
    assert collector.one("asked").parent == poll.id
    assert poll.about["items"] == 0


def keyed_flow(out):
    flow = Dataflow("flow")
    numbers = op.input("numbers", flow, TestingSource(ALL, batch_size=1))
    keyed = op.key_on("key", numbers, str)
    sums = op.stateful_map("sum", keyed, lambda _state, value: (value, value))
    total = op.fold_final("total", sums, list, lambda all_, one: [*all_, one])
    op.output("out", total, TestingSink(out))
    return flow


@pytest.mark.usefixtures("traced")
def test_traces_go_from_worker_to_worker(collector):
    out = []
    cluster_main(keyed_flow(out), [], 0, worker_count_per_proc=2)
    assert len(out) == len(ALL)
    polls = {span.trace: span for span in collector.named("next_batch flow.numbers")}
    sums = collector.named("on_batch flow.sum")
    # Those that wait together are worked off together.
    assert sum(span.about["items"] for span in sums) == len(ALL)
    assert {span.about["worker"] for span in sums} == {0, 1}
    assert len({span.about["worker"] for span in polls.values()}) == 1
    assert all(polls[span.trace].id == span.parent for span in sums)
    # What comes out at the end, no batch has brought about.
    ends = {span.trace: span for span in collector.named("on_time flow.total")}
    writes = collector.named("write_batch flow.out")
    assert writes
    assert all(ends[span.trace].id == span.parent for span in writes)


@pytest.mark.usefixtures("traced")
def test_windows_of_a_stream_are_traced(collector):
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    flow = Dataflow("flow")
    numbers = op.input("numbers", flow, TestingSource(ALL, batch_size=1))
    clock = win.EventClock(
        lambda number: start + timedelta(minutes=number),
        wait_for_system_duration=timedelta(0),
        scope="stream",
    )
    windower = win.TumblingWindower(align_to=start, length=timedelta(minutes=2))
    windows = win.count_window("count", numbers, clock, windower, lambda _: "all")
    out = []
    op.output("out", windows.down, TestingSink(out))
    run_main(flow)
    assert out
    polls = {span.trace for span in collector.named("next_batch flow.numbers")}
    batches = collector.named("on_batch flow.count")
    assert polls == {span.trace for span in batches if span.about["items"]}
    routes = collector.named("route flow.count")
    assert polls == {span.trace for span in routes}


@pytest.mark.usefixtures("traced")
def test_epochs_are_kept_in_spans(collector, tmp_path):
    init_db_dir(tmp_path, 1)
    flow = keyed_flow([])
    # Long enough for epochs to be kept while others are worked on.
    slow = op.input("slow", flow, TestingSource(range(30)))
    op.inspect("wait", slow, lambda *_: time.sleep(0.02))
    run_main(
        flow,
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(str(tmp_path)),
    )
    run = collector.one("run flow")
    load = collector.one("load")
    assert (load.trace, load.parent) == (run.trace, run.id)
    snapshots = collector.named("snapshot flow.sum")
    assert len({span.about["epoch"] for span in snapshots}) >= len(ALL)
    assert all(span.links == [run.id] for span in snapshots)
    assert collector.named("snapshot flow.numbers")
    commits = sorted(collector.named("commit"), key=lambda span: span.about["epoch"])
    *before, last = commits
    assert before
    for commit in before:
        assert (commit.parent, commit.links) == (b"", [run.id])
        assert commit.took > 0
    assert (last.trace, last.parent) == (run.trace, run.id)


def test_nothing_of_a_sample_of_none(collector):
    tracer = setup_tracing(OtlpTracingConfig("tests", collector.url, 0))
    seen = []

    def double(number):
        with trace.get_tracer(__name__).start_as_current_span("mine") as span:
            seen.append(span.is_recording())
        return 2 * number

    run_main(simple_flow([], double))
    assert tracer.flush()
    assert seen == [False] * len(ALL)
    assert collector.spans == []


def test_run_is_kept_whatever_the_sample(collector):
    setup_tracing(OtlpTracingConfig("tests", collector.url, 1e-12))
    run_main(simple_flow([]))
    assert [span.name for span in collector.spans] == ["run flow"]


def test_sample_keeps_traces_whole(collector):
    setup_tracing(OtlpTracingConfig("tests", collector.url, 0.5))
    flow = Dataflow("flow")
    numbers = op.input("numbers", flow, TestingSource(range(200)))
    op.output("out", op.map("double", numbers, lambda n: 2 * n), TestingSink([]))
    run_main(flow)
    polls = {span.trace for span in collector.named("next_batch flow.numbers")}
    assert 50 < len(polls) < 150
    for name in ("process flow.double", "write_batch flow.out"):
        assert {span.trace for span in collector.named(name)} == polls


def test_second_call_replaces_the_first(collector):
    first = setup_tracing(OtlpTracingConfig("first", collector.url))
    tracer = trace.get_tracer(__name__)
    tracer.start_span("of the first").end()
    with collecting() as other:
        second = setup_tracing(JaegerConfig("second", f"127.0.0.1:{other.port}"))
        tracer.start_span("of the second").end()
        run_main(simple_flow([]))
        first.shutdown()
        second.flush()
        assert {span.service for span in other.spans} == {"second"}
        assert other.one("of the second")
        assert other.one("run flow")
    assert [span.name for span in collector.spans] == ["of the first"]


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("http://here", "here:4317"),
        ("http://[::1]/", "[::1]:4317"),
        ("http://here:1", "here:1"),
        ("here:1", "here:1"),
        # Where TLS is, its own port is the usual one.
        ("https://here", "here"),
    ],
)
def test_usual_port_is_that_of_collectors(monkeypatch, address, reached):
    targets = []

    def insecure(target, **_options):
        targets.append(target)
        return grpc.insecure_channel(target)

    def secure(target, *_args, **_options):
        targets.append(target)
        return grpc.insecure_channel(target)

    monkeypatch.setattr(otlp, "insecure_channel", insecure)
    monkeypatch.setattr(otlp, "secure_channel", secure)
    setup_tracing(OtlpTracingConfig("tests", address)).shutdown()
    assert targets == [reached]


def test_shutdown_ends_it(collector):
    tracer = setup_tracing(OtlpTracingConfig("tests", collector.url))
    tracer.shutdown()
    tracer.shutdown()
    run_main(simple_flow([]))
    trace.get_tracer(__name__).start_span("late").end()
    assert tracer.flush()
    assert collector.spans == []


def test_threads_end_with_what_they_are_for(collector):
    def count():
        return sum(t.name == "millstream-flush" for t in threading.enumerate())

    for _ in range(5):
        tracer = setup_tracing(OtlpTracingConfig("tests", collector.url))
    assert count() >= 1
    tracer.shutdown()
    deadline = time.monotonic() + 10
    while count() > 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_dead_collector_neither_fails_nor_hangs_a_run():
    tracer = setup_tracing(OtlpTracingConfig("tests", f"127.0.0.1:{dead_port()}"))
    out = []
    begun = time.monotonic()
    run_main(simple_flow(out))
    assert out == [2, 6, 8, 10]
    assert time.monotonic() - begun < 10
    begun = time.monotonic()
    tracer.shutdown()
    assert time.monotonic() - begun < 5


FLOW = """
import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource
from millstream.tracing import OtlpTracingConfig, setup_tracing

tracer = setup_tracing(OtlpTracingConfig("flow", "{url}"), "{level}")
flow = Dataflow("flow")
numbers = op.input("numbers", flow, TestingSource(list(range(8)), batch_size=1))
keyed = op.key_on("key", numbers, str)
sums = op.stateful_map("sum", keyed, lambda state, value: (value, value))
op.output("out", op.map("text", sums, str), StdOutSink())
"""


def run_flow(tmp_path, url, *options, level="error", **variables):
    (tmp_path / "flow.py").write_text(FLOW.format(url=url, level=level))
    command = ("-m", "millstream.run", "flow.py", *options)
    return finished(*command, folder=tmp_path, **variables)


def test_dead_collector_does_not_keep_a_process(tmp_path):
    begun = time.monotonic()
    code, out, err = run_flow(tmp_path, f"http://127.0.0.1:{dead_port()}")
    assert time.monotonic() - begun < 20
    assert code == 0, err
    assert len(out.splitlines()) == 8


def test_collector_that_says_nothing_does_not_keep_a_process(tmp_path):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        begun = time.monotonic()
        code, out, err = run_flow(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}")
    assert time.monotonic() - begun < 20
    assert code == 0, err
    assert len(out.splitlines()) == 8


def test_traces_go_from_process_to_process(collector, tmp_path):
    code, out, err = run_flow(tmp_path, collector.url, "-p", "2")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 8
    runs = {span.about["process"]: span for span in collector.named("run flow")}
    assert set(runs) == {0, 1}
    for join in collector.named("join"):
        assert join.parent == runs[join.about["process"]].id
    polls = {span.trace: span for span in collector.named("next_batch flow.numbers")}
    sums = collector.named("on_batch flow.sum")
    # Those that wait together are worked off together.
    assert sum(span.about["items"] for span in sums) == 8
    assert {span.about["process"] for span in sums} == {0, 1}
    assert all(polls[span.trace].id == span.parent for span in sums)


def test_fork_is_not_traced_and_not_harmed(collector, tmp_path):
    program = (
        FLOW.format(url=collector.url, level="error")
        + """
import os, sys
from millstream.testing import run_main
from opentelemetry import trace

trace.get_tracer("mine").start_span("before").end()
tracer.flush()
child = os.fork()
run_main(flow)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    code, out, err = finished("-c", program, folder=tmp_path)
    assert code == 0, err
    assert len(out.splitlines()) == 16
    assert len(collector.named("run flow")) == 1


def test_log_goes_to_standard_output(collector, tmp_path):
    code, out, err = run_flow(tmp_path, collector.url, level="Info")
    assert (code, err) == (0, "")
    lines = [line.split(" ", 1)[1] for line in out.splitlines() if " INFO " in line]
    assert lines == [
        "INFO started, with 1 worker",
        "INFO finished: all sources have ended",
    ]


def test_what_the_command_line_says_of_logs_goes_before(collector, tmp_path):
    options = ("--log-level", "info")
    code, out, err = run_flow(tmp_path, collector.url, *options, level="debug")
    assert code == 0
    assert "INFO" not in out
    assert len(err.splitlines()) == 2


def test_errors_alone_are_logged_by_default(capsys):
    setup_tracing()
    run_main(simple_flow([]))
    assert capsys.readouterr() == ("", "")
    for level in ("ERROR", "warn", "Info", "debug", "TRACE", None):
        assert isinstance(setup_tracing(log_level=level), MillstreamTracer)


def test_configurations_can_be_read_and_not_changed():
    jaeger = JaegerConfig("a")
    assert (jaeger.service_name, jaeger.endpoint, jaeger.sampling_ratio) == (
        "a",
        None,
        1.0,
    )
    otlp = OtlpTracingConfig(service_name="b", url="http://c", sampling_ratio=0.5)
    assert (otlp.service_name, otlp.url, otlp.sampling_ratio) == ("b", "http://c", 0.5)
    for config in (jaeger, otlp):
        assert isinstance(config, TracingConfig)
        with pytest.raises(AttributeError):
            config.sampling_ratio = 0.1
    with pytest.raises(AttributeError):
        jaeger.endpoint = "c"
    with pytest.raises(AttributeError):
        otlp.url = "c"


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: JaegerConfig(7), TypeError, "`service_name` must be a `str`"),
        (lambda: JaegerConfig(""), TypeError, "`service_name` must be a `str`"),
        (lambda: JaegerConfig("a", 7), TypeError, "`endpoint` must be a `str`"),
        (lambda: OtlpTracingConfig("a", 7), TypeError, "`url` must be a `str`"),
        (
            lambda: OtlpTracingConfig("a", "http://"),
            ValueError,
            "`host:port` or as a URL with `http` or `https`; got 'http://'",
        ),
        *(
            (lambda text=text: JaegerConfig("a", text), ValueError, f"got {text!r}")
            for text in (
                *(
                    "",
                    "here",
                    "here:port",
                    "here:65536",
                    "here:",
                    "a b:1",
                    "h\0:1",
                    "-:1",
                ),
                *("udp://here", "http://me:secret@here:1", "http://[::1]x:1"),
                "http://here:1?x",
            )
        ),
        (
            lambda: OtlpTracingConfig("a", None, "half"),
            TypeError,
            "`sampling_ratio` must be a number; got 'half'",
        ),
        (
            lambda: JaegerConfig("a", None, 1.5),
            ValueError,
            "`sampling_ratio` must be from 0 to 1; got 1.5",
        ),
        (
            lambda: setup_tracing(TracingConfig()),
            ValueError,
            "use `JaegerConfig` or `OtlpTracingConfig`",
        ),
        (lambda: setup_tracing("jaeger"), TypeError, "`tracing_config` must be a"),
        (
            lambda: setup_tracing(log_level="loud"),
            ValueError,
            "`log_level` must be one of ERROR, WARN, INFO, DEBUG, TRACE; got 'loud'",
        ),
        (lambda: setup_tracing(log_level=7), TypeError, "`log_level` must be a `str`"),
    ],
)
def test_wrong_arguments_are_refused(make, error, text):
    with pytest.raises(error) as refused:
        make()
    assert text in str(refused.value)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "millstream._spans", raising=False)
    for name in ("opentelemetry", "grpc"):
        for module in list(sys.modules):
            if module.partition(".")[0] == name:
                monkeypatch.setitem(sys.modules, module, None)
    # What needs none of it works.
    setup_tracing(log_level="ERROR")
    with pytest.raises(ModuleNotFoundError) as refused:
        setup_tracing(JaegerConfig("a"))
    assert str(refused.value) == (
        "can't set up tracing, as the module `opentelemetry` isn't installed; install "
        "`millstream[tracing]`"
    )


@pytest.mark.usefixtures("traced")
def test_tracing_that_fails_does_not_fail_the_run(monkeypatch, capsys):
    def fail(*_args):
        msg = "no more spans"
        raise RuntimeError(msg)

    monkeypatch.setattr("millstream._spans.RunSpans.begin", fail)
    out = []
    run_main(simple_flow(out))
    assert out == [2, 6, 8, 10]
    (first, *_) = capsys.readouterr().out.splitlines()
    assert first.endswith("ERROR tracing failed; the run goes on without it")


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("method", ["RunSpans.begin", "CallSpan.end"])
def test_wish_to_stop_is_not_lost_to_tracing(monkeypatch, method):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"millstream._spans.{method}", stop)
    with pytest.raises(KeyboardInterrupt):
        run_main(simple_flow([]))
