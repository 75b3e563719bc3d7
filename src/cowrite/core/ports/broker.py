"""The port to other processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cowrite.core.ports.presence import PresenceRecord
from cowrite.core.records import Entry
from cowrite.protocol.awareness import AwarenessEntry


@dataclass(frozen=True, slots=True)
class News:
    """What a process tells the others after COMMIT. ``entries`` is empty when they are too large to send: read the store."""

    document_id: str
    epoch: str
    offset: int
    """The offset of the last entry of this commit."""
    entries: tuple[Entry, ...]
    after: str = ""
    """The id of the entry before the first of these; empty where there is none, or there are no entries. By it a process finds
    that its log is another one: a database that went back to an older copy goes on with the same offsets.
    """


@dataclass(frozen=True, slots=True)
class AwarenessNews:
    """Awareness entries of Yjs clients that are connected to a process, or have just gone from it."""

    document_id: str
    process: str
    entries: tuple[AwarenessEntry, ...]
    users: tuple[str | None, ...]
    """For each entry the user whose own Yjs client it is. None: of others' clients, and of those that are gone."""
    to: str | None = None
    """The process whose query this answers. None: it is news for all."""


@dataclass(frozen=True, slots=True)
class AwarenessLost:
    """A process has lost the connections of these Yjs clients. They may come back, there or elsewhere, or their ends follow."""

    document_id: str
    process: str
    client_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AwarenessQuery:
    """A process has opened the document: the others tell the living states of the clients that are connected to them."""

    document_id: str
    process: str


@dataclass(frozen=True, slots=True)
class PresenceNews:
    """Sessions whose presence a process has written down, and ids of those that it has removed."""

    document_id: str
    process: str
    put: tuple[PresenceRecord, ...]
    removed: tuple[str, ...]
    """Sessions of that process: what another one has of them stays."""
    ended: tuple[str, ...] = ()
    """Sessions that no process answers for."""


@dataclass(frozen=True, slots=True)
class ProcessLeft:
    """A process has closed the document: its clients are gone, or on their way to another process."""

    document_id: str
    process: str


@dataclass(frozen=True, slots=True)
class StatelessNews:
    """A Hocuspocus client's message to all others in the document; nothing keeps it."""

    document_id: str
    process: str
    payload: str


Signal: TypeAlias = AwarenessNews | AwarenessLost | AwarenessQuery | PresenceNews | ProcessLeft | StatelessNews
"""What is only of the moment: nothing stores it. ``process`` is the sender, which ignores its own."""
Receiver: TypeAlias = Callable[[News | Signal], None]
"""A plain call on the event loop."""
Missed: TypeAlias = Callable[[str | None], None]
"""A plain call on the event loop."""


class Subscription(Protocol):
    """A live subscription of one document."""

    async def close(self) -> None:
        """No call to the receiver begins after this has returned. Idempotent."""
        ...


class Broker(Protocol):
    """Carries news and signals between processes. The broker is speed: it may lose, and never is the only place where something
    is.

    Promised: at most once; what one publisher tells about one document in order. Not promised: delivery, order between
    publishers, and that a publisher does not hear its own (receivers ignore what they have).
    """

    async def publish(self, news: News) -> None:
        """Hand news to the subscribers of its document. Never raises: a broker that is down loses news."""
        ...

    def send(self, signal: Signal) -> None:
        """Hand a signal to the subscribers of its document. Synchronous; never blocks, never raises; may lose."""
        ...

    async def subscribe(self, document_id: str, receive: Receiver) -> Subscription:
        """Confirmed when it returns: everything published and sent from then on reaches ``receive``."""
        ...

    @property
    def reaches_others(self) -> bool:
        """True when news crosses processes now; decides how often heads and presence are looked at."""
        ...

    @property
    def degraded(self) -> bool:
        """News should cross processes, and does not now: what others commit has to be looked for all the time."""
        ...

    def listen(self, missed: Missed) -> None:
        """Call ``missed`` whenever something may not have arrived here: with a document's id when it was of that one; with None
        when it may be of any, as when news has ceased to cross processes, and when it does so (again): then all that
        was subscribed is.
        """
        ...

    async def close(self) -> None:
        """Drop all subscriptions."""
        ...
