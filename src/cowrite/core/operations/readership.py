"""Who reads a document as operations, and what there is to read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cowrite.core.operations.feed import Feed
from cowrite.core.operations.state import State
from cowrite.core.presence.present import PresenceChange
from cowrite.core.records import Entry
from cowrite.protocol.close_codes import CloseCode


class Reader(Protocol):
    """A connected client that is told of operations as they are committed."""

    def read(self) -> None:
        """The feed has more. Synchronous; never raises."""
        ...

    def people(self, change: PresenceChange) -> None:
        """Somebody came, went or told something. Synchronous; never raises."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send it away. It leaves the room. Idempotent."""
        ...


class Readership:
    """The readers of one room, and its feed, which begins with the first of them."""

    def __init__(self) -> None:
        self.readers: set[Reader] = set()
        self.feed: Feed | None = None
        self.state: State | None = None
        """The state that was last rendered for readers, which is theirs to reuse."""
        self.rendering = asyncio.Lock()
        """Held while it is rendered: a hundred who ask at once have it rendered once."""

    def __bool__(self) -> bool:
        return bool(self.readers)

    @property
    def listens(self) -> bool:
        """Somebody is told what happens, or asks."""
        return bool(self.readers) or self.feed is not None

    def begin(self, head: int) -> Feed:
        """Begin the feed at the room's head, unless there is one."""
        if self.feed is None:
            self.feed = Feed(head)
        return self.feed

    def tell(self, entries: Sequence[Entry]) -> None:
        """These were committed."""
        if self.feed is not None and entries:
            self.feed.append(entries)
            for reader in list(self.readers):
                reader.read()

    def rest(self) -> None:
        """Keep nothing that can be had from the store."""
        self.state = None
        if self.feed is not None:
            self.feed.rest()

    def people(self, change: PresenceChange) -> None:
        """Somebody came, went or told something."""
        if self.feed is not None:
            self.feed.wake()
        for reader in list(self.readers):
            reader.people(change)

    def send_away(self, code: CloseCode, reason: str) -> None:
        """What they have read is worth nothing any more, or nothing more will come."""
        feed, self.feed = self.feed, None
        if feed is not None:
            feed.wake()
        for reader in list(self.readers):
            reader.close(code, reason)
