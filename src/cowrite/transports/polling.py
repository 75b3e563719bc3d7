"""Yjs clients without a socket: they send the messages of a y-websocket connection by POST, and ask for what is new by GET.

Theory of operation. What a client sends goes the way of every peer (guard, grants, held updates, backlog, broadcast), so a
session that polls has a peer in the room; it lives on between requests, for some seconds, so that its awareness and its held
updates do, too. What a client is given comes from the committed log alone, by offset: any process can answer any request, and
the peer's outbox is no part of it. Only awareness is this process's own: the cursor says whose it counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import structlog

from cowrite.core.account import KeptAccounts
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.limits import Limits
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.submissions import SubmissionRefused, refuse_damaged
from cowrite.core.ports import Clock, Grant
from cowrite.core.presence.awareness import in_messages
from cowrite.core.presence.awareness_history import AwarenessHistory
from cowrite.core.rooms.inspecting import inspect_from_peer
from cowrite.core.rooms.making import LARGE_BYTES
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.replicas import Committed
from cowrite.core.rooms.room import Room
from cowrite.core.seldom import Seldom
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.session import Session
from cowrite.crdt.document import Document
from cowrite.crdt.state_vector import MalformedStateVector, decode_state_vector
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)
from cowrite.transports.attendance import INSPECT_IN_THREAD_BYTES
from cowrite.transports.polling_peer import PollingPeer

LINGER_SECONDS: Final = 30.0
"""How long a polling session's peer stays after its last request."""
_HELD_SECONDS: Final = 0.5
"""How long a request waits for what its updates build on, before the client is asked for it."""
_NOTHING: Final = b"\x00\x00"
"""The update that brings nothing: what a client answers that has nothing."""
_log = structlog.get_logger(__name__)


