"""A collector of OpenTelemetry in this process, which takes spans over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status


class Received:
    """A span as the collector got it."""

    def __init__(self, span, service):
        self.name = span.name
        self.service = service
        self.trace = span.trace_id
        self.id = span.span_id
        self.parent = span.parent_span_id
        self.took = span.end_time_unix_nano - span.start_time_unix_nano
        self.links = [link.span_id for link in span.links]
        self.is_error = span.status.code == Status.STATUS_CODE_ERROR
        self.text = span.status.message
        self.events = [event.name for event in span.events]
        self.about = {
            each.key.removeprefix("millstream."): value_of(each.value)
            for each in span.attributes
        }


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


class Collector(TraceServiceServicer):
    """Takes spans."""

    def __init__(self):
        self.port = 0
        self.spans = []

    def Export(self, request, _context):  # noqa: N802 # The protocol's name.
        for resource in request.resource_spans:
            about = {each.key: each.value for each in resource.resource.attributes}
            service = about["service.name"].string_value
            self.spans += [
                Received(span, service)
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return ExportTraceServiceResponse()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector
    server.stop(None).wait()
