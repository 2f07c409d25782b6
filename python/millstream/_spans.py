"""What a run does, as spans of OpenTelemetry.

The engine tells `RunSpans` of each call as it begins, and a `CallSpan` when it is
over; in between, that span is the current one, so that spans of the user's functions
are within it.

Which spans are one trace, the engine decides: what became of one batch of a source. The
span of the run is a trace of its own, to which all others have a link, since a stream
need not end. It is kept even if most traces are left out.
"""

from __future__ import annotations

import atexit
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)
from opentelemetry.util._decorator import _agnosticcontextmanager
from typing_extensions import override

import millstream

__all__ = ["CallSpan", "Exporting", "RunSpans"]

Origin = tuple[int, int, bool]
"""A trace, the span that began it, and whether it is kept."""

Site = tuple[str, list[str], int]
"""A step, all steps that are done with it, and the worker."""

_PATIENCE = 5.0
"""For how many seconds a run may wait for a collector at its end."""

_QUEUE = 1 << 14
"""How many spans may wait to be sent: about a second of a busy flow."""

_LACKS_PORT = re.compile(r"http://([^:/\[]+|\[.*\])/?", re.IGNORECASE)
"""Without one, gRPC takes that of HTTPS, where no collector listens in the clear."""

_CALL = contexts.create_key("millstream-call")


class CallSpan:
    """A call that has begun."""

    def __init__(self, span: Span, parent: Context, *, is_poll: bool) -> None:
        self.has_children = False
        self._span = span
        self._is_poll = is_poll
        here = contexts.set_value(_CALL, self, parent)
        self._token = contexts.attach(trace.set_span_in_context(span, here))

    @property
    def origin(self) -> Origin:
        """What a trace that begins with it is known by."""
        own = self._span.get_span_context()
        return own.trace_id, own.span_id, own.trace_flags.sampled

    def end(
        self, items: int | None, failed: str | None, error: BaseException | None
    ) -> None:
        """End it.

        Args:
            items: How many items it was, if only the end could tell.
            failed: What went wrong, if anything did.
            error: What was raised.
        """
        contexts.detach(self._token)
        if failed is not None:
            _fail(self._span, failed, error)
        elif self._is_poll and not items and not self.has_children:
            # A source that has nothing is asked a thousand times a second.
            return
        if items is not None:
            self._span.set_attribute("millstream.items", items)
        self._span.end()


class RunSpans:
    """The spans of one run."""

    def __init__(self, exporting: Exporting, flow_id: str, process: int) -> None:
        self._exporting = exporting
        self._tracer = exporting.tracer
        self._about: dict[str, Any] = {
            "millstream.flow": flow_id,
            "millstream.process": process,
        }
        # It may be a part of something that the caller traces.
        self._span = exporting.run_tracer.start_span(
            f"run {flow_id}", attributes=self._about
        )
        self._context = trace.set_span_in_context(self._span)
        self._links = [Link(self._span.get_span_context())]

    def begin(
        self,
        name: str,
        site: Site | None,
        epoch: int | None,
        items: int | None,
        origin: Origin | None,
    ) -> CallSpan:
        """Begin a call.

        Args:
            name: What is done.
            site: Where; if nowhere, it is a part of the run.
            epoch: The epoch that it is done in, or for.
            items: How many items it is done with.
            origin: The trace that it belongs to, if there is one.

        Returns:
            What is to be told of its end.
        """
        if site is None:
            span = self._start(name, self._context, epoch=epoch)
            return CallSpan(span, self._context, is_poll=False)
        parent = Context() if origin is None else _within(origin)
        if origin is not None and not origin[2]:
            # Not kept: all there is to know is that its children aren't either.
            return CallSpan(trace.get_current_span(parent), parent, is_poll=False)
        step, steps, worker = site
        about: dict[str, Any] = {
            "millstream.step": step,
            "millstream.steps": steps,
            "millstream.worker": worker,
        }
        if items is not None:
            about["millstream.items"] = items
        span = self._start(f"{name} {step}", parent, epoch=epoch, about=about)
        return CallSpan(span, parent, is_poll=name == "next_batch")

    def committed(self, epoch: int, nanoseconds: int) -> None:
        """An epoch is kept.

        Args:
            epoch: Which.
            nanoseconds: How long ago the worker was done with it.
        """
        begun = time.time_ns() - nanoseconds
        self._start("commit", Context(), epoch=epoch, start_time=begun).end()

    def end(self, error: BaseException | None) -> None:
        """The run ends. Waits a while for its spans to be sent.

        Args:
            error: Why it has failed, if it has.
        """
        if error is not None:
            _fail(self._span, str(error), error)
        self._span.end()
        self._exporting.flush(_PATIENCE)

    def _start(
        self,
        name: str,
        parent: Context,
        *,
        epoch: int | None,
        about: dict[str, Any] | None = None,
        start_time: int | None = None,
    ) -> Span:
        attributes = {**self._about, **(about or {})}
        if epoch is not None:
            attributes["millstream.epoch"] = epoch
        return self._tracer.start_span(
            name,
            parent,
            attributes=attributes,
            # The span of the run is above its parts anyway.
            links=None if parent is self._context else self._links,
            start_time=start_time,
        )


def _within(origin: Origin) -> Context:
    """A context in which spans belong to a trace."""
    trace_id, span_id, is_kept = origin
    flags = TraceFlags(TraceFlags.SAMPLED if is_kept else TraceFlags.DEFAULT)
    first = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(first), Context())


def _fail(span: Span, text: str, error: BaseException | None) -> None:
    span.set_status(Status(StatusCode.ERROR, text))
    if error is not None:
        span.record_exception(error)


