"""Who points where: the ephemeral states of a room's Yjs clients. A pure value: no timers, no sockets.

The rules are y-protocols' (``awareness.js``), with one thing added: an entry counts only when it comes from a peer that owns the
Yjs client id. Stock clients send other people's entries as a matter of course (y-websocket re-broadcasts every state that it
learns, and announces the end of ids that it thinks stale), so entries for ids of others are skipped in silence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from cowrite.protocol.awareness import AwarenessEntry, is_valid_state

STALE_AFTER = 30.0
"""Seconds after which a state that was not renewed is removed; Yjs clients forget it then, too."""
_REMEMBERED = 10_000
"""How many ids of clients that are gone a room remembers, so that late news about them stays old news."""


class InvalidState(ValueError):
    """A state that is not JSON, or nested too deep: y-protocols parses states without a guard, so it would break every peer."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may write an awareness entry: one connection (``peer``, compared by identity) of one user."""

    peer: Hashable
    user_id: str


@dataclass(slots=True)
class Announced:
    """What became of a peer's entries."""

    news: list[AwarenessEntry] = field(default_factory=list)
    """For everybody."""
    stale: list[AwarenessEntry] = field(default_factory=list)
    """For the sender alone: ids that the room holds for ended at this clock or a newer one. A client that is told so of its own id
    announces itself again with a higher clock, and is seen at once instead of at its next heartbeat (15 s)."""


@dataclass(slots=True)
class _Client:
    clock: int
    state: str | None
    owner: Owner | None
    renewed_at: float
    lost: bool = False
    """The owner's connection was lost a moment ago."""

    def may_be_written_by(self, owner: Owner, entry: AwarenessEntry) -> bool:
        if self.owner is None or self.owner.peer is owner.peer:
            return True
        # Taking over needs a living state: the end of somebody else's id is never believed.
        return entry.state is not None and (self.lost or self.owner.user_id == owner.user_id)

    def is_news(self, entry: AwarenessEntry) -> bool:
        ends = entry.clock == self.clock and entry.state is None and self.state is not None
        return entry.clock > self.clock or ends


class Awareness:
    """The newest awareness entry of every Yjs client in a room."""

    def __init__(self) -> None:
        self._clients: dict[int, _Client] = {}
        self.skipped = 0
        """Entries that came from peers that do not own their ids. Normal with stock clients."""

    def announce(self, owner: Owner, entries: Iterable[AwarenessEntry], now: float) -> Announced:
        """Take a peer's entries. ``now`` is monotonic, in seconds.

        An entry is news when its clock is newer than the known one (0 for an unknown client), or when it ends a state at the
        same clock. An id belongs to the peer that announced it first; a peer of the same user, or anybody after the owner's
        connection was lost, takes it over with a living state. Raises :class:`InvalidState`.
        """
        announced = Announced()
        for entry in entries:
            client = self._clients.get(entry.client_id)
            if client is None:
                client = _Client(0, None, None, now)
            if not client.may_be_written_by(owner, entry):
                self.skipped += 1
            elif client.is_news(entry):
                if entry.state is not None and not is_valid_state(entry.state):
                    raise InvalidState(f"the awareness state of client {entry.client_id} is not JSON, or nested too deep")
                self._clients.pop(entry.client_id, None)  # the newest last
                self._clients[entry.client_id] = _Client(entry.clock, entry.state, owner, now)
                announced.news.append(entry)
            elif entry.state is not None and entry.clock > 0:
                if client.state is None:
                    announced.stale.append(AwarenessEntry(entry.client_id, client.clock, None))
                else:
                    client.owner, client.lost = owner, False
        self._forget()
        return announced

    def lose(self, peer: Hashable) -> bool:
        """A peer's connection was lost, perhaps to come back: others may take its ids over. True when it had living states."""
        owned = self._owned(peer)
        for number in owned:
            self._clients[number].lost = True
        return any(self._clients[number].state is not None for number in owned)

    def release(self, peer: Hashable) -> list[AwarenessEntry]:
        """A peer is gone for good: the entries that end what it still owns."""
        return self._end(self._owned(peer))

    def expire(self, now: float) -> list[AwarenessEntry]:
        """The entries that end states which were not renewed for 30 s."""
        return self._end([n for n, c in self._clients.items() if c.state is not None and now - c.renewed_at >= STALE_AFTER])

    def entries(self, client_ids: Iterable[int] | None = None) -> list[AwarenessEntry]:
        """The living states; or the newest entries of the given ids, ended ones included."""
        if client_ids is None:
            return [AwarenessEntry(n, c.clock, c.state) for n, c in self._clients.items() if c.state is not None]
        known = ((number, self._clients.get(number)) for number in client_ids)
        return [AwarenessEntry(number, client.clock, client.state) for number, client in known if client is not None]

    def _owned(self, peer: Hashable) -> list[int]:
        return [number for number, client in self._clients.items() if client.owner is not None and client.owner.peer is peer]

    def _end(self, numbers: Iterable[int]) -> list[AwarenessEntry]:
        ended = []
        for number in numbers:
            client = self._clients[number]
            client.owner = None
            if client.state is not None:
                client.state = None
                ended.append(AwarenessEntry(number, client.clock, None))
        self._forget()
        return ended

    def _forget(self) -> None:
        if len(self._clients) <= _REMEMBERED:
            return
        gone = [number for number, client in self._clients.items() if client.state is None]
        for number in gone[: len(self._clients) - _REMEMBERED]:
            del self._clients[number]
