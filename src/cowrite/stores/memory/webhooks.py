"""How far webhooks have told, in memory: the same order and the same attempts as in a database, until the process ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cowrite.core.event_types import EventType
from cowrite.core.ports.webhooks import MAX_AUTHORS, DeadLetter, Happened, Message, Waiting, WebhookLog
from cowrite.core.records import Head, Version
from cowrite.stores.encoding import MAX_UUID, check_id
from cowrite.stores.memory.database import Call, Connection
from cowrite.stores.memory.tables import Document, Presence, Telling
from cowrite.stores.telling import end_of_message

_TOLD: Final[dict[Presence, EventType]] = {
    "there": EventType.UNDELETED,
    "deleted": EventType.DELETED,
    "purged": EventType.PURGED,
}


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a new message is made of."""

    document_id: str
    document: Document
    telling: Telling
    now: int
    wanted: Collection[EventType]
    write: Callable[[Happened], tuple[str, str]] | None
    until: Head | None


class MemoryWebhookLog:
    """The port :class:`cowrite.core.ports.webhooks.WebhookLog` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clock = connection.database.clock
        self._tables = connection.database.tables
        self._kept = connection.database.tables.webhooks

    async def begin(self) -> None:
        await self._connection.begin("begin_webhooks")
        if self._kept.begun:
            return
        self._kept.begun = True
        for name, document in self._tables.documents.items():
            versions = {one.id for one in self._tables.versions.values() if one.document_id == name}
            self._kept.tellings[name] = Telling(document.head.epoch, document.head.offset, versions, _state_of(document))

    async def waiting(self, *, limit: int, thorough: bool) -> Waiting:
        await self._connection.begin("waiting")
        now, tellings = self._clock.now(), self._kept.tellings
        sending = sorted((one.due_at, name) for name, one in tellings.items() if one.message is not None)
        found = [name for due_at, name in sending if due_at <= now and tellings[name].claimed_until <= now][:limit]
        if thorough:
            found += [name for name in self._tables.documents if self._is_behind(name, now)][:limit]
        dead = sorted(one.event_id for one in self._kept.dead.values() if one.due_at is not None and one.due_at <= now)
        oldest = min((one.made_at for one in tellings.values() if one.message is not None), default=None)
        return Waiting(found, dead[:limit], None if oldest is None else now - oldest)

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
        await self._connection.begin("claim", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None:
            return None
        now = self._clock.now()
        telling = self._kept.tellings.setdefault(document_id, Telling(document.head.epoch))
        if telling.claimed_until > now and telling.claimed_by != process:
            return None
        telling.claimed_by, telling.claimed_until = process, now + int(seconds * 1000)
        if telling.message is None:
            unwritten = self._make(_Claim(document_id, document, telling, now, wanted, write, until))
            if unwritten is not None:
                return unwritten
        if telling.message is not None and telling.due_at <= now:
            return telling.message
        telling.release()
        return None if telling.message is None else (telling.due_at - now) / 1000

    async def claim_dead(self, event_id: str) -> Message | None:
        await self._begin("claim_dead", event_id)
        letter = self._kept.dead.get(event_id)
        if letter is None or letter.due_at is None:
            return None
        self._kept.dead[event_id] = replace(letter, due_at=None)
        return Message(event_id, letter.document_id, letter.type, letter.body, letter.attempts)

    async def sent(self, message: Message, process: str) -> None:
        await self._connection.begin("sent")
        telling = self._mine(message, process)
        if telling is None:
            self._kept.dead.pop(message.event_id, None)
            return
        telling.message = None
        telling.release()

    async def failed(self, message: Message, process: str, *, reason: str, again: float | None) -> None:
        await self._connection.begin("failed")
        now, telling = self._clock.now(), self._mine(message, process)
        tried = replace(message, attempts=message.attempts + 1)
        letter = self._kept.dead.get(message.event_id)
        if telling is not None and again is not None:
            telling.message, telling.due_at = tried, now + int(again * 1000)
            telling.release()
        elif telling is not None:
            about = (message.event_id, message.document_id, message.type, message.body)
            self._kept.dead[message.event_id] = DeadLetter(*about, telling.made_at, now, tried.attempts, reason, None)
            telling.message = None
            telling.release()
        elif letter is not None:
            self._kept.dead[message.event_id] = replace(
                letter, attempts=tried.attempts, died_at=now, reason=reason, due_at=None
            )

    async def dead(self, *, after: str | None = None, limit: int = 100) -> Sequence[DeadLetter]:
        await self._connection.begin("dead")
        found = sorted(event_id for event_id in self._kept.dead if after is None or event_id > after)
        return tuple(self._kept.dead[event_id] for event_id in found[:limit])

    async def dead_letter(self, event_id: str) -> DeadLetter | None:
        await self._begin("dead_letter", event_id)
        return self._kept.dead.get(event_id)

    async def count_dead(self) -> int:
        await self._connection.begin("count_dead")
        return len(self._kept.dead)

    async def retry(self, event_id: str) -> bool:
        await self._begin("retry", event_id)
        letter = self._kept.dead.get(event_id)
        if letter is not None:
            self._kept.dead[event_id] = replace(letter, due_at=self._clock.now())
        return letter is not None

    async def drop(self, event_id: str) -> bool:
        await self._begin("drop", event_id)
        return self._kept.dead.pop(event_id, None) is not None

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _begin(self, call: Call, event_id: str) -> None:
        check_id("The id of the message", event_id, longest=MAX_UUID)
        await self._connection.begin(call)

    def _mine(self, message: Message, process: str) -> Telling | None:
        """None: it is another process's meanwhile, or a dead letter."""
        telling = self._kept.tellings.get(message.document_id)
        if telling is None or telling.message is None or telling.claimed_by != process:
            return None
        return telling if telling.message.event_id == message.event_id else None

    def _is_behind(self, document_id: str, now: int) -> bool:
        """Something is to be told of it that no message was made of, and nobody is at it."""
        document, telling = self._tables.documents[document_id], self._kept.tellings.get(document_id)
        if telling is None:
            return True
        if telling.message is not None or telling.claimed_until > now:
            return False
        told = (telling.epoch, telling.offset, telling.state)
        behind = told != (document.head.epoch, document.head.offset, _state_of(document))
        return behind or self._version(document_id, telling) is not None

    def _make(self, claim: _Claim) -> Happened | None:
        """The next message; what is not wanted is passed over. Returns what cannot be written: it is not told."""
        if claim.write is None:
            draft = replace(claim, telling=replace(claim.telling, versions=set(claim.telling.versions)))
            while (happened := self._next(draft)) is not None:
                if happened.type in claim.wanted:
                    return happened
        while (happened := self._next(claim)) is not None:
            if claim.write is not None and happened.type in claim.wanted:
                event_id, body = claim.write(happened)
                claim.telling.message = Message(event_id, claim.document_id, happened.type.value, body, 0)
                claim.telling.made_at = claim.telling.due_at = claim.now
                break
        return None

    def _next(self, claim: _Claim) -> Happened | None:
        """What is to be told next; it counts as told then."""
        document_id, document, telling = claim.document_id, claim.document, claim.telling
        if telling.epoch != document.head.epoch:
            telling.epoch, telling.offset = document.head.epoch, 0
        if telling.offset < document.head.offset:
            return _changed(claim)
        if (version := self._version(document_id, telling)) is not None:
            telling.versions.add(version.id)
            fields = {"version_id": version.id, "offset": version.offset, "kind": version.kind, "name": version.name}
            told = {**fields, "authors": [version.author]}
            return Happened(EventType.VERSION_CREATED, document_id, version.created_at, told)
        state = _state_of(document)
        if telling.state == state:
            return None
        telling.state = state
        at = document.purged_at or document.deleted_at or document.updated_at
        return Happened(_TOLD[state], document_id, at)

    def _version(self, document_id: str, telling: Telling) -> Version | None:
        """The first that is to be told of."""
        of_it = (one for one in self._tables.versions.values() if one.document_id == document_id)
        new = (one for one in of_it if one.id not in telling.versions)
        return min(new, key=lambda one: (one.created_at, one.id), default=None)


def _state_of(document: Document) -> Presence:
    return "purged" if document.purged_at is not None else "deleted" if document.deleted_at is not None else "there"


def _changed(claim: _Claim) -> Happened:
    document, after = claim.document, claim.telling.offset
    head = end_of_message(document.head.epoch, after, document.head.offset, claim.until)
    claim.telling.offset = head
    rows = [row.entry for row in document.rows if after < row.entry.offset <= head]
    authors = sorted({entry.author for entry in rows})
    at = rows[-1].created_at if rows else document.updated_at
    told = {"epoch": document.head.epoch, "after": after, "offset": head}
    people = {"authors": authors[:MAX_AUTHORS], "more_authors": len(authors) > MAX_AUTHORS}
    return Happened(EventType.CHANGED, claim.document_id, at, told | people)


if TYPE_CHECKING:
    _: type[WebhookLog] = MemoryWebhookLog
