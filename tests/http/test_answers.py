"""What answers hold until they have left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message

from cowrite.core.leaving import BUFFER_BYTES, Held, Leaving
from cowrite.core.limits import Limits
from cowrite.http.answers import PART_BYTES, Answers

pytestmark = pytest.mark.rule("LM23")

MIB = 1 << 20


async def asked(app: ASGIApp, leaving: Leaving, *, seen: list[int] | None = None, address: str | None = None) -> list[Message]:
    """What is sent for one request; ``seen``: how much was held when each was."""
    sent: list[Message] = []
    backend: Any = SimpleNamespace(leaving=leaving, address_of=lambda peer, forwarded: address)

    async def send(message: Message) -> None:
        sent.append(message)
        if seen is not None:
            seen.append(leaving.bytes)

    async def receive() -> Message:
        return await asyncio.Future()  # the client stays

    await Answers(app, lambda: backend)({"type": "http", "headers": [], "client": ("192.0.2.1", 1)}, receive, send)
    return sent


async def test_a_large_answer_goes_in_parts_and_counts_until_the_last() -> None:
    leaving, body, seen = Leaving(Limits()), bytes(3 * MIB + 1), list[int]()
    start, *parts = await asked(Response(body), leaving, seen=seen)
    assert start["type"] == "http.response.start"
    assert b"".join(part["body"] for part in parts) == body
    assert max(len(part["body"]) for part in parts) == PART_BYTES
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert set(seen) == {len(body) + BUFFER_BYTES}
    assert leaving.bytes == 0


async def test_where_there_is_no_room_it_is_to_be_asked_for_again() -> None:
    """Whoever has made it, and whatever its application still sends."""
    leaving = Leaving(Limits(leaving_bytes=MIB))
    others = Held(leaving, None)
    others.hold(bytes(MIB))
    start, body = await asked(Response(bytes(MIB)), leaving)
    assert start["status"] == 503
    assert (b"retry-after", b"2") in start["headers"]
    told = json.loads(body["body"])
    assert (told["code"], told["retry"]) == ("overloaded", True)
    assert not body.get("more_body")
    assert (await asked(Response(b"small"), leaving))[0]["status"] == 200

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        yield bytes(MIB)

    assert len(await asked(StreamingResponse(pieces()), leaving)) == 2


async def test_an_answer_in_parts_goes_on() -> None:
    """What was begun cannot be refused: its parts are as large as they come."""
    leaving = Leaving(Limits(leaving_bytes=MIB))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        Held(leaving, None).hold(bytes(MIB))
        yield bytes(MIB)

    start, *parts = await asked(StreamingResponse(pieces()), leaving)
    assert start["status"] == 200
    assert sum(len(part["body"]) for part in parts) == MIB + 5
