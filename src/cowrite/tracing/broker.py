"""What other processes are told of a commit, as a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from cowrite.core.ports import Broker, Missed, News, Receiver, Signal, Subscription
from cowrite.tracing.attributes import Value

if TYPE_CHECKING:
    from cowrite.tracing.spans import Spans


class TracedBroker:
    """Another broker, with a span for each publishing of news; signals come and go too often."""

    def __init__(self, broker: Broker, spans: Spans, system: str) -> None:
        """``system``: what OpenTelemetry calls what carries the news."""
        self._broker = broker
        self._spans = spans
        self._system = system

    async def publish(self, news: News) -> None:
        attributes: dict[str, Value] = {
            "messaging.system": self._system,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": news.document_id,
            "messaging.batch.message_count": len(news.entries),
            "cowrite.offset": news.offset,
        }
        with self._spans.part(f"publish {self._system}", SpanKind.PRODUCER, attributes):
            await self._broker.publish(news)

    def send(self, signal: Signal) -> None:
        self._broker.send(signal)

    async def subscribe(self, document_id: str, receive: Receiver) -> Subscription:
        return await self._broker.subscribe(document_id, receive)

    @property
    def reaches_others(self) -> bool:
        return self._broker.reaches_others

    @property
    def degraded(self) -> bool:
        return self._broker.degraded

    def listen(self, missed: Missed) -> None:
        self._broker.listen(missed)

    async def close(self) -> None:
        await self._broker.close()


if TYPE_CHECKING:
    _: type[Broker] = TracedBroker
