"""Spans as OpenTelemetry's SDK keeps them in memory, and what tests look for in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanContext, StatusCode


@dataclass(frozen=True, slots=True)
class Traced:
    """What was traced, by a provider of its own."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    def all(self, name: str | None = None) -> list[ReadableSpan]:
        """Those that have ended, in that order."""
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.all(name)
        return span

    def edits(self) -> list[tuple[str, object]]:
        """Of each edit, its dialect, and at which offset it is durable, or why it was refused."""
        spans = [attributes_of(span) for span in self.all("edit")]
        return [(one["cowrite.dialect"], one.get("cowrite.offset", one.get("error.type"))) for one in spans]


@contextmanager
def traced(sampler: Sampler | None = None) -> Iterator[Traced]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield Traced(provider, exporter)
    finally:
        provider.shutdown()


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def is_part_of(span: ReadableSpan, other: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == context_of(other).span_id


def linked(span: ReadableSpan) -> set[int]:
    """The ids of the spans that it is linked to."""
    return {link.context.span_id for link in span.links}


def failed(span: ReadableSpan) -> object:
    """Why; None: it has not."""
    return attributes_of(span)["error.type"] if span.status.status_code is StatusCode.ERROR else None
