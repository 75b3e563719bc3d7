"""What goes to all peers of a room with the next flush, encoded once for each dialect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from cowrite.core.delivery.awareness_turns import AwarenessTurns
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Relay
from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Clock
from cowrite.crdt.document import merge_updates
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.outline import Outline
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import Update

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Relayed:
    update: bytes
    outline: Outline
    sender: Peer | None


class Broadcast:
    """Collects updates and awareness between two flushes, and puts them into the outboxes as one frame each.

    A peer may leave ``peers`` while they are sent (a full outbox closes its peer); what is still put into its outbox is lost
    with it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._updates: list[_Relayed] = []
        self._awareness = AwarenessTurns()

    def __bool__(self) -> bool:
        return bool(self._updates) or bool(self._awareness)

    def update(self, fresh: bytes, outline: Outline, sender: Peer | None) -> None:
        """An update with only what was new to ``live``, for everybody but its sender (None: another process)."""
        self._updates.append(_Relayed(fresh, outline, sender))

    def awareness(self, entries: Sequence[AwarenessEntry]) -> None:
        """Awareness that is news; of each Yjs client only the newest is sent."""
        self._awareness.add(entries)

    def drop_updates(self) -> None:
        """Forget the updates: they will be sent in another form."""
        self._updates.clear()

    @property
    def moved(self) -> bool:
        """Some awareness waits."""
        return bool(self._awareness)

    def send_updates(self, peers: Collection[Peer]) -> int:
        """Into the outboxes; no update waits here afterwards. Returns how many that were."""
        updates, self._updates = self._updates, []
        if updates:
            _relay(updates, peers, self._clock.monotonic())
        return len(updates)

    def send_awareness(self, peers: Collection[Peer], turns: int = 1) -> int:
        """Into the outboxes of those whose turn it is, of so many turns. Returns how many bytes that were."""
        return self._awareness.send(peers, turns)


def _relay(updates: Sequence[_Relayed], peers: Collection[Peer], now: float) -> None:
    try:
        merged = updates[0].update if len(updates) == 1 else merge_updates([relayed.update for relayed in updates])
    except EngineFault as fault:
        # Nobody will send these again, so peers would differ from ``live`` for good: give them one by one.
        _log.error("updates not merged, sent one by one", updates=len(updates), reason=str(fault))
        for relayed in updates:
            _relay([relayed], peers, now)
        return
    begins = _begins(updates)
    senders = {relayed.sender for relayed in updates}
    # What a peer sent comes back to it only where it is merged with others' updates: one frame for all costs less.
    only = next(iter(senders)) if len(senders) == 1 else None
    encoded: dict[Dialect, Relay] = {}
    for peer in list(peers):
        if peer.live and peer is not only:
            relay = encoded.get(peer.dialect)
            if relay is None:
                relay = encoded[peer.dialect] = Relay(peer.dialect.encode(Update(merged)), begins, now)
            peer.outbox.relay(relay)


def _begins(updates: Sequence[_Relayed]) -> dict[int, int]:
    begins: dict[int, int] = {}
    for relayed in updates:
        for brought in relayed.outline.brings:
            begins[brought.client] = min(brought.start, begins.get(brought.client, brought.start))
    return begins
