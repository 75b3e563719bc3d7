"""The port to other processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cowrite.core.records import Entry


@dataclass(frozen=True, slots=True)
class News:
    """What a process tells the others after COMMIT. ``entries`` is empty when they are too large to send: read the store."""

    document_id: str
    epoch: str
    offset: int
    """The offset of the last entry of this commit."""
    entries: tuple[Entry, ...]


class Subscription(Protocol):
    """A live subscription of one document."""

    async def close(self) -> None:
        """No call to the receiver begins after this has returned. Idempotent."""
        ...


class Broker(Protocol):
    """Carries news between processes. The broker is speed: it may lose, and never is the only place where something is.

    Promised: at most once; news of one publisher about one document in order. Not promised: delivery, order between
    publishers, and that a publisher does not hear its own news (receivers ignore what they have).
    """

    async def publish(self, news: News) -> None:
        """Hand news to the subscribers of its document. Never raises: a broker that is down loses news."""
        ...

    async def subscribe(self, document_id: str, receive: Callable[[News], None]) -> Subscription:
        """Confirmed when it returns: everything published from then on reaches ``receive`` (a plain call on the event loop)."""
        ...

    @property
    def reaches_others(self) -> bool:
        """True when news crosses processes now; decides how often heads are polled."""
        ...

    async def close(self) -> None:
        """Drop all subscriptions."""
        ...
