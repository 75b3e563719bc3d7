"""Where the traces of cowrite's own server go: to a collector, by OTLP over HTTP, as the ``OTEL_…`` variables say.

They are OpenTelemetry's own, and its SDK reads them: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (http://localhost:4318),
``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_SERVICE_NAME`` (cowrite), ``OTEL_TRACES_SAMPLER`` and so on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import structlog

from cowrite.tracing import TracingMissing

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import TracerProvider

_LAST_SECONDS: Final = 5.0
"""How long the last spans may take to be sent when a server stops. A collector that is away must not hold it up."""
_UNNAMED: Final = "unknown_service"
"""How the SDK begins the name of a service that nobody has named."""

_log = structlog.get_logger(__name__)


@contextmanager
def sending(*, wanted: bool) -> Iterator[TracerProvider | None]:
    """A provider whose spans are sent while the block runs, by a thread, and the last ones at its end. None: not wanted.

    Raises :class:`TracingMissing`.
    """
    if not wanted:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracingMissing from None
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider
    finally:
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(_LAST_SECONDS)
        if closing.is_alive():
            _log.warning("the last traces were not sent: the collector does not take them", seconds=_LAST_SECONDS)


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    found = Resource.create()
    if not str(found.attributes.get("service.name", "")).startswith(_UNNAMED):
        return found
    return found.merge(Resource({"service.name": "cowrite", "service.version": version("cowrite")}))
