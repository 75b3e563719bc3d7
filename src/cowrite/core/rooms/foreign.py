"""What peers send of other users' Yjs clients: refused, and asked for again; see :mod:`cowrite.core.rooms.bindings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from cowrite.core.delivery.peer import Peer
from cowrite.core.excess import Excess
from cowrite.core.ports import Grant
from cowrite.core.rooms.bindings import Bindings
from cowrite.core.rooms.pending import PendingUpdates
from cowrite.core.rooms.received import Received
from cowrite.crdt.document import Document
from cowrite.crdt.guard import inspect
from cowrite.crdt.outline import missing
from cowrite.protocol.messages import PermissionDenied

_log = structlog.get_logger(__name__)

_NO_STATE: Mapping[int, int] = {}
_NOTHING = b"\x00\x00"
_NOTHING_OUTLINE = inspect(_NOTHING)
_REASON = "edits under a Yjs client id of another user, who is here, are not taken; start a new Doc"


class Foreign:
    """Of one room's peers. ``state`` is always that of ``live``."""

    def __init__(self, bindings: Bindings, pending: PendingUpdates, excess: Excess) -> None:
        self._bindings = bindings
        self._pending = pending
        self._excess = excess
        self._barred: dict[Peer, None] = {}
        """Of whom something was refused, and not asked for since."""

    def within(self, received: Received, state: Mapping[int, int]) -> Mapping[int, int]:
        """The Yjs clients of which nothing new may be taken from this; see :meth:`Bindings.foreign`."""
        return self._bindings.foreign(received.author, received.outline, state)

    def refuse(self, received: Received, found: Mapping[int, int]) -> None:
        """That much of it is not taken, and the message not acknowledged; the peer stays, and is told."""
        peer, ends = received.peer, received.peer.barred
        peer.acknowledgements.refuse(received.number)
        self._excess.count("foreign_client")
        if not ends:
            document, user = peer.session.document_id, peer.session.author
            clients = {client: self._bindings.user_of(client) for client in found}
            what = "content under another user's Yjs client refused"
            self._excess.log.say(_log, "warning", what, document, document=document, user=user, clients=clients)
            if not peer.acknowledgements.tells_refusals:
                peer.send(PermissionDenied(_REASON))
        self._barred[peer] = None
        peer.barred = {**ends, **{client: max(end, ends.get(client, 0)) for client, end in found.items()}}

    def is_below(self, received: Received, state: Mapping[int, int]) -> bool:
        """Whether it builds on what was refused: it would wait for that for ever."""
        barred = received.peer.barred
        return bool(barred) and any(client in barred for client, _ in missing(received.outline, state))

    def due(self, state: Mapping[int, int]) -> Sequence[Peer]:
        """Peers to be asked again: what was refused of them is there, or may be taken now."""
        due = [peer for peer in self._barred if not self._bindings.are_foreign(peer.session.author, peer.barred, state)]
        for peer in due:
            del self._barred[peer]
            peer.barred = {}
        return due

    def introduce(self, peer: Peer, live: Document | None) -> bool:
        """A peer has said which Yjs client it is. What the room holds of that, brought by others before, is its user's with the
        next COMMIT; True: there is such a thing.
        """
        client = peer.own_client
        if client is None or not (peer.session.may(Grant.WRITE) and self._bindings.introduce(peer)):
            return False
        if live is None or not live.state.get(client) or any(one.peer is peer for one in self._pending):
            return False
        self._pending.put(Received(_NOTHING, _NOTHING_OUTLINE, peer, 0, everything=False, ends=False))
        return True

    def forget(self, peer: Peer, live: Document | None) -> None:
        """A peer has gone: it is not asked, and its word counts no more."""
        self._barred.pop(peer, None)
        self._bindings.leave(peer, live.state if live is not None else _NO_STATE)
