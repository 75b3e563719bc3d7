"""Whose a Yjs client id is: the connections of a room, here and in other processes, and which of them yields to which."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from cowrite.protocol.awareness import AwarenessEntry


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may write an awareness entry: one connection (``peer``, by identity or as its hash says) of one user."""

    peer: Hashable
    user_id: str


@dataclass(slots=True, eq=False)
class Connection:
    """One connection to this process, or what another process tells of one client."""

    user_id: str | None
    """None: another process tells what one of its connections says of a client that is not its own."""
    peer: Hashable = None
    process: str | None = None
    """The other process; None: the connection is here."""
    own: int | None = None
    """The Yjs client id that it calls its own, when it is here."""
    ids: set[int] = field(default_factory=set)
    """What it owns: its own id, and the living ones that it has announced."""
    lost: bool = False
    """The socket is gone, perhaps to come back, here or elsewhere."""

    @property
    def attached(self) -> bool:
        """Its socket is open, in this process."""
        return self.process is None and not self.lost

    def calls_own(self, client_id: int) -> bool:
        """Whether it speaks of itself with this id."""
        return self.own == client_id if self.process is None else self.user_id is not None


@dataclass(slots=True)
class Client:
    """What is known of one Yjs client."""

    clock: int = 0
    state: str | None = None
    owner: Connection | None = None
    """A client with a state has one."""
    renewed_at: float = 0.0

    def is_news(self, entry: AwarenessEntry) -> bool:
        """As y-protocols decides it."""
        ends = entry.clock == self.clock and entry.state is None and self.state is not None
        return entry.clock > self.clock or ends

    def yields(self, client_id: int, connection: Connection) -> bool:
        """Whether its owner gives it up to a connection that speaks of itself."""
        owner = self.owner
        if owner is None or self.state is None or owner.lost or not owner.calls_own(client_id):
            return True
        return owner.user_id == connection.user_id
