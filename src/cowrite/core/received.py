"""An update as it came from a peer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cowrite.core.peer import Peer
from cowrite.crdt.outline import Outline


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """An Update or SyncStep2 that was inspected. It is held, or on its way to the disk. Compared by identity."""

    update: bytes
    outline: Outline
    peer: Peer
    number: int
    """Its number among the messages of its peer."""
    everything: bool
    """It came as SyncStep2."""

    @property
    def size(self) -> int:
        """Bytes that it takes while it is kept, about; 2 KB less, which each takes."""
        return len(self.update) + self.outline.memory

    @property
    def author(self) -> str:
        """The user id that it is stored under."""
        return self.peer.session.author


def acknowledge(durable: Sequence[Received], offsets: Mapping[Received, int], peers: Collection[Peer]) -> None:
    """These are durable at these offsets: tell those of their senders who are still among ``peers``."""
    for received in durable:
        received.peer.acknowledgements.commit(received.number, offsets[received], everything=received.everything)
    for peer in dict.fromkeys(received.peer for received in durable):
        if peer in peers:
            peer.acknowledge()
