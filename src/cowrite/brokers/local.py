"""The broker inside one process. It is complete for a single process; several apps in one process may share a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cowrite.core.ports import Broker, News


class LocalHub:
    """What the brokers of one process have in common."""

    def __init__(self) -> None:
        self.receivers: dict[str, dict[LocalSubscription, Callable[[News], None]]] = {}


class LocalSubscription:
    """One receiver of one document's news."""

    def __init__(self, hub: LocalHub, document_id: str) -> None:
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
        self._subscriptions: list[LocalSubscription] = []

    async def publish(self, news: News) -> None:
        for receive in list(self._hub.receivers.get(news.document_id, {}).values()):
            receive(news)

    async def subscribe(self, document_id: str, receive: Callable[[News], None]) -> LocalSubscription:
        subscription = LocalSubscription(self._hub, document_id)
        self._hub.receivers.setdefault(document_id, {})[subscription] = receive
        self._subscriptions.append(subscription)
        return subscription

    @property
    def reaches_others(self) -> bool:
        return False

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions.clear()


if TYPE_CHECKING:
    _: type[Broker] = LocalBroker