class PollingPeers:
    """The polling sessions of this process."""

    def __init__(
        self, registry: Registry, reader: DocumentReader, access: AccessControl, clock: Clock, limits: Limits, process_id: str
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._access = access
        self._clock = clock
        self._limits = limits
        self._process_id = process_id
        self._accounts = KeptAccounts(clock, limits)
        self._peers: dict[Session, PollingPeer] = {}
        self._awareness: WeakKeyDictionary[Room, AwarenessHistory] = WeakKeyDictionary()
        self._lines = Seldom(clock)
        self._draining = False

    async def exchange(self, session: Session, body: bytes, *, lasting: bool) -> tuple[bytes, str]:
        """Take messages, wait until the updates in them are durable, and answer.

        The answer has a SyncStep2 for the last SyncStep1, the awareness that was asked for, a SyncStep1 where the request has
        one or the server lacks something, an :class:`Acknowledged` that counts the updates of this request that are durable,
        and a :class:`PermissionDenied` when some were refused because the document is full.
        Returns it with the cursor for the next poll. Raises :class:`PeerError`, :class:`RoomClosed`, ``AccessDenied``,
        ``StoreError``, and :class:`SubmissionRefused` when the updates are not taken, or not durable in time: send them again.
        """
        try:
            messages = _read(body)
        except PeerError as error:
            _tell_refused(self._lines, session, error)
            raise
        _refuse_updates(session, messages)
        async with self._registry.open(session.document_id) as room:
            if _hold_something(messages):
                refuse_damaged(room.damage)
            with self._peer(room, session, lasting=lasting) as polling:
                async with polling.taking:
                    before = polling.peer.acknowledgements.received
                    try:
                        self._refuse_late(polling)
                        await self._charge(polling, 0.0, size=len(body), messages=len(messages))
                        for message in messages:
                            await self._take(polling, message)
                    finally:
                        polling.account.caught_up()
                    count = polling.peer.acknowledgements.received - before
                await self._durable(polling, before + count)
                committed = await self._reader.committed(room)
                answers = await self._answers(polling, committed, messages)
                durable = min(max(0, polling.peer.acknowledgements.count - before), count)
                # A client that asks may have begun anew, and waits with its edits until it is asked.
                outgrown = bool(polling.peer.outgrown)  # the room asks when there is room for it
                polling.asked |= (durable < count and not outgrown) or any(isinstance(one, SyncStep1) for one in messages)
                full = outgrown and polling.peer.acknowledgements.refused_since(before)
                acknowledged = [Acknowledged(durable, committed.head.offset)] if durable else []
                told = polling.corrections()
                told += [PermissionDenied(room.fullness.reason)] if full else []
                rest = [*told, *polling.question(), *acknowledged]
                self._access.check(session)
                # Of awareness nothing was told but what was asked for: the first poll tells all.
                return _write([*answers, *rest]), self._cursor(committed.head.epoch, committed.head.offset, 0)

    async def poll(self, session: Session, cursor: str | None, *, wait: float, lasting: bool) -> tuple[bytes, str]:
        """What was committed, and whose awareness has changed, since the cursor; the whole state for an unknown cursor.

        Waits up to ``wait`` seconds for something. Raises as :meth:`exchange`.
        """
        async with self._registry.open(session.document_id) as room:
            with self._peer(room, session, lasting=lasting) as polling:
                await self._charge_poll(polling)
                ends_at = self._clock.monotonic() + wait
                while True:
                    changed = polling.changed
                    answers, next_cursor = await self._news(room, polling, cursor)
                    left = ends_at - self._clock.monotonic()
                    if answers or left <= 0:
                        self._access.check(session)
                        answer = _write(answers)
                        polling.account.charge(0.0, len(answer), messages=0)
                        polling.account.caught_up()  # as in _answers()
                        return answer, next_cursor
                    await _soon(changed.wait(), left)
                    self._access.check(session)
                    polling.check()
                    if self._draining:
                        raise RoomClosed(CloseCode.SERVICE_RESTART, "the server is restarting; poll again")

    def absent(self, cursor: str | None) -> tuple[bytes, str]:
        """What a poll is answered of a document that is not there: the empty state, once."""
        known = _Cursor.read(cursor)
        answers = [] if known is not None and not known.epoch else [SyncStep2(_NOTHING)]
        return _write(answers), self._cursor("", 0, 0)

    def leave(self, session: Session) -> None:
        """The session makes no further requests. Idempotent."""
        if (polling := self._peers.get(session)) is not None:
            polling.leave()

    def close(self) -> None:
        """Nobody is kept waiting any more, and nothing lingers."""
        self._draining = True
        for polling in list(self._peers.values()):
            polling.leave()

    # ---- taking ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _peer(self, room: Room, session: Session, *, lasting: bool) -> Iterator[PollingPeer]:
        """The session's peer in this room, which stays at least while the block runs. Raises ``AccessDenied``."""
        self._access.check(session)
        polling = self._peers.get(session)
        if polling is None or polling.room is not room:
            account = self._accounts.of(session.account)
            polling = PollingPeer(room, session, account, self._access, self._clock, self._gone)
            self._peers[session] = polling
        polling.begin()
        try:
            yield polling
        finally:
            polling.end(linger=LINGER_SECONDS if lasting else 0.0)

    def _gone(self, polling: PollingPeer) -> None:
        if self._peers.get(polling.session) is polling:
            del self._peers[polling.session]

    async def _take(self, polling: PollingPeer, message: Message) -> None:
        """Raises :class:`PeerError`: then the peer is gone, and what came before the message is taken."""
        polling.check()
        began = self._clock.cpu()
        try:
            match message:
                case Update(update):
                    await self._take_update(polling, update, everything=False)
                case SyncStep2(update) if update != _NOTHING or polling.may_write:
                    await self._take_update(polling, update, everything=True)
                case AwarenessUpdate(entries):
                    polling.announce(entries)
                case _:
                    pass  # questions are answered at the end
            await self._charge(polling, self._clock.cpu() - began)
        except PeerError as error:
            _tell_refused(self._lines, polling.session, error)
            polling.close(error.code, error.reason)
            raise

    def _refuse_late(self, polling: PollingPeer) -> None:
        """Raises :class:`PeerError` when its user's other requests would keep these waiting for too long."""
        account = polling.account
        if account.owed() > self._limits.late_seconds:
            error = PeerError(CloseCode.TOO_FAST, f"its messages {account.reason('user')}", limit=account.late_by)
            _tell_refused(self._lines, polling.session, error)
            raise error

    async def _charge_poll(self, polling: PollingPeer) -> None:
        """It counts as a message, and as many bytes as its answer: the next one waits for those. Raises :class:`PeerError`."""
        self._refuse_late(polling)
        try:
            await self._charge(polling, 0.0, messages=1)
        finally:
            polling.account.caught_up()

    async def _charge(self, polling: PollingPeer, seconds: float, *, size: int = 0, messages: int = 0) -> None:
        """Others are served first when it was too much. Raises :class:`PeerError` when it has been that for long."""
        account = polling.account
        wait = account.charge(seconds, size, messages)
        if wait is not None and account.exhausted:
            raise PeerError(CloseCode.TOO_FAST, f"its messages {account.reason('user')}", limit=account.late_by)
        if wait is not None:
            await self._clock.sleep(wait)

    async def _take_update(self, polling: PollingPeer, update: bytes, *, everything: bool) -> None:
        outline = None
        if everything and len(update) > self._limits.import_bytes and polling.may_write:
            await polling.room.waking.over()
            polling.check()
            await polling.room.large.bring(polling.peer, update, waits=False)
            polling.check()
            return
        if len(update) > INSPECT_IN_THREAD_BYTES:
            outline = await asyncio.to_thread(inspect_from_peer, update, everything=everything, limits=self._limits)
            polling.check()
        if update != _NOTHING:
            await polling.room.waking.over()
            polling.check()
        polling.room.receive(polling.peer, update, everything=everything, outline=outline)

    async def _durable(self, polling: PollingPeer, count: int) -> None:
        """Wait until the first ``count`` updates of the peer are durable, or some of them are known not to become so soon."""
        began = self._clock.monotonic()
        peer, looked = polling.peer, False
        while True:
            changed = polling.changed
            if peer.starved:
                raise SubmissionRefused("overloaded", "too much waits for the database; send it again later", retry=True)
            if peer.acknowledgements.ended >= count:
                return
            if peer.held and not looked:
                # What it builds on may have been sent to another process.
                looked = True
                polling.room.look_for_news()
            patience = _HELD_SECONDS if peer.held else self._limits.submission_seconds
            if (left := began + patience - self._clock.monotonic()) <= 0:
                if peer.held:
                    return  # the answer asks for what is missing
                raise SubmissionRefused("unavailable", "the database does not take it now; send it again", retry=True)
            await _soon(changed.wait(), left)
            polling.check()

    # ---- giving ------------------------------------------------------------------------------------------------------

    async def _news(self, room: Room, polling: PollingPeer, cursor: str | None) -> tuple[list[Message], str]:
        known = _Cursor.read(cursor)
        history = self._awareness.setdefault(room, AwarenessHistory())
        answers: list[Message] = []
        entries = None
        if known is not None and known.epoch == room.replicas.head.epoch:
            entries = await self._reader.entries(room, known.offset)
        if known is None or entries is None:
            committed = await self._reader.committed(room)
            epoch, offset = committed.head.epoch, committed.head.offset
            answers.append(SyncStep2(committed.state))
        else:
            epoch, offset = known.epoch, entries[-1].offset if entries else known.offset
            answers += [Update(one.entry.update) for one in entries]
        history.look(room.awareness)
        since = known.awareness if known is not None and known.process_id == self._process_id else 0
        answers += map(AwarenessUpdate, in_messages(history.since(since)))
        answers += polling.question()
        return answers, self._cursor(epoch, offset, history.version)

    async def _answers(self, polling: PollingPeer, committed: Committed, messages: Sequence[Message]) -> list[Message]:
        """To what was asked for. Raises :class:`PeerError`.

        Whoever asks twice in one request is answered once: a question takes three bytes, its answer as many as the document.
        What that costs is known afterwards only: the next request waits for it.
        """
        began, room = self._clock.cpu(), polling.room
        answers: list[Message] = []
        try:
            asked = next((one for one in reversed(messages) if isinstance(one, SyncStep1)), None)
            if asked is not None:
                update, elsewhere = await self._behind(room, committed, asked.state_vector)
                began -= elsewhere
                answers.append(SyncStep2(update))
            if any(isinstance(one, QueryAwareness) for one in messages):
                answers += map(AwarenessUpdate, in_messages(room.awareness.entries()))
        finally:
            polling.account.charge(self._clock.cpu() - began, messages=0)
            polling.account.caught_up()  # nothing waits because of it: the answer goes out
        return answers

    async def _behind(self, room: Room, committed: Committed, state_vector: bytes) -> tuple[bytes, float]:
        """What a client lacks of the committed state, and the CPU time that it took in another thread. Raises
        :class:`PeerError`.
        """
        live = room.replicas.live
        try:
            if live is not None and not live.resting and not room.needs_commit and room.replicas.head == committed.head:
                return live.diff(state_vector), 0.0
            if not decode_state_vector(state_vector):
                return committed.state, 0.0
            if len(committed.state) <= LARGE_BYTES:
                return Document.from_state(committed.state).diff(state_vector), 0.0
            return await asyncio.to_thread(_diff, committed.state, state_vector, self._clock)
        except MalformedStateVector as error:
            raise PeerError(CloseCode.MALFORMED_FRAME, f"the state vector cannot be read: {error}") from error

    def _cursor(self, epoch: str, offset: int, awareness: int) -> str:
        return f"{self._process_id}:{epoch}:{offset}:{awareness}"


@dataclass(frozen=True, slots=True)
class _Cursor:
    process_id: str
    epoch: str
    offset: int
    awareness: int

    @classmethod
    def read(cls, text: str | None) -> _Cursor | None:
        """None for what is no cursor: its bearer is given everything."""
        parts = (text or "").split(":")
        if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 16 for part in parts[2:]):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))


