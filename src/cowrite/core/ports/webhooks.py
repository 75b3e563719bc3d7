"""The port to where it is kept how far webhooks have told of documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cowrite.core.event_types import EventType
from cowrite.core.records import Head

MAX_AUTHORS: Final = 100
"""How many a message names."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing to be told."""

    type: EventType
    document_id: str
    at: int
    """When it happened, in milliseconds since 1970."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What is told of it, beside these."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, the same each time."""

    event_id: str
    document_id: str
    type: str
    body: str
    attempts: int
    """How often it was sent in vain."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up. Times are milliseconds since 1970."""

    event_id: str
    document_id: str
    type: str
    body: str
    made_at: int
    died_at: int
    attempts: int
    reason: str
    due_at: int | None
    """Not None: it is to be sent again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is to be sent, as far as it is known without a look at each document."""

    documents: Sequence[str]
    """Those of which something is due, at most as many as were asked for."""
    dead_letters: Sequence[str]
    """Those that somebody wants sent again."""
    oldest: int | None
    """Milliseconds for which the oldest message has waited; None: none waits."""


class WebhookLog(Protocol):
    """How far webhooks have told of each document: compared with the documents, so that an edit writes nothing here.

    Promised: what has happened when :meth:`begin` has returned for the first time is not told; everything since is covered by a
    message, each document's in order, one at a time; and a message is kept until it was :meth:`sent`, or dropped when dead.
    Every method raises :class:`StoreUnavailable`, and those that write :class:`StoreBusy` and :class:`CommitDoubtful`.
    """

    async def begin(self) -> None:
        """Tell of what happens from now on; does nothing when it was called before, by whatever process."""
        ...

    async def waiting(self, *, limit: int, thorough: bool) -> Waiting:
        """Documents of which something is due and that nobody is at; ``thorough``: also what no message was made of yet, for
        which all documents are looked at.
        """
        ...

    async def claim(
        self,
        document_id: str,
        process: str,
        *,
        seconds: float,
        wanted: Collection[EventType],
        write: Callable[[Happened], tuple[str, str]] | None,
        until: Head | None = None,
    ) -> Message | Happened | float | None:
        """The document's next message, for this process alone for so many seconds. None: nothing is to be told, or another
        process is at it. A number: nothing for so many seconds.

        ``until``: of this epoch's entries a new message tells at most up to this offset, where that is more than was told;
        what comes behind it is the next one's. ``write`` makes the id and the body of a new message; None: none is made, and
        what it would tell is given instead, where there is something. The document is this process's then, too, which claims
        it again with ``write``. What is not ``wanted`` is passed over.
        """
        ...

    async def claim_dead(self, event_id: str) -> Message | None:
        """A dead letter that somebody wants sent again, for whoever asks first; None: there is none."""
        ...

    async def sent(self, message: Message, process: str) -> None:
        """It was received: there is nothing more to do for it. Of a dead letter, too."""
        ...

    async def failed(self, message: Message, process: str, *, reason: str, again: float | None) -> None:
        """It was not: it is due ``again`` after so many seconds; None: it is given up."""
        ...

    async def dead(self, *, after: str | None = None, limit: int = 100) -> Sequence[DeadLetter]:
        """Messages that were given up, in the order of their ids."""
        ...

    async def dead_letter(self, event_id: str) -> DeadLetter | None:
        """One of them; None: there is none of this id."""
        ...

    async def count_dead(self) -> int:
        """How many there are."""
        ...

    async def retry(self, event_id: str) -> bool:
        """Have one sent again. False: there is none of this id."""
        ...

    async def drop(self, event_id: str) -> bool:
        """Forget one. False: there is none of this id."""
        ...
