"""Awareness on its way to a room's peers, who take turns in a large room.

Everybody is to be told of everybody, and that many bytes at once would keep edits waiting. So each turn tells some of the peers
what has moved since their last turn: of each Yjs client only the newest, encoded once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.peer import Peer
from cowrite.core.presence.awareness import in_messages
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate


class AwarenessTurns:
    """Keeps what has moved until all have been told."""

    def __init__(self) -> None:
        self._moves = 0
        self._moved: OrderedDict[int, tuple[int, AwarenessEntry]] = OrderedDict()
        """By Yjs client its newest entry and which move that was; the last one at the end."""
        self._told = [0]
        """For each turn the move up to which its peers have been told."""
        self._next = 0

    def __bool__(self) -> bool:
        return bool(self._moved)

    def add(self, entries: Iterable[AwarenessEntry]) -> None:
        """These have moved."""
        for entry in entries:
            self._moves += 1
            self._moved[entry.client_id] = self._moves, entry
            self._moved.move_to_end(entry.client_id)

    def send(self, peers: Collection[Peer], turns: int = 1) -> int:
        """Tell those whose turn it is, of so many turns (all, when there are more or fewer than last time). Returns bytes."""
        if turns == len(self._told):
            size = self._tell(self._next, peers)
            self._next = (self._next + 1) % turns
        else:
            size = sum(self._tell(turn, peers) for turn in range(len(self._told)))
            self._told, self._next = [self._moves] * turns, 0
        everybody = min(self._told)
        while self._moved and next(iter(self._moved.values()))[0] <= everybody:
            self._moved.popitem(last=False)
        return size

    def _tell(self, turn: int, peers: Collection[Peer]) -> int:
        told, self._told[turn] = self._told[turn], self._moves
        entries = []
        for move, entry in reversed(self._moved.values()):
            if move <= told:
                break
            entries.append(entry)
        entries.reverse()
        theirs = [peer for peer in peers if peer.number % len(self._told) == turn]
        return sum(_announce(portion, theirs) for portion in in_messages(entries))


def _announce(moved: tuple[AwarenessEntry, ...], peers: Sequence[Peer]) -> int:
    clients = [entry.client_id for entry in moved]
    encoded: dict[Dialect, bytes] = {}
    size = 0
    for peer in peers:
        # To the sender, too: that is the frame by which a lone client knows that the server is alive.
        frame = encoded.get(peer.dialect)
        if frame is None:
            frame = encoded[peer.dialect] = peer.dialect.encode(AwarenessUpdate(moved))
        peer.outbox.announce(frame, clients)
        size += len(frame)
    return size
