"""One attached connection, as its room sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Peer:
    """A connection in a room: its session, its queue, and what it is owed. Compared by identity."""

    __slots__ = (
        "_wire",
        "acknowledgements",
        "acknowledges",
        "active",
        "dialect",
        "held",
        "number",
        "outbox",
        "owner",
        "refused",
        "session",
        "starved",
        "told_to_read",
    )

    def __init__(
        self,
        session: Session,
        wire: Wire,
        dialect: Dialect,
        *,
        clock: Clock,
        limits: Limits,
        acknowledgements: Acknowledgements | None,
        settle: Callable[[Peer, Arrears], None],
        ask: Callable[[Peer], None],
        give_up: Callable[[Peer], None],
    ) -> None:
        self.session = session
        self.number = next(_numbers)
        """In the order of coming."""
        self.dialect = dialect
        self.acknowledges = acknowledgements is not None
        """The client is told what is durable."""
        self.outbox = Outbox(wire, clock, settle=lambda arrears: settle(self, arrears), overflow=self._overflow)
        self.acknowledgements = acknowledgements or Acknowledgements()
        self.held = HeldUpdates(clock, limits, ask=lambda: ask(self), give_up=lambda: give_up(self))
        self.owner = Owner(self, session.access.user_id)
        """As the writer of awareness entries."""
        self.starved = False
        """An update of it was refused because too much waits for the store; once that writes, it is asked again (SyncStep1)."""
        self.told_to_read = False
        """It was told that it may not write, since its grant last changed."""
        self.active = False
        """It has done something since its room was last looked after."""
        self.refused = 0
        """Updates dropped because its grant does not allow writing."""
        self._wire = wire

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

    def _overflow(self) -> None:
        self.close(CloseCode.TOO_FAST, "too many answers wait to be read; read them, or ask less")
