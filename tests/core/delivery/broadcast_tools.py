"""Peers on fake wires, and what they were told."""

from __future__ import annotations

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import Arrears
from cowrite.core.delivery.peer import Peer, PeerPorts
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.session import Session
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, Message, Update
from cowrite.testing.clock import ManualClock
from cowrite.testing.wire import FakeWire
from cowrite.transports.framing import WriteTurn


class Dialect:
    """y-websocket's frames, behind a mark by which dialects differ; counts what it encodes."""

    def __init__(self, mark: bytes = b"") -> None:
        self.mark = mark
        self.encoded: list[Message] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dialect) and other.mark == self.mark

    def __hash__(self) -> int:
        return hash(self.mark)

    def encode(self, message: Message) -> bytes:
        self.encoded.append(message)
        return self.mark + yjs.encode(message)


def broadcasting() -> Broadcast:
    """One by which each is written to by itself: fake wires take no part in a multicast."""
    return Broadcast(ManualClock(), lambda: Multicast(WriteTurn()))


class Member:
    """A peer on a fake wire, and the arrears that came up."""

    def __init__(self, dialect: Dialect, wire: FakeWire | None = None) -> None:
        self.wire = wire if wire is not None else FakeWire()
        self.arrears: list[Arrears] = []
        self.peer = Peer(
            Session("0192", "doc", Access("ana", Grant.WRITE), 0),
            self.wire,
            dialect,
            PeerPorts(
                ManualClock(),
                Limits(),
                settle=lambda _, arrears: self.arrears.append(arrears),
                ask=lambda _: None,
                give_up=lambda _: None,
            ),
            acknowledgements=None,
        )
        self.wire.drained = self.peer.outbox.drained

    @property
    def updates(self) -> list[bytes]:
        """The Yjs updates that it was sent."""
        messages = [yjs.decode(frame) for frame in self.wire.received]
        return [message.update for message in messages if isinstance(message, Update)]

    @property
    def states(self) -> list[tuple[AwarenessEntry, ...]]:
        messages = [yjs.decode(frame) for frame in self.wire.received]
        return [message.entries for message in messages if isinstance(message, AwarenessUpdate)]
