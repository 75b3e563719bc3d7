"""Somebody without a socket: polls for operations, and posts them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

from cowrite.loadtest.edits import CURSOR_TIME, IndexTypist
from cowrite.loadtest.errors import BRING_A_TOKEN, LoadError
from cowrite.loadtest.frames import AWARENESS, UPDATE, Frame, insertions
from cowrite.loadtest.http_requests import Answer, Requests
from cowrite.loadtest.people.json_socket import own_length
from cowrite.loadtest.people.person import Crew, Person
from cowrite.loadtest.plan import Role

_LONG_POLL_SECONDS: Final = 25
_RENEW_SECONDS: Final = 480.0
"""An access token lives for ten minutes."""


class PollingPerson(Person):
    """See the module. What it writes goes out in its order, a request at a time; polls have a connection of their own."""

    def __init__(self, role: Role, crew: Crew) -> None:
        super().__init__(role, crew)
        self.typist = IndexTypist(self.rng.randrange(crew.plan.document_bytes + 1))
        self._polls = Requests(crew.addresses)
        self._posts = Requests(crew.addresses)
        self._authorization: dict[str, str] = {}
        self._renewed = 0.0
        self._head: str | None = None
        self._etag: str | None = None
        self._newest_cursor = 0
        self._work: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._unanswered = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waits(self) -> bool:
        return self.left is None and self._unanswered > 0

    async def join(self) -> None:
        token = self.crew.addresses.token_for(self.number)
        wanted = {"document_id": self.role.document} | ({} if token is None else {"session_token": token})
        answer = await self._posts.ask("POST", self._path("connect"), body=wanted)
        if answer.status != 200:
            raise LoadError(f"{self.crew.plan.url} lets nobody in: {_reason(answer)}{BRING_A_TOKEN}")
        self._authorize(answer)
        document = self.crew.addresses.document_path(self.role.document)
        state = await self._posts.ask("GET", document, headers=self._authorization)
        if state.status not in {200, 404}:
            raise LoadError(f"{self.crew.plan.url} does not give the document: {_reason(state)}")
        self._head = state.json().get("head") if state.status == 200 else None
        for work in (self._poll_on, self._write_on):
            self._tasks.append(asyncio.create_task(self._lasting(work)))
        self.came_in()

    def write(self, text: str, at: int) -> None:
        self._unanswered += 1

        async def post() -> None:
            # An id, so that a request that is sent again is not applied twice.
            name = f"{self.number:x}-{at:x}"
            operation = {"id": name, "type": "insert", "position": ["body", self.typist.type(text)], "content": text}
            body = {"document_id": self.role.document, "base": self._head, "operations": [operation]}
            answer = await self._posts.ask("POST", self._path("operations"), headers=self._authorization, body=body)
            self._unanswered -= 1
            if answer.status == 200:
                self.acknowledged(at)
            else:
                self.meter.refused += 1
                self.typist.read(self.typist.index + 1, 0, len(text))

        self._work.put_nowait(post)

    def point(self) -> None:
        at = time.monotonic_ns()
        if at >= self.crew.reader.since:
            self.meter.cursors_sent += 1
        body = {"document_id": self.role.document, "cursor": ["body", self.typist.index], "data": {"at": at}}

        async def post() -> None:
            await self._posts.ask("POST", self._path("presence"), headers=self._authorization, body=body)

        self._work.put_nowait(post)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._polls.close()
        self._posts.close()

    async def _lasting(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (OSError, EOFError, LoadError) as error:
            self.lost(str(error) or "the connection was lost")

    async def _write_on(self) -> None:
        while True:
            await (await self._work.get())()

    async def _poll_on(self) -> None:
        every = self.crew.plan.poll_every
        while True:
            began = time.monotonic()
            if began - self._renewed > _RENEW_SECONDS:
                await self._renew()
            self._take(await self._poll(wait=0 if every else _LONG_POLL_SECONDS))
            if every:
                await asyncio.sleep(max(0.0, began + every - time.monotonic()))

    async def _poll(self, wait: int) -> Answer:
        query: dict[str, Any] = {"document_id": self.role.document}
        query |= {"last_operation": self._head} if self._head is not None else {}
        query |= {"wait": wait} if wait else {}
        known = {"If-None-Match": self._etag} if self._etag else {}
        path = f"{self._path('poll')}?{urlencode(query, quote_via=quote)}"
        return await self._polls.ask("GET", path, headers=self._authorization | known)

    def _take(self, answer: Answer) -> None:
        self.meter.frames += 1
        self.meter.bytes += len(answer.body)
        if answer.status == 304:
            return
        if answer.status != 200:
            raise LoadError(f"a poll was refused: {_reason(answer)}")
        self._etag = answer.headers.get("etag")
        told = answer.json()
        self._head = told["head"]
        if told.get("reset"):
            self.has_all_of(answer.body)
        else:
            self._read(told["operations"], answer.body)
        self._look_at_cursors(answer.body)

    def _read(self, operations: list[dict[str, Any]], body: bytes) -> None:
        frame = Frame(UPDATE)
        self.crew.reader.count(frame, body)
        if frame.count:
            self.took(frame)
        for index, length, text in insertions(operations) if self.role.types else ():
            self.typist.read(index, length, own_length(self.number, text))

    def _look_at_cursors(self, body: bytes) -> None:
        newest, since = self._newest_cursor, self.crew.reader.since
        frame = Frame(AWARENESS)
        frame.cursors = tuple(at for found in CURSOR_TIME.findall(body) if (at := int(found)) > newest and at >= since)
        if frame.cursors:
            self._newest_cursor = max(frame.cursors)
            self.pointed(frame)

    async def _renew(self) -> None:
        self._authorize(await self._polls.ask("POST", self._path("refresh"), headers=self._authorization, body={}))

    def _authorize(self, answer: Answer) -> None:
        if answer.status != 200:
            raise LoadError(f"the session ended: {_reason(answer)}")
        self._authorization = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        self._renewed = time.monotonic()

    def _path(self, name: str) -> str:
        return self.crew.addresses.path(name)


def _reason(answer: Answer) -> str:
    return f"{answer.status} {answer.json().get('detail', '')}".strip()
