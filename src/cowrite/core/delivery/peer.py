"""One attached connection, as its room sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Arrears, Outbox, Wire
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock
from cowrite.core.presence.awareness import in_messages
from cowrite.core.presence.awareness_owners import Owner
from cowrite.core.rooms.held import HeldUpdates
from cowrite.core.sessions.session import Session
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode, cut_reason
from cowrite.protocol.messages import AwarenessUpdate, Message

_numbers = count()


@dataclass(frozen=True, slots=True)
class PeerPorts:
    """What peers need of their room: one for all of them."""

    clock: Clock
    limits: Limits
    settle: Callable[[Peer, Arrears], None]
    """Make good what the peer was not given."""
    ask: Callable[[Peer], None]
    """Ask it for what it has (SyncStep1)."""
    give_up: Callable[[Peer], None]
    """It cannot go on like this."""


class Peer:
    """A connection in a room: its session, its queue, and what it is owed. Compared by identity."""

    __slots__ = (
        "_held",
        "_ports",
        "_wire",
        "acknowledgements",
        "acknowledges",
        "active",
        "barred",
        "dialect",
        "number",
        "outbox",
        "outgrown",
        "own_client",
        "owner",
        "refused",
        "session",
        "shrinks",
        "starved",
        "told_to_read",
    )

    def __init__(
        self,
        session: Session,
        wire: Wire,
        dialect: Dialect,
        ports: PeerPorts,
        *,
        acknowledgements: Acknowledgements | None,
    ) -> None:
        self.session = session
        self.number = next(_numbers)
        """In the order of coming."""
        self.dialect = dialect
        self.acknowledges = acknowledgements is not None
        """The client is told what is durable."""
        self.outbox = Outbox(wire, ports.clock, settle=self._settle, overflow=self._overflow)
        self.acknowledgements = acknowledgements or Acknowledgements()
        self._held: HeldUpdates | None = None
        """Made when it is asked for: of most peers nothing is ever held."""
        self._ports = ports
        self.owner = Owner(self, session.access.user_id)
        """As the writer of awareness entries."""
        self.starved = False
        """An update of it was refused because too much waits for the store; once that writes, it is asked again (SyncStep1)."""
        self.outgrown = 0
        """Bytes of its updates that were refused as the document is full, at least; see :mod:`cowrite.core.rooms.outgrown`."""
        self.shrinks = False
        """It has deleted something of that since."""
        self.barred: dict[int, int] = {}
        """What of it was refused because another user's Yjs client wrote it: up to which clock, by client."""
        self.own_client: int | None = None
        """The Yjs client that it is, as its awareness says."""
        self.told_to_read = False
        """It was told that it may not write, since its grant last changed."""
        self.active = False
        """It has done something since its room was last looked after."""
        self.refused = 0
        """Updates dropped because its grant does not allow writing."""
        self._wire = wire

    @property
    def held(self) -> HeldUpdates:
        """Its updates that build on others that have not come."""
        if self._held is None:
            ports = self._ports
            self._held = HeldUpdates(
                ports.clock, ports.limits, ask=lambda: ports.ask(self), give_up=lambda: ports.give_up(self)
            )
        return self._held

    def leave(self, pending: Iterable[int]) -> None:
        """It goes: hold nothing more of it. ``pending``: the numbers of its messages that are on their way to the disk."""
        if self._held is not None:
            self._held.cancel()
        if self.acknowledgements.spans is not None:
            self.acknowledgements.spans.lost(frozenset(pending))

    def send(self, message: Message) -> None:
        """Send one message to this peer alone."""
        self.outbox.send(self.dialect.encode(message))

    def announce(self, entries: Sequence[AwarenessEntry]) -> None:
        """Send awareness entries to this peer alone. While it does not read, only their Yjs client ids are kept."""
        for part in in_messages(entries):
            if self.outbox.blocked:
                self.outbox.miss([entry.client_id for entry in part])
            else:
                self.send(AwarenessUpdate(part))

    def acknowledge(self) -> None:
        """Tell what has become of its messages, when there is something new to tell."""
        if self.acknowledges:
            self.acknowledgements.tell(self.outbox, self.dialect)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close its connection after what was handed to the socket. What waits in the outbox, and what comes, is dropped."""
        self.outbox.discard()
        self._wire.close(int(code), cut_reason(reason))

    def _settle(self, arrears: Arrears) -> None:
        self._ports.settle(self, arrears)

    def _overflow(self) -> None:
        self.close(CloseCode.TOO_FAST, "too many answers wait to be read; read them, or ask less")
