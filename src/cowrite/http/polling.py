"""Polling: what is new behind a cursor, at once or as soon as there is something.

Most polls find nothing new. They are answered from memory, with 304 to a client that says what it has, and so this route is a
plain ASGI application: the framework's way through a route costs more than the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from http import HTTPStatus
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from cowrite.core.errors import RoomClosed
from cowrite.core.operations.reading import Found, Operations
from cowrite.core.operations.state import State
from cowrite.core.ports import Grant
from cowrite.core.rooms.room import Room
from cowrite.http.backend import PRESENT_SECONDS, Backend, Serving, backend_of
from cowrite.http.contents import Content, matches, not_modified
from cowrite.http.credentials import Caller, check_document_id, identify, parameters_of, token_of
from cowrite.http.exchange import binary_answer, wants_binary
from cowrite.http.problems import Refusal, unavailable
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.thin import json_list

MAX_WAIT_SECONDS: Final = 25.0
"""Longer, and proxies on the way give up."""
_RENDERED_SECONDS: Final = 5.0
"""How long the written list of who is present may be used while nobody comes or goes."""
_LOOK_SECONDS: Final = 0.5
"""How often a document that is not there is looked for."""
_SHARED_SECONDS: Final = 0.1
"""How long an answer is given to others who ask the same; its heartbeat is late by so much at most."""
_NOBODY: Final = b"[]"
_Result = TypeVar("_Result")

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class PollRequest:
    """What a client asks."""

    document_id: str
    cursor: str | None
    wait: float
    binary_cursor: str | None
    token: str | None
    headers: Headers
    scope: Scope

    @classmethod
    def read(cls, scope: Scope) -> PollRequest:
        """Raises :class:`Refusal`."""
        given = parameters_of(scope["query_string"])
        if "document_id" not in given:
            raise _invalid("document_id is missing.")
        cursor = given.get("last_operation") or None
        return cls(
            document_id=check_document_id(given["document_id"]),
            cursor=cursor,
            wait=_seconds(given.get("wait", "0")),
            binary_cursor=given.get("cursor"),
            token=token_of(scope),
            headers=Headers(scope=scope),
            scope=scope,
        )


class PollEndpoint:
    """``GET /api/v2/realtime/poll``, as an ASGI application."""

    def __init__(self, serving: Serving) -> None:
        self._backend = backend_of(serving)
        self._people: WeakKeyDictionary[Room, _People] = WeakKeyDictionary()
        self._contents: dict[tuple[str, str | None, bool, str], tuple[float, Content]] = {}
        """The last answers, by what was asked and what was found, and when they were written."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one poll. Raises what the application turns into problems."""
        request, backend = PollRequest.read(scope), self._backend()
        caller = await identify(backend, request.token, request.document_id, Grant.READ)
        answering = self._answer(request, backend, caller)
        response = await _unless_gone(answering, receive) if request.wait else await answering
        if response is not None:
            await response(scope, receive, send)

    async def _answer(self, request: PollRequest, backend: Backend, caller: Caller) -> Response:
        if request.wait:
            request = await _once_there(request, backend, caller)
        if not wants_binary(request.headers):
            return await self._poll(request, backend, caller)
        async with _room(backend, request.document_id) as room:
            if room is None:
                answer = backend.binary.absent(request.binary_cursor)
                backend.access.check(caller.session)
            else:
                answer = await backend.binary.poll(
                    caller.session, request.binary_cursor, wait=request.wait, lasting=caller.lasting
                )
        return await binary_answer(*answer, request.scope)

    async def _poll(self, request: PollRequest, backend: Backend, caller: Caller) -> Response:
        async with _room(backend, request.document_id) as room:
            found: Found
            if room is None:
                found, people, epoch, damage = Operations((), request.cursor, 0), _NO_PEOPLE, "", None
            else:
                if caller.lasting:
                    now, seconds = backend.clock.monotonic(), request.wait + PRESENT_SECONDS
                    room.presence.visit(caller.session, backend.clock.now(), now, seconds)
                found = await self._find(request, backend, caller, room)
                people, epoch, damage = self._present(room, backend), room.replicas.head.epoch, room.damage
            # Once more, behind everything that was waited for.
            backend.access.check(caller.session)
        etag = _etag(epoch, found.offset, people.digest)
        if matches(request.headers.get("if-none-match"), etag):
            return not_modified(etag)
        content = self._content(request, backend, found, people, etag, read_only=damage is not None)
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        return await content.answer(request.scope, media_type="application/json", headers=headers)

    def _content(
        self, request: PollRequest, backend: Backend, found: Found, people: _People, etag: str, *, read_only: bool
    ) -> Content:
        """Written once for all who ask within a moment: when somebody comes, everybody is told of everybody."""
        # A whole state is the same behind whatever cursor: such as are made up would else have it written for each of them.
        cursor = request.cursor if isinstance(found, Operations) else None
        key, asked = (request.document_id, cursor, isinstance(found, State), etag), backend.clock.monotonic()
        known = self._contents.get(key)
        if known is not None and asked - known[0] < _SHARED_SECONDS:
            return known[1]
        now, status = backend.clock.now(), backend.load.status
        content = Content(_body(found, people.json, now=now, server=status, read_only=read_only))
        self._contents.pop(key, None)
        self._contents[key] = asked, content
        for old in [old for old, (written_at, _) in self._contents.items() if asked - written_at >= _SHARED_SECONDS]:
            del self._contents[old]
        return content

    async def _find(self, request: PollRequest, backend: Backend, caller: Caller, room: Room) -> Found:
        """What is new, once there is something or the time is over."""
        seen = request.headers.get("if-none-match")
        version = room.presence.crowd.version
        ends_at = backend.clock.monotonic() + request.wait
        while True:
            found = await backend.reader.since(room, request.cursor)
            if isinstance(found, State) or found.count or room.presence.crowd.version != version:
                return found
            if (left := ends_at - backend.clock.monotonic()) <= 0:
                return found
            if seen is not None:
                digest = self._present(room, backend).digest
                if not matches(seen, _etag(room.replicas.head.epoch, found.offset, digest)):
                    return found  # the client knows others for present than are
            feed = room.feed()
            try:
                async with asyncio.timeout(left):
                    await feed.wait(found.offset)
            except TimeoutError:
                continue
            backend.access.check(caller.session)
            if backend.draining or room.failed or room.readership.feed is not feed:
                raise unavailable("The document is not served here any more; poll again.")

    def _present(self, room: Room, backend: Backend) -> _People:
        known, now = self._people.get(room), backend.clock.monotonic()
        if known is None or known.version != room.presence.crowd.version or now - known.rendered_at > _RENDERED_SECONDS:
            known = self._people[room] = _render(room, now)
        return known


