"""Spans in OpenTelemetry's terms: the port :class:`cowrite.core.ports.tracing.Tracing`, and what adapters need besides.

Names and attributes are those of OpenTelemetry's semantic conventions (1.3x: HTTP, database, messaging) where these have some,
and ``cowrite.…`` else. An exception is told by its class alone: messages may hold anything, SQL with its parameters, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cowrite.core.ports import Broker, Storage
from cowrite.core.ports.tracing import CommitSpan, EditSpan, Tracing
from cowrite.tracing.attributes import DOCUMENT, Value
from cowrite.tracing.broker import TracedBroker
from cowrite.tracing.store import TracedStore

_SOCKET: Final = create_key("cowrite.socket")
"""The host's span for the socket that is served."""
_VERSION: Final = version("cowrite")
_ERROR: Final = "error.type"
_FAILED: Final = Status(StatusCode.ERROR)

_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
"""W3C's ``traceparent`` alone. Nobody here asks for baggage, and the time to read it grows with the square of its size."""


class Spans:
    """See the module's docstring."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """``provider``: None, the one of the process, whichever it is when the first span begins."""
        self._tracer = trace.get_tracer("cowrite", _VERSION, provider)

    # ---- the port ----------------------------------------------------------------------------------------------------

    def edit(self, document_id: str, session_id: str, dialect: str) -> TracedEdit:
        attributes: dict[str, Value] = {
            "messaging.system": "cowrite",
            "messaging.operation.name": "edit",
            "messaging.operation.type": "process",
            "session.id": session_id,
            "cowrite.dialect": dialect,
            DOCUMENT: document_id,
        }
        context: Context | None = None
        links: tuple[Link, ...] = ()
        if isinstance(host := get_value(_SOCKET), SpanContext):
            context, links = Context(), (Link(host),)
        span = self._tracer.start_span("edit", context, SpanKind.CONSUMER, attributes, links)
        return TracedEdit(span)

    @contextmanager
    def commit(self, edits: Iterable[EditSpan]) -> Iterator[TracedCommit]:
        """A child of the first edit that is recorded, so that a sampler which takes an edit takes its commit; and linked to all
        recorded ones that it holds.
        """
        with self._during("commit", _context(_first_recorded(edits))) as span:
            yield TracedCommit(span)

    @contextmanager
    def opening(self, document_id: str) -> Iterator[None]:
        with self._during("open", attributes={DOCUMENT: document_id}):
            yield

    @contextmanager
    def importing(self, edit: EditSpan | None, document_id: str, size: int) -> Iterator[None]:
        attributes: dict[str, Value] = {DOCUMENT: document_id, "messaging.message.body.size": size}
        with self._during("import", _context(_span_of(edit)), attributes=attributes):
            yield

    # ---- what adapters need ------------------------------------------------------------------------------------------

    @contextmanager
    def socket(self) -> Iterator[None]:
        """A socket is served while the block runs. It lives for hours, and so does the span that a host may have for it: its
        edits begin traces of their own, each asked of the sampler, and are linked to that span.
        """
        host = trace.get_current_span().get_span_context()
        token = attach(set_value(_SOCKET, host if host.is_valid else None))
        try:
            yield
        finally:
            detach(token)

    def storage(self, storage: Storage) -> Storage:
        """The same, whose work for what is current is a part of that."""
        return replace(storage, store=TracedStore(storage.store, self, storage.system))

    def broker(self, broker: Broker, system: str) -> Broker:
        """The same, as :meth:`storage`. ``system``: what OpenTelemetry calls what carries the news."""
        return TracedBroker(broker, self, system)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, list[str]], attributes: Mapping[str, Value]) -> Iterator[Span]:
        """A request of HTTP. Where something is current, the server's or the host's span for the same request, it is a part of
        that; else of what its ``traceparent`` says.
        """
        within = _is_within()
        context = None if within else _TRACE_CONTEXT.extract(headers)
        with self._during(
            method, context, kind=SpanKind.INTERNAL if within else SpanKind.SERVER, attributes=attributes
        ) as span:
            yield span

    @contextmanager
    def part(self, name: str, kind: SpanKind, attributes: Mapping[str, Value]) -> Iterator[Span | None]:
        """A part of what is current. None: nothing is, and what nobody has asked for is not traced."""
        if not _is_within():
            yield None
            return
        with self._during(name, kind=kind, attributes=attributes) as span:
            yield span

    @contextmanager
    def _during(
        self,
        name: str,
        context: Context | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Value] | None = None,
    ) -> Iterator[Span]:
        span = self._tracer.start_span(name, context, kind, attributes)
        try:
            with _current(span):
                yield span
        except BaseException as error:
            fail(span, type(error).__name__)
            raise
        finally:
            span.end()


class TracedEdit:
    """The port :class:`cowrite.core.ports.tracing.EditSpan`."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span

    def durable(self, offset: int) -> None:
        self.span.set_attribute("cowrite.offset", offset)
        self.span.end()

    def refused(self, code: str) -> None:
        fail(self.span, code)
        self.span.end()


class TracedCommit:
    """The port :class:`cowrite.core.ports.tracing.CommitSpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._held = 0

    def holds(self, edit: EditSpan) -> None:
        self._held += 1
        held = _span_of(edit)
        if held is not None and held.is_recording():
            self._span.add_link(held.get_span_context())

    def committed(self, *, documents: int, entries: int) -> None:
        self._span.set_attribute("messaging.batch.message_count", self._held)
        self._span.set_attribute("cowrite.documents", documents)
        self._span.set_attribute("cowrite.entries", entries)

    def current(self) -> AbstractContextManager[None]:
        return _current(self._span)


def fail(span: Span, code: str) -> None:
    """It has come to nothing, and ``code`` says why."""
    span.set_status(_FAILED)
    span.set_attribute(_ERROR, code)


@contextmanager
def _current(span: Span) -> Iterator[None]:
    # The message of an exception is no attribute, see above.
    with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
        yield


def _is_within() -> bool:
    return trace.get_current_span().get_span_context().is_valid


def _span_of(edit: EditSpan | None) -> Span | None:
    return edit.span if isinstance(edit, TracedEdit) else None


def _first_recorded(edits: Iterable[EditSpan]) -> Span | None:
    """Where none is recorded, any: then neither is what is a part of it."""
    found = None
    for edit in edits:
        found = _span_of(edit)
        if found is not None and found.is_recording():
            break
    return found


def _context(parent: Span | None) -> Context | None:
    return trace.set_span_in_context(parent, Context()) if parent is not None else None


if TYPE_CHECKING:
    _: type[Tracing] = Spans
    _edit: type[EditSpan] = TracedEdit
    _commit: type[CommitSpan] = TracedCommit
