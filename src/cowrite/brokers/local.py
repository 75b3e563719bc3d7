"""The broker inside one process. It is complete for a single process; several apps in one process may share a hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cowrite.core.ports import Broker, Missed, News, Receiver, Signal


class LocalHub:
    """What the brokers of one process have in common."""

    def __init__(self) -> None:
        self.receivers: dict[str, dict[LocalSubscription, Receiver]] = {}
        """By document, in the order of subscribing."""


class LocalSubscription:
    """One receiver of one document's news."""

    def __init__(self, broker: LocalBroker, hub: LocalHub, document_id: str) -> None:
        self.broker = broker
        self._hub = hub
        self._document_id = document_id

    async def close(self) -> None:
        receivers = self._hub.receivers.get(self._document_id, {})
        receivers.pop(self, None)
        if not receivers:
            self._hub.receivers.pop(self._document_id, None)


class LocalBroker:
    """Calls the receivers at once. The publisher's own receivers hear it, too, and ignore what they have."""

    def __init__(self, hub: LocalHub | None = None) -> None:
        self._hub = hub if hub is not None else LocalHub()

    async def publish(self, news: News) -> None:
        self._hand_over(news)

    def send(self, signal: Signal) -> None:
        self._hand_over(signal)

    async def subscribe(self, document_id: str, receive: Receiver) -> LocalSubscription:
        subscription = LocalSubscription(self, self._hub, document_id)
        self._hub.receivers.setdefault(document_id, {})[subscription] = receive
        return subscription

    def _hand_over(self, told: News | Signal) -> None:
        for receive in list(self._hub.receivers.get(told.document_id, {}).values()):
            try:
                receive(told)
            except Exception as error:
                # A receiver's fault is neither the publisher's nor the other receivers': it goes where those of callbacks go.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"news of document {told.document_id!r} not taken by {receive!r}", "exception": error}
                )

    @property
    def reaches_others(self) -> bool:
        return False

    @property
    def degraded(self) -> bool:
        return False  # nobody has asked for more

    def listen(self, missed: Missed) -> None:
        """Nothing is ever missed."""

    async def close(self) -> None:
        everybodys = [subscription for receivers in self._hub.receivers.values() for subscription in receivers]
        for subscription in everybodys:
            if subscription.broker is self:
                await subscription.close()


if TYPE_CHECKING:
    _: type[Broker] = LocalBroker