@dataclass(frozen=True, slots=True)
class _People:
    """Who is present, written once for all who ask."""

    version: int
    rendered_at: float
    json: bytes
    digest: bytes
    """Of what they are and tell; not of when they were last heard."""


def _render(room: Room, now: float) -> _People:
    persons = room.presence.persons
    lasting = blake2b(b",".join([person.lasting for person in persons]), digest_size=8)
    written = json_list([person.json for person in persons])
    return _People(room.presence.crowd.version, now, written, lasting.digest())


_NO_PEOPLE: Final = _People(0, 0.0, _NOBODY, blake2b(_NOBODY, digest_size=8).digest())


def _etag(epoch: str, offset: int, people: bytes) -> str:
    # Not of how the server is: when it is late it must not have to tell everybody everything again because of that.
    return f'W/"{blake2b(f"{epoch} {offset} ".encode() + people, digest_size=12).hexdigest()}"'


def _body(found: Found, people: bytes, *, now: int, server: str, read_only: bool) -> bytes:
    operations = b"" if isinstance(found, State) else b",".join(one.operations for one in found.entries if one.operations)
    rest = b',"reset":true,"state":%s' % found.json if isinstance(found, State) else b""
    if read_only:
        rest += b',"read_only":"damaged"'
    return b'{"operations":[%s],"presence":%s,"heartbeat":%d,"head":%s,"offset":%d,"link":"ok","server":"%s"%s}' % (
        operations,
        people,
        now,
        _encode(found.head).encode(),
        found.offset,
        server.encode(),
        rest,
    )


@asynccontextmanager
async def _room(backend: Backend, document_id: str) -> AsyncIterator[Room | None]:
    """The room of a document; None when there is no such document: polling opens nothing for it."""
    if backend.registry.get(document_id) is None:
        info = await backend.directory.info(document_id)
        if info is None:
            yield None
            return
        if info.deleted_at is not None:
            raise RoomClosed(CloseCode.DOCUMENT_DELETED, "the document was deleted")
    async with backend.registry.open(document_id) as room:
        yield room


async def _once_there(request: PollRequest, backend: Backend, caller: Caller) -> PollRequest:
    """Wait until the document is there, and return the request with what is left of its time; else whoever waits for the first
    word in a document would be answered at once, again and again.
    """
    ends_at = backend.clock.monotonic() + request.wait
    while backend.registry.get(request.document_id) is None and await backend.directory.info(request.document_id) is None:
        if (left := ends_at - backend.clock.monotonic()) <= 0:
            break
        await backend.clock.sleep(min(left, _LOOK_SECONDS))
        backend.access.check(caller.session)
        if backend.draining:
            raise unavailable("The server is stopping; poll again.")
    return replace(request, wait=max(0.0, ends_at - backend.clock.monotonic()))


async def _unless_gone(work: Awaitable[_Result], receive: Receive) -> _Result | None:
    """The result of ``work``; it is cancelled, and None returned, when the client goes away before."""
    working = asyncio.ensure_future(work)
    going = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, going):
            task.cancel()
        await asyncio.wait((working, going))


async def _gone(receive: Receive) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()


def _seconds(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= MAX_WAIT_SECONDS:
        raise _invalid(f"wait is a number of seconds from 0 to {MAX_WAIT_SECONDS:g}.")
    return wait


def _invalid(detail: str) -> Refusal:
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable_entity", detail)
