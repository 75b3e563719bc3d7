"""The honest: a few people type in some documents, and what they notice of the rude is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from picows import WSFrame, WSMsgType, WSTransport, ws_connect

from bench.clients import Counts, Writer
from cowrite.tokens import issue

_PATIENCE = 60.0
_NEWCOMER_EVERY = 1.0


@dataclass
class Noticed:
    """What one phase was like for them; milliseconds."""

    edits: list[float] = field(default_factory=list)
    """From somebody's key to somebody else's screen."""
    acknowledgements: list[float] = field(default_factory=list)
    """From the key until the edit is on the disk, as its author hears."""
    joins: list[float] = field(default_factory=list)
    """From the TCP connection of a newcomer until it has the document."""
    late: list[float] = field(default_factory=list)
    """By how much this process came late to what it had in mind: the figures above have it in them."""


class Person(Writer):
    """Types, and sees what the others type."""

    def __init__(self, counts: Counts, document: str) -> None:
        super().__init__(counts)
        self.document = document
        self.seen: set[int] = set()
        self.gone: str | None = None
        """How its connection ended, which it should not."""
        self.leaves = False

    def _update(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        tokens = self.counts.tokens_by_frame.get(data)
        if tokens is None:
            super()._update(data)
            tokens = self.counts.tokens_by_frame[data]
        new = [token for token in tokens if token not in self.typed and token not in self.seen]
        self.seen.update(new)
        self.counts.latencies += [(now - token) / 1e6 for token in new]

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.gone = f"closed with {frame.get_close_code()}"
            transport.disconnect()
        super().on_ws_frame(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        if not self.leaves:
            self.gone = self.gone or "cut"


class Honest:
    """Those who type."""

    def __init__(self, port: int, secret: str, documents: Sequence[str], *, people: int) -> None:
        self._port = port
        self._secret = secret
        self._documents = documents
        self._counts = Counts()
        self.people = [Person(self._counts, document) for document in documents for _ in range(people)]
        self.newcomers = 0

    async def come(self) -> None:
        for number, person in enumerate(self.people):
            await self._connect(person, f"honest-{number}")

    async def _connect(self, person: Person, sub: str) -> None:
        token = issue(self._secret, sub=sub, documents={"*": "write"})
        url = f"ws://127.0.0.1:{self._port}/yjs/{person.document}?token={token}"
        protocol = {"Sec-WebSocket-Protocol": "cowrite.ack.v1"}
        await ws_connect(lambda: person, url, extra_headers=protocol, websocket_handshake_timeout=_PATIENCE)
        await asyncio.wait_for(person.synced, _PATIENCE)

    def forget(self) -> None:
        """Measure anew."""
        self._counts.latencies.clear()
        self._counts.acknowledgements.clear()
        self._counts.tokens_by_frame.clear()

    async def type(self, rate: float, seconds: float, stop: asyncio.Event | None = None) -> Noticed:
        """Everybody types so often a second for so long, or until told to stop; and somebody new comes every second."""
        self.forget()
        joins: list[float] = []
        late: list[float] = []
        until = time.monotonic() + seconds

        def goes_on() -> bool:
            return time.monotonic() < until and not (stop is not None and stop.is_set())

        async def one(person: Person, phase: float) -> None:
            await asyncio.sleep(phase / rate)
            while goes_on():
                person.type()
                await asyncio.sleep(1 / rate)

        async def visit() -> None:
            while goes_on():
                joins.append(await self._newcomer())
                await asyncio.sleep(_NEWCOMER_EVERY)

        async def look() -> None:
            while goes_on():
                began = time.perf_counter_ns()
                await asyncio.sleep(0.02)
                late.append(max(0.0, (time.perf_counter_ns() - began) / 1e6 - 20))

        phases = [number / len(self.people) for number in range(len(self.people))]
        await asyncio.gather(*map(one, self.people, phases), visit(), look())
        await self.settle()
        return Noticed(list(self._counts.latencies), list(self._counts.acknowledgements), joins, late)

    async def _newcomer(self) -> float:
        person = Person(Counts(), self._documents[self.newcomers % len(self._documents)])
        self.newcomers += 1
        began = time.perf_counter_ns()
        await self._connect(person, "newcomer")
        took = (time.perf_counter_ns() - began) / 1e6
        person.leaves = True
        assert person.transport is not None
        person.transport.disconnect()
        return took

    async def settle(self, seconds: float = _PATIENCE) -> None:
        """Wait until everything has arrived and is acknowledged, or for so long."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and any(self.lacks(person) for person in self.people):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def lacks(self, person: Person) -> int:
        """Edits of others that have not arrived, and own ones that are not acknowledged."""
        others = {token for one in self.people if one.document == person.document and one is not person for token in one.typed}
        return len(others - person.seen) + len(person.sent) - max(person.told, 1)

    async def problems(self) -> list[str]:
        """What went wrong for them: who was sent away, what did not arrive, what the server does not have."""
        found = self.sent_away()
        lacking = sum(self.lacks(person) for person in self.people)
        if lacking:
            found.append(f"{lacking} edits or acknowledgements did not arrive")
        headers = {"authorization": f"Bearer {issue(self._secret, sub='honest', documents={'*': 'read'})}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", headers=headers, trust_env=False) as client:
            for document in self._documents:
                answer = await client.get(f"/api/v2/documents/{document}", params={"format": "text", "root": "body"})
                answer.raise_for_status()
                typed = {token for person in self.people if person.document == document for token in person.typed}
                missing = sum(f"[{token}]" not in answer.text for token in typed)
                if missing:
                    found.append(f"{missing} of {len(typed)} edits are not in {document}")
        return found

    def sent_away(self) -> list[str]:
        """Who was."""
        return [f"an honest person was {person.gone}" for person in self.people if person.gone is not None]

    @property
    def edits(self) -> int:
        return sum(len(person.typed) for person in self.people)

    def leave(self) -> None:
        for person in self.people:
            person.leaves = True
            if person.transport is not None:
                person.transport.disconnect()
