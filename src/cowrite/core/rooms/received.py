"""An update as it came from a peer."""

from __future__ import annotations

from dataclasses import dataclass

from cowrite.core.delivery.peer import Peer
from cowrite.core.ports.tracing import EditSpan
from cowrite.core.sessions.session import Session
from cowrite.crdt.outline import Outline


@dataclass(slots=True, eq=False)
class Received:
    """An Update or SyncStep2 that was inspected. It is held, or on its way to the disk. Compared by identity.

    Never changed. Not frozen as the project's other records are: one is made for every keystroke, in a third of the time.
    """

    update: bytes
    outline: Outline
    peer: Peer
    number: int
    """Its number among the messages of its peer."""
    everything: bool
    """It came as SyncStep2."""
    ends: bool = True
    """It is the message, or the last slice of it, and acknowledges it."""
    part: bool = False
    """It is a part of something that carries what others wrote, and does so itself."""

    @property
    def session(self) -> Session:
        """Whose it is."""
        return self.peer.session

    @property
    def size(self) -> int:
        """The bytes of memory for which it counts while it waits: its own, and what is known about it."""
        return len(self.update) + self.outline.weight

    def acknowledge(self, offset: int) -> None:
        """It is durable at that offset."""
        if self.ends:
            self.peer.acknowledgements.commit(self.number, offset, everything=self.everything)

    @property
    def span(self) -> EditSpan | None:
        """What is traced of it. None: nothing is."""
        spans = self.peer.acknowledgements.spans
        return spans.of(self.number) if spans is not None else None

    @property
    def typed_with(self) -> int | None:
        """The Yjs client that its peer types with: the only one of an Update. None: whose it is it does not say, as it brings
        nothing, or carries what others wrote, as a SyncStep2 does, and the copy of a browser's database.
        """
        brings = self.outline.brings
        if self.everything or self.part or not brings:
            return None
        client = brings[0].client
        return client if len(brings) == 1 or all(brought.client == client for brought in brings) else None

    @property
    def carries(self) -> bool:
        """It brings what others may have written."""
        return self.typed_with is None and bool(self.outline.brings)

    @property
    def author(self) -> str:
        """The user id that it is stored under."""
        return self.peer.session.access.user_id
