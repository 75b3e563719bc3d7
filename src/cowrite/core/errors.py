"""Faults, told apart by whose they are.

* :class:`PeerError`: the peer is wrong; that peer alone is closed, with a code of the table.
* :class:`RoomClosed`: the document cannot be served now; the peer is closed with a code that tells it to come back.
"""

from __future__ import annotations

from cowrite.protocol.close_codes import CloseCode


class PeerError(Exception):
    """A peer broke a rule. Whoever holds its connection closes it with ``code``; nobody else notices.

    ``limit``: the one that it is about, where that has a name of its own. ``fault``: what is wrong with an update, in the word
    that the guard has for it.
    """

    def __init__(self, code: CloseCode, reason: str, *, limit: str | None = None, fault: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.limit = limit
        self.fault = fault


class RoomClosed(Exception):
    """The room cannot be entered now (its document did not load, or it is being rebuilt). Come back later."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class DocumentDamaged(RoomClosed):
    """What is stored of the document cannot be read, nor how far it could be. It is left as it is, and nothing is written to
    it.
    """

    def __init__(self) -> None:
        reason = "the document is damaged in the database and cannot be shown; it was left as it is. A backup mends it"
        super().__init__(CloseCode.STORE_UNAVAILABLE, reason)
