"""A room's awareness, and entries for it."""

from __future__ import annotations

from cowrite.core.presence.awareness import Awareness
from cowrite.core.presence.awareness_owners import Owner
from cowrite.protocol.awareness import AwarenessEntry


def entry(client_id: int, clock: int, state: str | None = "{}") -> AwarenessEntry:
    return AwarenessEntry(client_id, clock, state)


class Room:
    """An awareness with named connections: ``a1`` and ``a2`` are two connections of the user ``a``."""

    def __init__(self) -> None:
        self.awareness = Awareness()
        self.now = 0.0

    def announce(self, peer: str, *entries: AwarenessEntry) -> list[AwarenessEntry]:
        """The news."""
        announced = self.awareness.announce(Owner(peer, peer[0]), entries, self.now)
        assert announced.stale == []
        return announced.news

    def stale(self, peer: str, *entries: AwarenessEntry) -> list[AwarenessEntry]:
        """What the sender alone is told; nothing was news."""
        announced = self.awareness.announce(Owner(peer, peer[0]), entries, self.now)
        assert announced.news == []
        return announced.stale

    def introduce(self, **peers: int) -> None:
        """As a stock client begins: its own id at clock 0, then its state at clock 1."""
        for peer, client_id in peers.items():
            assert self.announce(peer, entry(client_id, 0)) == []
            assert self.announce(peer, entry(client_id, 1)) == [entry(client_id, 1)]

    def gone(self, peer: str) -> list[AwarenessEntry]:
        """The peer's socket is lost, and it does not come back."""
        self.awareness.lose(peer)
        return self.awareness.release(peer)

    def states(self) -> dict[int, tuple[int, str | None]]:
        return {one.client_id: (one.clock, one.state) for one in self.awareness.entries()}