def _diff(state: bytes, state_vector: bytes, clock: Clock) -> tuple[bytes, float]:
    began = clock.cpu()
    return Document.from_state(state).diff(state_vector), clock.cpu() - began


def _tell_refused(lines: Seldom, session: Session, error: PeerError) -> None:
    who = {"document": session.document_id, "user": session.author, "session": session.id}
    of = f"{int(error.code)} {session.author}"
    lines.say(_log, "info", "messages of a poll refused", of, **who, code=int(error.code), reason=error.reason)


def _read(body: bytes) -> list[Message]:
    try:
        return [yjs.decode(message) for message in unseal(body)]
    except (yjs.MalformedFrame, UnknownMessage) as error:
        raise PeerError(CloseCode.MALFORMED_FRAME, f"a message cannot be read: {error}") from error


def _refuse_updates(session: Session, messages: Sequence[Message]) -> None:
    """Whoever may not write is told so. Clients that only read send an empty SyncStep2 all the same."""
    if not session.may(Grant.WRITE) and _hold_something(messages):
        raise SubmissionRefused("grant_too_low", "the grant does not allow writing")


def _hold_something(messages: Sequence[Message]) -> bool:
    """Whether there are edits in them."""
    updates = (message.update for message in messages if isinstance(message, Update | SyncStep2))
    return any(update != _NOTHING for update in updates)


def _write(messages: Sequence[Message]) -> bytes:
    return seal(yjs.encode(message) for message in messages)


async def _soon(work: Awaitable[object], seconds: float) -> None:
    """Wait for something, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
