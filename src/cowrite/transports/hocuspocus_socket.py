"""What the documents of a Hocuspocus connection need of it and share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cowrite.core.delivery.outbox import Outbox
from cowrite.transports.backlog import FRAME_OVERHEAD
from cowrite.transports.lane import Lane
from cowrite.transports.services import Services

CHECKING_MESSAGES: Final = 1000
"""Messages of one socket that may wait for tokens to be checked. All its documents may be checked at a time: a provider that
comes back shows the tokens of all of them at once, and ``Limits.documents_per_socket`` is how many there can be.
"""
CHECKING_BYTES: Final = 5 << 20


@dataclass(slots=True)
class Checks:
    """What one socket keeps while tokens are checked, bounded."""

    messages: int = 0
    size: int = 0

    @property
    def exceeded(self) -> bool:
        """It is too much."""
        return self.messages > CHECKING_MESSAGES or self.size > CHECKING_BYTES

    def keep(self, frame: bytes) -> None:
        """One more frame waits."""
        self.messages += 1
        self.size += len(frame) + FRAME_OVERHEAD

    def end(self, frames: Sequence[bytes]) -> None:
        """A check is over, and these wait no more."""
        self.messages -= len(frames)
        self.size -= sum(map(len, frames)) + FRAME_OVERHEAD * len(frames)


class Socket(Protocol):
    """What a document needs of its connection."""

    id: str
    """In log lines."""
    services: Services
    lane: Lane
    checks: Checks
    token: str | None
    """That of the address, for clients that show none in their message."""
    takes_close: bool
    """The client is known to understand CLOSE."""

    def write(self, message: bytes) -> None: ...
    def writable(self) -> bool: ...
    def join(self, outbox: Outbox) -> None: ...
    def send(self, frame: bytes) -> None:
        """A frame of the connection's own."""
        ...

    def forget(self, address: str, *, unanswered: int) -> None:
        """Its client has left this document, to which so many SyncStep1 messages may be on their way."""
        ...

    def refuse_unknown(self, kind: int | str) -> None:
        """A message that clients do not send."""
        ...

    def fail(self, error: Exception) -> None:
        """Something has failed that nobody foresaw."""
        ...

    def close(self, code: int, reason: str) -> None:
        """All its documents, and the socket."""
        ...
