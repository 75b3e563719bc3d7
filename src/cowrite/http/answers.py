"""What answers hold until they have left: each in parts, as its client reads them, and counted meanwhile.

A server that is given an answer at once keeps it, or a copy, until its client has read it. In parts it keeps one of them; the
answer itself stays here, where it may be that of others, too. All of it counts (:mod:`cowrite.core.leaving`) from when it is
made until the last part is given to the server; where there is no room for it, the answer is 503 ``overloaded``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cowrite.core.leaving import REASON, Held
from cowrite.http.backend import Backend
from cowrite.http.contents import HELD
from cowrite.http.problems import problem
from cowrite.http.refusals import RETRY_SECONDS

PART_BYTES: Final = 64 << 10
"""What is larger goes in parts of this size: a server's buffer takes about as much before it makes one wait."""
_PARTS_A_TURN: Final = 16
"""Then others get theirs: to a client that reads as fast nobody ever has to wait."""


class Answers:
    """Around all that answers HTTP requests, within what adds headers. ``serving``: the parts; None: nothing is counted now."""

    def __init__(self, app: ASGIApp, serving: Callable[[], Backend | None]) -> None:
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (backend := self._serving()) is None:
            await self._app(scope, receive, send)
            return
        held = scope[HELD] = Held(backend.leaving, _address(scope, backend))
        try:
            await self._app(scope, receive, _Sender(held, scope, receive, send).send)
        finally:
            held.release()


class _Sender:
    """Of one answer."""

    __slots__ = ("_held", "_receive", "_refused", "_scope", "_send", "_start")

    def __init__(self, held: Held, scope: Scope, receive: Receive, send: Send) -> None:
        self._held = held
        self._scope = scope
        self._receive = receive
        self._send = send
        self._start: Message | None = None
        """The head, until it is known that the body is sent."""
        self._refused = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif not self._refused:
            await self._send_body(message)

    async def _send_body(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        taken = self._held.hold(body)
        if self._start is not None:
            if not taken:
                self._refused = True
                await _overloaded(self._scope, self._receive, self._send)
                return
            start, self._start = self._start, None
            await self._send(start)
        # What comes later of an answer in parts cannot be refused any more: each is as small as who makes it has it.
        if len(body) <= PART_BYTES:
            await self._send(message)
        else:
            await self._send_parts(body, more=message.get("more_body", False))

    async def _send_parts(self, body: bytes, *, more: bool) -> None:
        view = memoryview(body)
        for number, at in enumerate(range(0, len(body), PART_BYTES), 1):
            behind = at + PART_BYTES
            part = bytes(view[at:behind])
            await self._send({"type": "http.response.body", "body": part, "more_body": more or behind < len(body)})
            if number % _PARTS_A_TURN == 0:
                await asyncio.sleep(0)


def _address(scope: Scope, backend: Backend) -> str | None:
    client = scope.get("client")
    return backend.address_of(client[0] if client else None, Headers(scope=scope).get("x-forwarded-for"))


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    detail, headers = f"{REASON.capitalize()}.", {"retry-after": str(RETRY_SECONDS)}
    more = {"retry": True}
    refused = problem(HTTPStatus.SERVICE_UNAVAILABLE, code="overloaded", detail=detail, headers=headers, more=more)
    await refused(scope, receive, send)
