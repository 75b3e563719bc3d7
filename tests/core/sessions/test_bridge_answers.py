"""What the bridge makes of an authorizer's answer that cannot be used: hosts write their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from structlog.testing import capture_logs

from cowrite.core.clock import SystemClock
from cowrite.core.errors import RoomClosed
from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.bridge import SessionBridge
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import memory_storage
from cowrite.tokens import AccessTokens, ephemeral_keys

ANA = Access("ana", Grant.WRITE)
BAD = {
    "nothing": None,
    "a text": "ana",
    "long": Access("u" * 256, Grant.WRITE),
    "empty": Access("", Grant.WRITE),
    "number": Access(cast("str", 7), Grant.WRITE),
    "none": Access(cast("str", None), Grant.WRITE),
    "nul": Access("a\0", Grant.WRITE),
    "half": Access("a\ud800", Grant.WRITE),
    "grant": Access("ana", cast("Grant", "write")),
    "name": Access("ana", Grant.WRITE, name="n" * 256),
    "colour": Access("ana", Grant.WRITE, colour=cast("str", 0xFF)),
}


def bridge_of(*answers: object) -> SessionBridge:
    left = list(answers)

    async def authorize(token: str | None, document_id: str) -> Access:
        return cast("Access", left.pop(0))

    clock, storage = SystemClock(), memory_storage()
    access = AccessControl(storage.access, clock)
    return SessionBridge(authorize, AccessTokens(ephemeral_keys(), clock), storage.access, access, clock, Ids(clock))


@pytest.mark.rule("RO16")
@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("way", ["enter", "connect", "refresh"])
async def test_an_answer_that_cannot_be_used_refuses_that_connection_alone(answer: object, way: str) -> None:
    bridge = bridge_of(ANA, answer, ANA)
    admission = await bridge.connect("token", "doc")
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "enter": lambda: bridge.enter("token", "doc"),
        "connect": lambda: bridge.connect("token", "doc"),
        "refresh": lambda: bridge.refresh(admission.access_token, "token"),
    }
    with capture_logs() as logs, pytest.raises(AccessDenied) as denied:
        await ways[way]()
    assert denied.value.known
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["answer of authorize= cannot be used"]
    assert (await bridge.enter("token", "doc")).author == "ana", "whoever comes next is let in"


@pytest.mark.rule("RO16")
async def test_the_longest_names_are_taken() -> None:
    answer = Access("😀" * 255, Grant.READ, name="ü" * 255, colour="")
    assert (await bridge_of(answer).enter(None, "doc")).access is answer


@pytest.mark.rule("LM5")
async def test_an_authorizer_that_does_not_answer() -> None:
    """It is given so long; a time-out of its own is its own failure."""
    clock, storage, excess = SystemClock(), memory_storage(), Excess()
    limits = Limits(authenticate_seconds=0.02)

    async def authorize(token: str | None, document_id: str) -> Access:
        if token == "own":
            raise TimeoutError("of the application")
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    access = AccessControl(storage.access, clock)
    tokens = AccessTokens(ephemeral_keys(), clock)
    bridge = SessionBridge(authorize, tokens, storage.access, access, clock, Ids(clock), limits, excess)
    with pytest.raises(TimeoutError, match="of the application"):
        await bridge.enter("own", "doc")
    for way in (bridge.enter, bridge.connect):
        with pytest.raises(RoomClosed, match=r"who this is was not said within 0\.02 s; try again later") as closed:
            await way("token", "doc")
        assert closed.value.code is CloseCode.STORE_UNAVAILABLE
    assert excess.counts["authenticate_seconds"] == 2