class Exporting:
    """Sends spans to a collector, in threads of its own."""

    def __init__(self, service_name: str, address: str | None, ratio: float) -> None:
        if address is not None and "://" not in address:
            address = f"http://{address}"
        if address is not None and _LACKS_PORT.fullmatch(address):
            address = f"{address.rstrip('/')}:4317"
        self._exporter = _Exporter(endpoint=address)
        is_set = "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=None if is_set else _QUEUE
        )
        self._flusher = _Flusher(self._processor)
        self._has_hung = False
        self._is_over = False
        self._process = os.getpid()
        resource = Resource.create({"service.name": service_name})
        sampler = TraceIdRatioBased(ratio)
        self._provider = self._provide(resource, ParentBased(sampler))
        of_runs = ParentBased(ALWAYS_ON if ratio > 0 else sampler)
        version = millstream.__version__
        self.tracer = self._provider.get_tracer("millstream", version)
        self.run_tracer = self._provide(resource, of_runs).get_tracer(
            "millstream", version
        )
        _users_provider.follow(self._provider)
        atexit.register(self.shutdown)

    @property
    def is_forked(self) -> bool:
        """Whether its threads, and its connection, are in a parent of this process."""
        return self._process != os.getpid()

    def begin_run(self, flow_id: str, process: int) -> RunSpans | None:
        """Begin to trace a run.

        Args:
            flow_id: The id of its dataflow.
            process: Which of several processes this is.

        Returns:
            What is to be told of its calls; nothing in a fork.
        """
        return None if self.is_forked else RunSpans(self, flow_id, process)

    def flush(self, timeout: float) -> bool:
        """Send all spans that have ended.

        Args:
            timeout: How many seconds to wait, at most.

        Returns:
            Whether they were sent, or given up, in time.
        """
        if self._is_over:
            return True
        self._has_hung = self.is_forked or not self._flusher.flush(timeout)
        return not self._has_hung

    def shutdown(self, timeout: float = _PATIENCE) -> None:
        """Send all spans that have ended, and take no more.

        Args:
            timeout: How many seconds to wait, at most.
        """
        atexit.unregister(self.shutdown)
        _users_provider.leave(self._provider)
        if self.is_forked or self._is_over:
            return
        # Who has been waited for once, to no avail, isn't waited for again.
        if not self._has_hung:
            self.flush(timeout)
        # First, so that whatever is being tried is given up.
        self._exporter.shutdown()
        self._processor.shutdown()  # type: ignore[no-untyped-call]
        self._flusher.end()
        self._is_over = True

    def _provide(self, resource: Resource, sampler: ParentBased) -> TracerProvider:
        provider = TracerProvider(
            sampler=sampler, resource=resource, shutdown_on_exit=False
        )
        provider.add_span_processor(_Children())
        provider.add_span_processor(self._processor)
        return provider


class _Exporter(OTLPSpanExporter):
    """Can be shut down before its processor does it, and says nothing of that."""

    _is_shut = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._is_shut else super().export(spans)

    @override
    def shutdown(self, *_args: Any, **_kwargs: Any) -> None:
        if not self._is_shut:
            self._is_shut = True
            super().shutdown()


class _Children(SpanProcessor):
    """Notes which calls of the engine have spans within."""

    @override
    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        call = contexts.get_value(_CALL, parent_context)
        if isinstance(call, CallSpan):
            call.has_children = True

    @override
    def on_end(self, span: ReadableSpan) -> None:
        pass


class _Flusher:
    """Has a processor send what it has, and waits for that no longer than asked to.

    The SDK's own `force_flush` waits for as long as an export takes, with all its
    attempts. The thread is there from the start, as none can be started at the exit.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor
        self._asked: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._work, name="millstream-flush", daemon=True
        ).start()

    def flush(self, timeout: float) -> bool:
        is_done = threading.Event()
        self._asked.put(is_done)
        return is_done.wait(timeout)

    def end(self) -> None:
        """Let the thread end, once it has sent what it was asked to."""
        self._asked.put(None)

    def _work(self) -> None:
        while (is_done := self._asked.get()) is not None:
            self._processor.force_flush()
            is_done.set()


class _UsersProvider(trace.TracerProvider):
    """What the user's own spans are made by: whatever was last set up, or nothing.

    OpenTelemetry has one provider for all of a process, and never another.
    """

    def __init__(self) -> None:
        self.now: trace.TracerProvider = trace.NoOpTracerProvider()

    def follow(self, provider: TracerProvider) -> None:
        self.now = provider
        # A provider that the user has set up stays.
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self)

    def leave(self, provider: TracerProvider) -> None:
        if self.now is provider:
            self.now = trace.NoOpTracerProvider()

    @override
    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return _UsersTracer(self, args, kwargs)


class _UsersTracer(Tracer):
    """A tracer of whatever provider there is now."""

    def __init__(
        self, provider: _UsersProvider, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._provider = provider
        self._args = args
        self._kwargs = kwargs
        self._of: trace.TracerProvider | None = None
        self._tracer: Tracer = trace.NoOpTracer()

    def _now(self) -> Tracer:
        now = self._provider.now
        if self._of is not now:
            self._tracer = now.get_tracer(*self._args, **self._kwargs)
            self._of = now
        return self._tracer

    @override
    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return self._now().start_span(*args, **kwargs)

    @override
    @_agnosticcontextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Iterator[Span]:
        with self._now().start_as_current_span(*args, **kwargs) as span:
            yield span


_users_provider = _UsersProvider()
