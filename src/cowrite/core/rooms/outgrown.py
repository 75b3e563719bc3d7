"""Peers that have more of a document than there was room for, and when they are asked for it.

Theory of operation. What is refused stays in its editor, and comes again with the SyncStep2 for which the room asks. How many
bytes it needs is known when a SyncStep2 was refused. Of single updates it is only known how many they need at least: a
keystroke travels in twenty bytes and more, and is one byte once it is joined to those before it. So a peer is asked as soon as
there is room for that least; its SyncStep2 either fits or tells the size. This can still be more than is needed: others may
have brought a part of it, or the peer has deleted some. So when the document has become smaller, or the peer has deleted
something, it is asked without regard to a size, too, and the next time that way after a pause that doubles.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from cowrite.core.delivery.peer import Peer
from cowrite.core.excess import Excess
from cowrite.core.ports import Clock
from cowrite.core.rooms.fullness import Fullness
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.outline import Outline
from cowrite.protocol.messages import PermissionDenied

_log = structlog.get_logger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 120.0
"""Seconds between two times that one peer is asked on the chance that there is room."""
_PATIENCE: Final = 10.0
"""Seconds after which a peer that has not answered is asked again."""
_A_LITTLE: Final = 64
"""Bytes of room with which it is worth asking somebody of whom it is not known what is needed."""


def size_of(outline: Outline, *, everything: bool) -> int:
    """How many bytes a refused update needs in the document: all of a SyncStep2, of another the least that it may be.

    Never 0. Each clock of it takes a byte or more, except in what was deleted before it came: that takes a few bytes whole.
    """
    size = outline.layout.deletes_at
    return max(1, size if everything else min(size, sum(end - start for _, start, end in outline.brings)))


@dataclass(slots=True)
class _Wait:
    """Of one peer."""

    document: int
    """Bytes of the document when it was refused last, or asked."""
    asked: float = float("-inf")
    """When; and it has not answered."""
    again: float = float("-inf")
    """Not asked on the chance before that."""
    pause: float = _FIRST_PAUSE


class Outgrown:
    """Of one room."""

    def __init__(self, fullness: Fullness, replicas: Replicas, clock: Clock, excess: Excess) -> None:
        self._fullness = fullness
        self._replicas = replicas
        self._clock = clock
        self._excess = excess
        self._waiting: dict[Peer, _Wait] = {}

    def refuse(self, received: Received, size: int) -> bool:
        """There is no room for it, and its peer is told why. Always False. ``size``: see :func:`size_of`."""
        peer = received.peer
        if not peer.outgrown and not peer.acknowledgements.tells_refusals:
            peer.send(PermissionDenied(self._fullness.reason))
        wait = self._waiting.setdefault(peer, _Wait(0))
        wait.document = max(wait.document, self._size)
        if received.everything:
            peer.outgrown, peer.shrinks, wait.asked = size, False, float("-inf")
        else:
            peer.outgrown += size
        peer.acknowledgements.refuse(received.number)
        self._excess.count("document_full")
        document, user = peer.session.document_id, peer.session.author
        self._excess.log.say(_log, "warning", "document full; edits refused", document, document=document, user=user)
        return False

    def refuse_more(self, received: Received) -> None:
        """It builds on what was refused, which will not come before the peer is asked for it."""
        received.peer.shrinks |= bool(received.outline.deletes)
        self.refuse(received, size_of(received.outline, everything=False))

    def forget(self, peer: Peer) -> None:
        """All that it has has come."""
        peer.outgrown, peer.shrinks = 0, False
        self._waiting.pop(peer, None)

    def due(self, peers: Container[Peer], *, shrunk: bool) -> Sequence[Peer]:
        """Peers to be asked now. They count as outgrown until their SyncStep2 has come: what they sent before it, it has too.

        ``shrunk``: also those of whom it is not known whether there is room for them, as described above.
        """
        for peer in [peer for peer in self._waiting if peer not in peers]:
            del self._waiting[peer]
        now = self._clock.monotonic()
        due = [peer for peer, wait in self._waiting.items() if self._is_due(peer, wait, now, shrunk=shrunk)]
        for peer in due:
            self._waiting[peer].asked = now
        return due

    def _is_due(self, peer: Peer, wait: _Wait, now: float, *, shrunk: bool) -> bool:
        if now < wait.asked + _PATIENCE:
            return False
        if self._fullness.has_room(peer.outgrown):
            return True
        if not shrunk or now < wait.again or not (peer.shrinks or self._has_shrunk_since(wait)):
            return False
        wait.document, wait.again, wait.pause = self._size, now + wait.pause, min(2 * wait.pause, _LONGEST_PAUSE)
        return True

    def _has_shrunk_since(self, wait: _Wait) -> bool:
        return self._size < wait.document and self._fullness.has_room(_A_LITTLE)

    @property
    def _size(self) -> int:
        live = self._replicas.live
        return live.encoded_size if live is not None else 0
