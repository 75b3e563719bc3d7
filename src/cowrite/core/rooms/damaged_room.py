"""The room of a document that cannot be read to its end: it shows what can be read, and nothing in it ever changes.

Theory of operation. It stands at the last offset before the damage, for as long as it is open. Peers attach, synchronise, point
and read as in any room; none of them may write (``damage``). Whatever in a room leads to the journal leads elsewhere here, so
that no transaction, no checkpoint and no look under the lock ever comes of it:

* What other processes say they have committed is not applied: it stands behind bytes that nobody can read. (A process that had
  the document open before it was damaged has it whole in memory, and goes on; its next checkpoint makes the document whole.)
* Where another room would be made again from its log by the journal, everybody is sent away, and the next who comes opens it.
* It notices that it may be mended by the watch over the heads: at once when that shows another log, else every ten seconds.
  Then everybody is sent away to come back, and the document is opened as any other.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.damaged import Damaged
from cowrite.core.operations.submissions import SubmissionRefused, Waiting
from cowrite.core.ports import News
from cowrite.core.rooms.replicas import Replicas
from cowrite.core.rooms.room import Room
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.protocol.close_codes import CloseCode

LOOK_SECONDS: Final = 10.0
"""Between two looks whether the document can be read to its end. Each reads as much as opening it does."""


class DamagedRoom(Room):
    """See the module's docstring. Made by the registry, never directly."""

    def __init__(self, document_id: str, replicas: Replicas, ports: RoomPorts, damage: Damaged) -> None:
        super().__init__(document_id, replicas, ports, damage)
        self._looked_at = ports.clock.monotonic()

    def look_is_due(self) -> bool:
        """Whether it is time to look whether it was mended; the time counts anew from now on then."""
        now = self._clock.monotonic()
        due = now - self._looked_at >= LOOK_SECONDS
        if due:
            self._looked_at = now
        return due

    def mended(self) -> None:
        """The document can be read to its end: everybody comes back to it as it is."""
        reason = "the document can be read again; reconnect and sync"
        self._end(CloseCode.DOCUMENT_REBUILT, reason, SubmissionRefused("unavailable", reason, retry=True))

    def submit(self, submission: Waiting) -> None:
        """Never called: what would be submitted is refused before."""
        raise AssertionError("nothing is written to a damaged document")

    def learn(self, news: News) -> None:
        """News of another process: nothing of it is applied. Another log is looked at now."""
        if news.epoch != self.replicas.head.epoch:
            self.look_for_news()

    def look_under_lock(self) -> None:
        """Only who may write the document has anything to look for there."""

    def rebuild(self, code: CloseCode, reason: str) -> None:
        """What is shown here has broken: everybody is sent away, and who comes back opens it anew."""
        self.fail(reason)
