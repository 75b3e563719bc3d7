"""Moments of a document: which one is meant, and what the document was then."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from cowrite.core.history.cache import Cache
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.faults import reading
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.operations.state import State
from cowrite.core.ports import HistoryForgotten, InvalidId, Storage
from cowrite.core.records import DocumentInfo, Head, StoredDocument
from cowrite.core.rooms.replicas import Committed
from cowrite.crdt.history.moments import document_at
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.state import get_state

CACHE_BYTES: Final = 64 << 20
"""What the states that are kept may take, about."""
_STATE_COST: Final = 8
"""A state as values takes so many times the bytes of its JSON."""
_OFFSET: Final = re.compile(r"[0-9]{1,18}")
_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)([Zz]|[+ -]\d{2}:\d{2})")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
"""What is meant to be a time."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Moment:
    """A document as it was behind one entry."""

    info: DocumentInfo
    """What was known of the document when it was asked for."""
    head: Head
    """The head as it was then."""
    created_at: int | None
    """When that entry was made, in milliseconds since 1970; None of the empty document at offset 0."""

    @property
    def document_id(self) -> str:
        """Whose moment it is."""
        return self.info.document_id

    @property
    def offset(self) -> int:
        """The entry's offset; 0: before the first one."""
        return self.head.offset

    @property
    def epoch(self) -> str:
        """Names the log in which the offset counts."""
        return self.head.epoch


class Moments:
    """Finds moments and makes the documents of them, in the worker's thread. Remembers those asked for last."""

    def __init__(self, storage: Storage, worker: HistoryWorker, *, max_bytes: int = CACHE_BYTES) -> None:
        self._history = storage.history
        self._versions = storage.versions
        self._worker = worker
        self._states: Cache[State] = Cache(max_bytes)

    def forget(self, document_id: str) -> None:
        """Keep nothing of this document."""
        self._states.forget(document_id)

    async def resolve(self, info: DocumentInfo, at: str) -> Moment:
        """The moment that is meant: ``offset:42``, ``time:`` and milliseconds since 1970 or a date with time and zone (RFC
        3339), ``version:`` or ``operation:`` and an id; or without the word before it: digits are an offset, a date with time
        and zone is a time, everything else a version, or else an operation. A time means the last entry made by then.

        Raises :class:`HistoryRefused` (``unknown_moment``), :class:`HistoryForgotten`, and what reading the store raises.
        """
        return await self.at(info, await self.offset_of(info, at))

    async def offset_of(self, info: DocumentInfo, at: str) -> int:
        """The offset of the moment that is meant, which may be forgotten. Raises as :meth:`resolve` otherwise."""
        offset = await self._locate(info, at)
        if offset is None or offset > info.head.offset:
            raise HistoryRefused("unknown_moment", _unknown(info, at))
        return offset

    async def at(self, info: DocumentInfo, offset: int) -> Moment:
        """The moment at an offset that is not beyond the head. Raises :class:`HistoryForgotten`."""
        if offset < info.first_offset - 1:
            raise HistoryForgotten(info.document_id, info.first_offset)
        if not offset:
            return Moment(info, Head(info.head.epoch, 0, ""), None)
        entries = await self._history.authored(info.document_id, after=offset - 1, limit=1)
        known = bool(entries) and entries[0].offset == offset
        head = info.head if offset == info.head.offset else Head(info.head.epoch, offset, "")
        return Moment(info, head, entries[0].created_at if known else info.updated_at)

    async def state(self, moment: Moment) -> State:
        """The document as it was then. Raises as :meth:`resolve`, and :class:`StoreCorrupt`."""
        document_id = moment.document_id
        kept = self._states.get(moment.info, moment.offset)
        if kept is not None:
            return kept
        with self._states.making(moment.info, moment.offset) as keep:
            stored = await self._load(moment)
            operation = await self._history.last_operation(document_id, until=moment.offset)
            state = await self._worker.run(document_id, partial(_state, stored, moment, operation))
            keep(state, len(state.committed.state) + (1 + _STATE_COST) * len(state.json))
        return state

    async def _load(self, moment: Moment) -> StoredDocument:
        stored = await self._history.load_at(moment.document_id, moment.offset)
        if stored is None or stored.head.epoch != moment.epoch:
            raise HistoryRefused("history_replaced", "the document's history was replaced meanwhile; ask again")
        return stored

    async def _locate(self, info: DocumentInfo, at: str) -> int | None:
        kind, colon, name = at.partition(":")
        try:
            match kind if colon else "":
                case "offset":
                    return int(name) if _OFFSET.fullmatch(name) else None
                case "time":
                    time = int(name) if _OFFSET.fullmatch(name) else _time(name)
                    return await self._at_time(info, time) if time is not None else None
                case "version":
                    return await self._of_version(info, name)
                case "operation":
                    return await self._history.locate(info.document_id, name)
                case _:
                    return await self._guess(info, at)
        except InvalidId:
            return None

    async def _guess(self, info: DocumentInfo, at: str) -> int | None:
        if _OFFSET.fullmatch(at):
            return int(at)
        if (time := _time(at)) is not None:
            return await self._at_time(info, time)
        found = await self._of_version(info, at)
        return found if found is not None else await self._history.locate(info.document_id, at)

    async def _at_time(self, info: DocumentInfo, time: int) -> int:
        # What is made now is not looked for: no moment is beyond the head that is known.
        return min(await self._history.offset_at(info.document_id, time), info.head.offset)

    async def _of_version(self, info: DocumentInfo, version_id: str) -> int | None:
        version = await self._versions.get(info.document_id, version_id)
        return version.offset if version is not None else None


def _unknown(info: DocumentInfo, at: str) -> str:
    if _DATE.match(at.removeprefix("time:")):
        needed = "2026-11-28T14:00:00Z or 2026-11-28T15:00:00+01:00 (in an address a + is %2B)"
        return f"{at!r} is no time that can be looked for: that has a date, a time and a zone, as {needed}"
    known = f"name an offset up to {info.head.offset}, a time, or the id of a version or of an operation"
    return f"this document has no moment {at!r}; {known}"


def _time(text: str) -> int | None:
    """Milliseconds since 1970 of a date and time with its zone; None: it is none. In a query's ``+`` a space may stand."""
    if (found := _TIME.fullmatch(text)) is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}{found[2].replace(' ', '+')}".upper())
    except ValueError:
        return None
    # Exactly: a float has not enough digits for a last millisecond.
    since = moment - _1970
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


_1970: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _state(stored: StoredDocument, moment: Moment, operation: str | None) -> State:
    with reading(moment.document_id):
        log = _document(stored)
        content = get_state(log)
    return State(Committed(stored.head, log.encode(), log.roots), content, _encode(content).encode(), operation)


def _document(stored: StoredDocument) -> LogDocument:
    checkpoint, updates = stored.checkpoint, [entry.update for entry in stored.entries]
    # In a log the clocks of a Yjs client ascend: of each the last range counts.
    until = {client: end for entry in stored.entries for client, _, end in entry.ranges}
    return document_at(checkpoint.state if checkpoint else None, checkpoint.roots if checkpoint else {}, updates, until=until)
