"""What goes to all peers of a room with the next flush, encoded once for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from cowrite.core.delivery.awareness_turns import AwarenessTurns
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import Relay
from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Clock
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.merging import merge_updates
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

    def __init__(self, clock: Clock, multicast: Callable[[], Multicast]) -> None:
        """``multicast`` makes one, for the peers of one dialect."""
        self._clock = clock
        self._multicast = multicast
        self._live: dict[Dialect, Multicast] = {}
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

    def enter(self, peer: Peer) -> None:
        """The peer is live: from now on, until its outbox is discarded, it is sent every update. Idempotent."""
        multicast = self._live.get(peer.dialect)
        if multicast is None:
            multicast = self._live[peer.dialect] = self._multicast()
        peer.outbox.join(multicast)

    def send_updates(self) -> int:
        """To all who are live; no update waits here afterwards. Returns how many that were."""
        updates, self._updates = self._updates, []
        if updates:
            self._live = {dialect: multicast for dialect, multicast in self._live.items() if multicast}
            self._relay(updates, self._clock.monotonic())
        return len(updates)

    def send_awareness(self, peers: Collection[Peer], turns: int = 1) -> int:
        """Into the outboxes of those whose turn it is, of so many turns. Returns how many bytes that were."""
        return self._awareness.send(peers, turns)

    def _relay(self, updates: Sequence[_Relayed], now: float) -> None:
        try:
            merged = updates[0].update if len(updates) == 1 else merge_updates([relayed.update for relayed in updates])
        except EngineFault as fault:
            # Nobody will send these again, so peers would differ from ``live`` for good: give them one by one.
            _log.error("updates not merged, sent one by one", updates=len(updates), reason=str(fault))
            for relayed in updates:
                self._relay([relayed], now)
            return
        begins = _begins(updates)
        senders = {relayed.sender for relayed in updates}
        # What a peer sent comes back to it only where it is merged with others' updates: one frame for all costs less.
        only = next(iter(senders)) if len(senders) == 1 else None
        but = only.outbox if only is not None else None
        for dialect, multicast in self._live.items():
            if multicast.concerns(but):
                multicast.relay(Relay(dialect.encode(Update(merged)), begins, now), but)


def _begins(updates: Sequence[_Relayed]) -> dict[int, int]:
    begins: dict[int, int] = {}
    for relayed in updates:
        for brought in relayed.outline.brings:
            begins[brought.client] = min(brought.start, begins.get(brought.client, brought.start))
    return begins
