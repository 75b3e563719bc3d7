"""A room's awareness and other processes: what they are told, and what becomes of what they tell.

They are told what is news of the connections here, and nothing that came from elsewhere. News waits until this process's own
peers are told of it. An id that changes hands is told at once: the process that had it until now gives it up when it hears that
its client is elsewhere, and has two seconds for that. So does the loss of a connection, which its client may survive elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import AwarenessLost, AwarenessNews, AwarenessQuery, ProcessLeft, Signal
from cowrite.core.presence.awareness import Awareness, in_messages
from cowrite.protocol.awareness import AwarenessEntry


class AwarenessExchange:
    """Synchronous. Sending is the last thing that a call does: an answer may come before it returns."""

    def __init__(self, document_id: str, process: str, awareness: Awareness, signal: Callable[[Signal], None]) -> None:
        self._document_id = document_id
        self._process = process
        self._awareness = awareness
        self._signal = signal
        self._untold: dict[int, None] = {}
        """Yjs clients of which others do not know the newest."""

    def note(self, entries: Iterable[AwarenessEntry]) -> None:
        """News of connections here; others are told it by :meth:`flush`."""
        self._untold.update((entry.client_id, None) for entry in entries)

    def claim(self, client_ids: Sequence[int]) -> None:
        """These Yjs clients are connected here from now on."""
        if client_ids:
            for client_id in client_ids:
                self._untold.pop(client_id, None)
            self._tell(self._awareness.attached(client_ids))

    def flush(self) -> None:
        """Tell what was noted, as it is now. What has gone elsewhere meanwhile is told there."""
        if self._untold:
            untold, self._untold = self._untold, {}
            self._tell(self._awareness.attached(untold))

    def lost(self, client_ids: Sequence[int]) -> None:
        """The connections of these Yjs clients were lost."""
        for client_id in client_ids:
            self._untold.pop(client_id, None)
        self._signal(AwarenessLost(self._document_id, self._process, tuple(client_ids)))

    def ask(self) -> None:
        """Ask the others who is connected to them."""
        self._signal(AwarenessQuery(self._document_id, self._process))

    def answer(self, process: str | None = None) -> None:
        """Tell who is connected here, to the process that asked, or (None) to all."""
        self._tell(self._awareness.attached(), to=process)

    def close(self) -> None:
        """The room is closed: nobody is here any more, and nothing is told from now on. The document may be open in another
        room by the time that what was lost here ends.
        """
        self._signal(ProcessLeft(self._document_id, self._process))
        self._signal = lambda signal: None

    def hear(self, told: AwarenessNews, now: float) -> list[AwarenessEntry]:
        """What another process tells; returns the news of it."""
        heard = self._awareness.hear(told.process, zip(told.entries, told.users, strict=True), now, answer=told.to is not None)
        for peer, entry in heard.denied:
            assert isinstance(peer, Peer)
            peer.announce([entry])
        self._tell([(entry, None) for entry in heard.stale])
        return heard.news

    def _tell(self, told: Sequence[tuple[AwarenessEntry, str | None]], *, to: str | None = None) -> None:
        users = iter([user_id for _, user_id in told])
        for portion in in_messages([entry for entry, _ in told]):
            self._signal(AwarenessNews(self._document_id, self._process, portion, tuple(next(users) for _ in portion), to))
