"""Traces: where the time of a batch goes, step by step, and on which worker.

`setup_tracing` sends what runs of this process do to a collector of
[OpenTelemetry](https://opentelemetry.io), such as Jaeger. It needs the extra
``millstream[tracing]``.

A trace is what became of one batch of a source, up to the sinks. Spans that your
functions make with the API of OpenTelemetry are within those of the steps that call
them.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import final, override

from millstream import _tracing
from millstream._logging import TRACE, log_to_stdout

if TYPE_CHECKING:
    from millstream._spans import Exporting

_T = TypeVar("_T")

__all__ = [
    "JaegerConfig",
    "MillstreamTracer",
    "OtlpTracingConfig",
    "TracingConfig",
    "setup_tracing",
]

_LEVELS = {
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": TRACE,
}
_COLLECTOR = re.compile(
    r"(?P<scheme>https?://)?(\w[\w.-]*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_PATIENCE = 5.0
"""For how many seconds to wait for a collector."""


class TracingConfig:
    """What configurations have in common. By itself, it says nothing of where to."""


class _Collector(TracingConfig):
    """A configuration that names a collector."""

    def __init__(
        self,
        service_name: str,
        address: str | None,
        sampling_ratio: float,
        *,
        name: str,
    ) -> None:
        self._service_name = _checked(
            isinstance(service_name, str) and service_name != "",
            service_name,
            "`service_name` must be a `str` that isn't empty",
        )
        self._name_of_address = name
        self._address = _checked(
            address is None or isinstance(address, str),
            address,
            f"`{name}` must be a `str` or `None`",
        )
        if address is not None and not _is_collector(address):
            msg = (
                f"`{name}` must be where a collector takes OTLP over gRPC, as "
                f"`host:port` or as a URL with `http` or `https`; got {address!r}"
            )
            raise ValueError(msg)
        is_number = isinstance(sampling_ratio, (int, float))
        self._sampling_ratio = float(
            _checked(
                is_number and not isinstance(sampling_ratio, bool),
                sampling_ratio,
                "`sampling_ratio` must be a number",
            )
        )
        if not 0 <= self._sampling_ratio <= 1:
            msg = f"`sampling_ratio` must be from 0 to 1; got {sampling_ratio!r}"
            raise ValueError(msg)

    @property
    def service_name(self) -> str:
        """What the traces are found under."""
        return self._service_name

    @property
    def sampling_ratio(self) -> float:
        """Which part of all traces is kept, from 0 to 1."""
        return self._sampling_ratio

    @override
    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(service_name={self.service_name!r}, "
            f"{self._name_of_address}={self._address!r}, "
            f"sampling_ratio={self.sampling_ratio!r})"
        )


@final
class JaegerConfig(_Collector):
    """Send traces to Jaeger, which takes OTLP since its version 1.35.

    Args:
        service_name: What the traces are found under.
        endpoint: Where Jaeger takes OTLP over gRPC: ``host:port``, or a URL. By default
            what the variables of OpenTelemetry say (``OTEL_EXPORTER_OTLP_ENDPOINT``),
            or else ``localhost:4317``.
        sampling_ratio: Which part of all traces is kept, from 0 to 1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If nothing can be at `endpoint`, or there is no such part.

    Examples:
        >>> JaegerConfig("orders", sampling_ratio=0.1)
        JaegerConfig(service_name='orders', endpoint=None, sampling_ratio=0.1)
    """

    def __init__(
        self,
        service_name: str,
        endpoint: str | None = None,
        sampling_ratio: float = 1.0,
    ) -> None:
        super().__init__(service_name, endpoint, sampling_ratio, name="endpoint")

    @property
    def endpoint(self) -> str | None:
        """Where Jaeger takes OTLP."""
        return self._address


@final
class OtlpTracingConfig(_Collector):
    """Send traces to a collector that takes OTLP over gRPC.

    Args:
        service_name: What the traces are found under.
        url: Where the collector is, such as ``http://localhost:4317``; with ``https``, over
            TLS. By default what the variables of OpenTelemetry say
            (``OTEL_EXPORTER_OTLP_ENDPOINT``), or else that.
        sampling_ratio: Which part of all traces is kept, from 0 to 1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If nothing can be at `url`, or there is no such part.

    Examples:
        >>> OtlpTracingConfig("orders", "http://collector:4317")
        OtlpTracingConfig(service_name='orders', url='http://collector:4317', sampling_ratio=1.0)
    """  # noqa: E501 # What Python shows is one line.

    def __init__(
        self,
        service_name: str,
        url: str | None = None,
        sampling_ratio: float = 1.0,
    ) -> None:
        super().__init__(service_name, url, sampling_ratio, name="url")

    @property
    def url(self) -> str | None:
        """Where the collector is."""
        return self._address


@final
class MillstreamTracer:
    """Tracing that was set up; `setup_tracing` makes it.

    It goes on until `shutdown`, the next `setup_tracing`, or the end of the program,
    whether anybody holds on to this object or not.
    """

    def __init__(self, exporting: Exporting | None) -> None:
        self._exporting = exporting

    def flush(self, timeout: float = _PATIENCE) -> bool:
        """Send all spans that have ended. Runs do that at their end.

        Args:
            timeout: How many seconds to wait, at most.

        Returns:
            Whether all of it was sent, or given up by the exporter, in time.
        """
        return self._exporting is None or self._exporting.flush(timeout)

    def shutdown(self, timeout: float = _PATIENCE) -> None:
        """Send all spans that have ended, and trace nothing from now on.

        Args:
            timeout: How many seconds to wait, at most.
        """
        if self._exporting is not None:
            _tracing.forget(self._exporting)
            self._exporting.shutdown(timeout)


def setup_tracing(
    tracing_config: TracingConfig | None = None, log_level: str | None = None
) -> MillstreamTracer:
    """Trace the runs of this process from now on, and log to standard output.

    Called again, it replaces what was set up before: the spans so far are sent to where
    they were to go, and later ones to the new place.

    Args:
        tracing_config: Where traces go: a `JaegerConfig` or an `OtlpTracingConfig`.
            Without one, there are none.
        log_level: From which level on millstream logs to standard output: ``"ERROR"``,
            ``"WARN"``, ``"INFO"``, ``"DEBUG"`` or ``"TRACE"``, in upper or lower case;
            ``"ERROR"`` by default. What the command line says of logs goes before.

    Returns:
        What can be flushed, and shut down.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `tracing_config` says nothing of where to, or there is no such
            level.
        ModuleNotFoundError: If the extra isn't installed.

    Examples:
        >>> tracer = setup_tracing(log_level="warn")
        >>> tracer.shutdown()
    """
    level = _level(log_level)
    exporting = _exporting(tracing_config)
    before = _tracing.replace(exporting)
    if before is not None:
        before.shutdown(_PATIENCE)
    log_to_stdout(level)
    return MillstreamTracer(exporting)


def _level(log_level: str | None) -> int:
    if log_level is None:
        return logging.ERROR
    checked = _checked(
        isinstance(log_level, str), log_level, "`log_level` must be a `str` or `None`"
    )
    level = _LEVELS.get(checked.upper())
    if level is None:
        msg = f"`log_level` must be one of {', '.join(_LEVELS)}; got {log_level!r}"
        raise ValueError(msg)
    return level


def _exporting(config: TracingConfig | None) -> Exporting | None:
    """What a configuration asks for."""
    if config is None:
        return None
    if type(config) is TracingConfig:
        msg = (
            "can't set up tracing by a bare `TracingConfig`, which doesn't say where "
            "traces go; use `JaegerConfig` or `OtlpTracingConfig`"
        )
        raise ValueError(msg)
    if not isinstance(config, (JaegerConfig, OtlpTracingConfig)):
        msg = (
            "`tracing_config` must be a `JaegerConfig`, an `OtlpTracingConfig` or "
            f"`None`; got {config!r}"
        )
        raise TypeError(msg)
    try:
        # Only who traces needs it.
        from millstream._spans import Exporting  # noqa: PLC0415
    except ModuleNotFoundError as ex:
        if not (ex.name or "").startswith(("opentelemetry", "grpc")):
            raise
        msg = (
            f"can't set up tracing, as the module `{ex.name}` isn't installed; install "
            "`millstream[tracing]`"
        )
        raise ModuleNotFoundError(msg, name=ex.name) from ex
    address = config.endpoint if isinstance(config, JaegerConfig) else config.url
    return Exporting(config.service_name, address, config.sampling_ratio)


def _is_collector(address: str) -> bool:
    """Whether a text can be where a collector is.

    Examples:
        >>> [_is_collector(text) for text in ("localhost:4317", "https://[::1]")]
        [True, True]
        >>> [_is_collector(text) for text in ("", "ftp://here", "here:port", "a b")]
        [False, False, False, False]
    """
    found = _COLLECTOR.fullmatch(address)
    if found is None or not (found["scheme"] or found["port"]):
        return False
    return found["port"] is None or 0 < int(found["port"]) < 1 << 16


def _checked(is_fine: bool, value: _T, rule: str) -> _T:  # noqa: FBT001
    if not is_fine:
        msg = f"{rule}; got {value!r}"
        raise TypeError(msg)
    return value
