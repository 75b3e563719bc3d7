"""The spans of one peer's messages while it is not known what becomes of them."""

from __future__ import annotations

from collections.abc import Container

from cowrite.core.ports.tracing import EditSpan, Tracing
from cowrite.core.sessions.session import Session


class EditSpans:
    """By the numbers that :class:`Acknowledgements` gives, which knows the end of each message."""

    def __init__(self, tracing: Tracing, session: Session, dialect: str) -> None:
        self._tracing = tracing
        self._session = session
        self._dialect = dialect
        self._spans: dict[int, EditSpan] = {}

    def begin(self, number: int) -> None:
        """A message has come."""
        self._spans[number] = self._tracing.edit(self._session.document_id, self._session.id, self._dialect)

    def of(self, number: int) -> EditSpan | None:
        """The span of a message. None: it brought nothing, or what became of it is known already."""
        return self._spans.get(number)

    def durable(self, number: int, offset: int) -> None:
        """The message is durable at that offset. What was refused before stays refused."""
        if (span := self._spans.pop(number, None)) is not None:
            span.durable(offset)

    def refused(self, number: int, code: str) -> None:
        """The message is not taken as it came. Idempotent; the first code counts."""
        if (span := self._spans.pop(number, None)) is not None:
            span.refused(code)

    def lost(self, pending: Container[int]) -> None:
        """The peer has gone: nothing becomes of its messages but of those that are on their way to the disk."""
        for number in [number for number in self._spans if number not in pending]:
            self.refused(number, "connection_lost")
