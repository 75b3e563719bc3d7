"""Keeps the presence of all processes together: writes down who is in this process's rooms, and reads who is in the others'.

One task for the process. What rooms note is written together with what is due: who comes or goes at once, at most five times
a second; what they tell, every two seconds at most (other processes hear of it by the broker before); that they were active,
every half minute. While somebody is here, the process's lease is renewed every 5 s. Where no other process lives, nothing is
read; where others do, all open documents are read at once, often when no broker carries news. So rooms in which nothing happens
cost nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeAlias, TypeVar

import structlog

from cowrite.core.ports import Broker, Clock, Presence, PresenceError, PresenceNews, PresenceRecord
from cowrite.core.presence.notes import Urgency
from cowrite.core.presence.presence import PresenceList
from cowrite.core.presence.present import Person, Present
from cowrite.core.presence_records import checked
from cowrite.core.records import AccessChange
from cowrite.core.sessions.access import AccessControl

BEAT_SECONDS: Final = 5.0
"""How often the lease is renewed."""
_GAP_SECONDS: Final = 0.2
"""Between two rounds, at least."""
_WRITE_AFTER: Final = {Urgency.NOW: 0.0, Urgency.SOON: 2.0, Urgency.LATER: 30.0, Urgency.GONE: 0.0}
"""Seconds."""
_WRITE_BY_ITSELF: Final = 0.5
"""The same of ``SOON`` where others hear of it only by reading."""
_LOOK_SECONDS: Final = 0.5
"""How often it is looked whether another storage has taken over."""
_READ_WITH_BROKER: Final = 60.0
_READ_BY_ITSELF: Final = 2.0
_SETTLING_SECONDS: Final = 6.0
"""After another storage has taken over: the other processes may not have written to it yet."""
_RETRY_SECONDS: Final = 1.0
_AT_ONCE: Final = 500
"""Records written, and documents read, in one call."""
_LEARNED: Final = 200
"""Records that are learned in one step of the event loop, and"""
_DOCUMENTS: Final = 20
"""documents."""

_Key: TypeAlias = tuple[str, str]
"""A document and a session."""
_Noted: TypeAlias = tuple[Present, bool]
"""A session as it was, and whether it has gone."""
_Asked = TypeVar("_Asked")
_About = TypeVar("_About")

_log = structlog.get_logger(__name__)


class PresenceService:
    """See the module's docstring."""

    def __init__(self, presence: Presence, broker: Broker, clock: Clock, process: str) -> None:
        self._presence = presence
        self._broker = broker
        self._clock = clock
        self.process = process
        self._lists: dict[str, PresenceList] = {}
        self._unread: dict[str, None] = {}
        """Documents that were opened and not read yet."""
        self._unwritten: dict[_Key, tuple[_Noted, float]] = {}
        """Sessions with changes, and when they must be written: monotonic seconds."""
        self._written: dict[str, set[str]] = {}
        """By open document, sessions that may be written down."""
        self._unsent: dict[_Key, _Noted] = {}
        """Sessions of whose changes other processes have not been told."""
        self._staying: dict[_Key, Present] = {}
        """Sessions that stay for a time, which this process has written down: no process answers for them, and a storage may
        lose them while nobody has their document open."""
        self._revoked: list[AccessChange] = []
        """Changes of documents that are not open: sessions that stay for a time may be written down there."""
        self._living = frozenset((process,))
        self._generation = presence.generation
        self._settled_at = self._beat_at = self._read_at = float("-inf")
        self._sleeping_until = float("-inf")
        self._wake = asyncio.Event()
        self._failing = False

    @property
    def degraded(self) -> bool:
        """Presence is not kept where it should be, or not at all."""
        return self._failing or self._presence.degraded

    # ---- what rooms say ----------------------------------------------------------------------------------------------

    def opened(self, document_id: str, people: PresenceList) -> None:
        """A document is open here."""
        self._lists[document_id] = people
        self._written[document_id] = set()
        self._unread[document_id] = None
        self._wake.set()

    def closed(self, document_id: str, people: PresenceList) -> None:
        """It is no longer. What was noted of it is still written. Idempotent."""
        if self._lists.get(document_id) is people:
            del self._lists[document_id]
            self._unread.pop(document_id, None)
            del self._written[document_id]

    def note(self, document_id: str, present: Present, urgency: Urgency) -> None:
        """A session of this process has changed, or has gone. Cheap."""
        key = document_id, present.session_id
        after = _WRITE_AFTER[urgency]
        if urgency is Urgency.SOON and len(self._living) > 1 and not self._broker.reaches_others:
            after = _WRITE_BY_ITSELF
        due = self._clock.monotonic() + after
        if (known := self._unwritten.get(key)) is not None:
            due = min(due, known[1])
        noted = present, urgency is Urgency.GONE
        if noted[1] and known is not None and not known[0][1] and present.session_id not in self._written.get(document_id, ()):
            del self._unwritten[key]  # nobody has to know that it ever was
        else:
            self._unwritten[key] = noted, due
        if urgency is not Urgency.LATER:
            self._unsent[key] = noted
        if urgency is not Urgency.LATER or due < self._sleeping_until:
            self._wake.set()

    def missed(self) -> None:
        """The broker may have lost what other processes told: read it soon."""
        self._read_at = float("-inf")
        self._wake.set()

    def follow(self, access: AccessControl) -> None:
        """Be told of sessions that end, and of access that is revoked."""
        access.listen(self.access_changed)
        access.listen_for_ends(self.session_ended)

    def access_changed(self, change: AccessChange) -> None:
        """Those whose access was revoked are not shown any more. Who has a socket is sent away by it."""
        if change.grant is not None or change.restores:
            return
        for document_id, people in self._lists.items():
            if change.document_id in (None, document_id):
                people.dismiss(change.user_id, change.session_id)
        if change.document_id is not None and change.document_id not in self._lists:
            self._revoked.append(change)
            self._wake.set()

    def session_ended(self, session_id: str) -> None:
        """Its user has ended it, here or at another process."""
        for people in self._lists.values():
            if session_id in people.crowd:
                people.dismiss(None, session_id)

    async def of(self, document_id: str) -> Sequence[Person]:
        """Who is in a document, open here or not. Raises :class:`PresenceError`."""
        if (people := self._lists.get(document_id)) is not None:
            return people.persons
        people = PresenceList(lambda change: None, process=self.process)
        records = (await self._presence.read([document_id])).get(document_id, ())
        await _compare(people, records, self._clock.monotonic())
        return people.persons

    # ---- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write and read until cancelled."""
        while True:
            self._wake.clear()
            retry_at = float("inf")
            try:
                await self._round()
                self._failing = False
            except Exception as error:  # whatever it was: nobody else keeps presence here
                self._fail(error)
                retry_at = self._clock.monotonic() + _RETRY_SECONDS
            await self._clock.sleep(_RETRY_SECONDS if self._failing else _GAP_SECONDS)
            self._sleeping_until = min(self._next_round(), retry_at)
            timer = self._clock.call_later(
                max(0.0, min(self._sleeping_until - self._clock.monotonic(), 3600.0)), self._wake.set
            )
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    async def start(self) -> None:
        """Find out whether presence can be kept, and say so in the log when it cannot."""
        try:
            await self._beat()
        except PresenceError as error:
            self._fail(error)

    async def close(self) -> None:
        """The process stops: everybody here is gone, but for those who stay for a time."""
        self._unwritten = {key: (noted, 0.0) for key, (noted, _) in self._unwritten.items()}
        try:
            await self._write()
            await self._presence.leave(self.process)
        except Exception as error:  # the server has other things to close
            _log.warning("presence not removed; it ends by itself", reason=str(error))
        await self._presence.close()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            fault = None if isinstance(error, PresenceError) else error
            _log.warning("presence neither written nor read; it is tried again", reason=str(error), exc_info=fault)
        self._failing = True

    @property
    def _occupied(self) -> bool:
        return bool(self._staying) or any(people.crowd for people in self._lists.values())

    def _next_round(self) -> float:
        due = min((at for _, at in self._unwritten.values()), default=float("inf"))
        if self._occupied:
            due = min(due, self._beat_at, self._clock.monotonic() + _LOOK_SECONDS)
            if len(self._living) > 1:
                due = min(due, self._read_at)
        return due

    async def _round(self) -> None:
        self._tell()  # first: a broker carries news also while the storage does not work
        if self._occupied or self._unwritten:
            await self._beat()
        await self._write()
        await self._read()
        if self._revoked:
            await self._forget_revoked()

    async def _beat(self) -> None:
        """Renew the lease where presence is kept now. It must be there before what it keeps alive."""
        while self._presence.generation != self._generation or self._clock.monotonic() >= self._beat_at:
            if self._presence.generation != self._generation:
                self._write_again()
            self._living = await self._presence.beat(self.process)
            now = self._clock.monotonic()
            self._beat_at = now + BEAT_SECONDS
            if self._presence.generation == self._generation:  # else the storage has lost something: others live, too
                for people in list(self._lists.values()) if now >= self._settled_at else ():
                    people.keep(self._living, now)
            self._tidy()

    def _tidy(self) -> None:
        now = self._clock.now()
        self._staying = {key: one for key, one in self._staying.items() if (one.expires_at or 0) > now}
        for document_id, written in self._written.items():
            crowd = self._lists[document_id].crowd
            written -= {one for one in written if one not in crowd and (document_id, one) not in self._unwritten}

    def _write_again(self) -> None:
        self._generation = self._presence.generation
        now = self._clock.monotonic()
        self._settled_at = now + _SETTLING_SECONDS
        self._read_at = self._beat_at = now
        for document_id, people in self._lists.items():
            for present in people.writable:
                self._unwritten[document_id, present.session_id] = (present, False), now
        for key, present in self._staying.items():
            if key[0] not in self._lists:
                self._unwritten.setdefault(key, ((present, False), now))

    def _tell(self) -> None:
        """Other processes, by the broker."""
        unsent, self._unsent = self._unsent, {}
        told: defaultdict[str, tuple[list[PresenceRecord], list[str], list[str]]] = defaultdict(lambda: ([], [], []))
        put, removed = self._outcome(unsent)
        for record in put:
            told[record.document_id][0].append(record)
        for record in removed:
            _, gone, ended = told[record.document_id]
            (gone if record.process is not None else ended).append(record.session_id)
        for document_id, (here, gone, ended) in told.items():
            self._broker.send(PresenceNews(document_id, self.process, tuple(here), tuple(gone), tuple(ended)))

    async def _write(self) -> None:
        now = self._clock.monotonic()
        due = {key: noted for key, (noted, at) in self._unwritten.items() if at <= now}
        for part in _portions(due):
            taken = {key: self._unwritten.pop(key) for key in part}
            put, removed = self._outcome(part)
            put = [record for record in put if _can_be_kept(record)]
            # From now on, since they may go meanwhile; and a call that fails may have done its work.
            for record in put:
                self._written.get(record.document_id, set()).add(record.session_id)
            try:
                await self._presence.write(put, removed)
            except BaseException:  # when this task is cancelled, close() still writes what was taken
                self._unwritten = taken | self._unwritten
                raise
            for record in removed:
                self._written.get(record.document_id, set()).discard(record.session_id)
                self._staying.pop((record.document_id, record.session_id), None)
            for record in put:
                if record.process is None and (present := Present.read(record)) is not None:
                    self._staying[record.document_id, record.session_id] = present

    def _outcome(self, noted: Mapping[_Key, _Noted]) -> tuple[list[PresenceRecord], list[PresenceRecord]]:
        """What there is to put and to remove of sessions. Nothing of those that another process has now."""
        put: list[PresenceRecord] = []
        removed: list[PresenceRecord] = []
        for (document_id, session_id), (present, gone) in noted.items():
            people = self._lists.get(document_id)
            current = people.crowd.get(session_id) if people is not None else None
            newest = present if current is None else current
            if newest.process in (self.process, None):
                (removed if gone and current is None else put).append(newest.record(document_id))
        return put, removed

    async def _forget_revoked(self) -> None:
        revoked, self._revoked = self._revoked, []
        try:
            found = await self._presence.read({change.document_id or "" for change in revoked})
            gone = [
                record
                for change in revoked
                for record in found.get(change.document_id or "", ())
                if record.process is None
                and change.user_id in (None, record.user_id)
                and change.session_id in (None, record.session_id)
            ]
            if gone:
                await self._presence.write([], gone)
        except BaseException:
            self._revoked = revoked + self._revoked
            raise
        for record in gone:
            self._staying.pop((record.document_id, record.session_id), None)

    def _is_news(self, key: _Key) -> bool:
        """More is known here of the session than is written down. That it was active again can wait, and does not count."""
        noted = self._unwritten.get(key)
        return noted is not None and noted[1] <= self._clock.monotonic() + _WRITE_AFTER[Urgency.SOON]

    async def _read(self) -> None:
        now = self._clock.monotonic()
        if len(self._living) > 1 and now >= self._read_at:
            asked = dict.fromkeys(self._lists)
            self._read_at = now + (_READ_WITH_BROKER if self._broker.reaches_others else _READ_BY_ITSELF)
        else:
            asked = self._unread
        self._unread = {}
        try:
            for part in _portions(asked):
                asked_at = self._clock.monotonic()
                found = await self._presence.read(part)
                settled = asked_at >= self._settled_at and self._presence.generation == self._generation
                for number, document_id in enumerate(part, 1):
                    records, unwritten = found.get(document_id, ()), _Unwritten(self._is_news, document_id)
                    if (people := self._lists.get(document_id)) is not None:
                        await _compare(people, records, asked_at, unwritten)
                    if (people := self._lists.get(document_id)) is not None:
                        people.settle(records, asked_at, settled=settled, unwritten=unwritten)
                    if number % _DOCUMENTS == 0:
                        await asyncio.sleep(0)
        except BaseException:
            self._unread = asked | self._unread
            raise


class _Unwritten(Container[str]):
    """The sessions in a document of which something is to be written soon, as it is when it is asked."""

    def __init__(self, is_news: Callable[[_Key], bool], document_id: str) -> None:
        self._is_news = is_news
        self._document_id = document_id

    def __contains__(self, session_id: object) -> bool:
        return isinstance(session_id, str) and self._is_news((self._document_id, session_id))


async def _compare(
    people: PresenceList, records: Sequence[PresenceRecord], asked_at: float, unwritten: Container[str] = ()
) -> None:
    """The event loop has other things to do than to learn of thousands at once."""
    for start in range(0, len(records), _LEARNED):
        if start:
            await asyncio.sleep(0)
        people.learn(records[start : start + _LEARNED], asked_at, unwritten)


def _can_be_kept(record: PresenceRecord) -> bool:
    """One that no storage takes must not keep the others from being written."""
    try:
        checked(record)
    except ValueError as error:
        _log.error("a session is not written down in presence", document=record.document_id, reason=str(error))
        return False
    return True


def _portions(asked: Mapping[_Asked, _About]) -> Iterator[dict[_Asked, _About]]:
    left = iter(asked.items())
    while part := dict(islice(left, _AT_ONCE)):
        yield part
