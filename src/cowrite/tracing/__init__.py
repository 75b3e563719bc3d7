"""Traces by OpenTelemetry: what happens to a request and to an edit on its way to the disk, and how long each step takes.

What makes spans knows OpenTelemetry's API alone, which FastAPI brings, and is imported where they are wanted. The SDK and an
exporter, the extra ``otel``, are for cowrite's own server; inside another application that one has its own.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from cowrite.tracing.spans import Spans
else:
    Spans = TracerProvider = object  # others name them in annotations, which nobody evaluates

__all__ = ["INSTALL", "Spans", "TracerProvider", "TracingMissing", "is_installed", "open_spans"]

INSTALL: Final = "pip install 'cowrite[otel]'"
"""What to do where the packages are missing."""


class TracingMissing(Exception):
    """Traces are wanted, and OpenTelemetry is not installed. The message says what to do."""

    def __init__(self) -> None:
        super().__init__(f"COWRITE_TRACE is true, and OpenTelemetry is not installed; install it with:  {INSTALL}")


def open_spans(provider: TracerProvider | None, *, wanted: bool) -> Spans | None:
    """Whatever makes the spans of one application, with this provider (None: the one of the process); None: nothing does.

    ``wanted``: also without a provider. Raises :class:`TracingMissing`.
    """
    if provider is None and not wanted:
        return None
    try:
        from cowrite.tracing import spans  # here: it knows OpenTelemetry, which need not be installed
    except ImportError:
        raise TracingMissing from None
    return spans.Spans(provider)


def is_installed() -> bool:
    """Whether a server of cowrite's own can send traces: the SDK and the exporter are there."""
    try:
        return find_spec("opentelemetry.sdk") is not None and find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ImportError:  # what they are in is not there
        return False
