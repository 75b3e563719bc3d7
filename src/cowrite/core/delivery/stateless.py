"""Stateless messages of Hocuspocus clients: to all of them in a document; nothing of it is kept."""

from __future__ import annotations

from collections.abc import Collection

from cowrite.core.delivery.peer import Peer
from cowrite.protocol.hocuspocus import HocuspocusDialect, Stateless


def relay_stateless(payload: str, peers: Collection[Peer]) -> None:
    """To every peer that speaks this protocol and reads now, encoded once for each address."""
    message = Stateless(payload)
    frames: dict[HocuspocusDialect, bytes] = {}
    for peer in list(peers):
        dialect = peer.dialect
        if isinstance(dialect, HocuspocusDialect) and not peer.outbox.blocked:
            frame = frames.get(dialect)
            if frame is None:
                frame = frames[dialect] = dialect.encode(message)
            peer.outbox.send(frame)
