"""A process with Hocuspocus providers on wires without sockets, turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.core.records import AccessChange
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.hocuspocus import (
    Addressed,
    Authenticate,
    HocuspocusDialect,
    Message,
    decode,
)
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1, SyncStep2
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process
from cowrite.testing.transport_contract.provider import NOTHING
from cowrite.testing.wire import FakeWire
from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.upgrade import Accepted, Language
from transports.process_services import services_of

CARET = AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),))
VERSION = "4.8.0"
ASKABLE = "3.4.4"
"""No provider 3 tells this; one that did would be told of ends, and not be sent Pings."""


class Provider:
    """A connection, and what its client is sent."""

    def __init__(self, desk: Desk) -> None:
        self.wire = FakeWire()
        self.connection = HocuspocusConnection(self.wire, Accepted(None, None, None, Language.HOCUSPOCUS), desk.services)
        self.wire.drained = self.connection.drained
        self.connection.opened()
        self._read = 0

    def say(self, *messages: Message, address: str = "doc") -> None:
        for message in messages:
            self.connection.receive(HocuspocusDialect(address).encode(message))

    def heard(self, address: str = "doc") -> list[Message]:
        """What has come at this address since the last call."""
        frames, self._read = self.wire.received[self._read :], len(self.wire.received)
        messages = [decode(frame) for frame in frames]
        return [one.message for one in messages if isinstance(one, Addressed) and one.address == address]

    @property
    def code(self) -> int | None:
        return self.wire.closed[0] if self.wire.closed is not None else None


class Desk:
    """A process, and providers that connect to it. A token is a user's name; who may do what can be set."""

    def __init__(self, process: Process, database: MemoryDatabase) -> None:
        self.process = process
        self.database = database
        self.services = services_of(process, self._authorize)
        self.grants: dict[str, Grant] = {}
        self.ends: dict[str, int] = {}
        self.failure: Exception | None = None

    async def _authorize(self, token: str | None, document_id: str) -> Access:
        if self.failure is not None:
            raise self.failure
        if token == "bad":
            raise AccessDenied("no", known=False)
        name = token or "guest"
        user = name.partition(":")[0]
        return Access(user, self.grants.get(name, Grant.WRITE), expires_at=self.ends.get(name))

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.process.clock, ManualClock)
        return self.process.clock

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(5):
            self.clock.advance(seconds / 5)
            await self.process.quiet()

    async def enter(self, *addresses: str, token: str = "ana", version: str | None = VERSION) -> Provider:
        provider = Provider(self)
        for address in addresses or ("doc",):
            provider.say(Authenticate(token, version), SyncStep1(b"\0"), address=address)
            await self.settle()
            provider.say(SyncStep2(NOTHING), address=address)
        await self.settle()
        provider.heard()
        return provider

    async def change(self, grant: Grant | None, *, user: str = "ana") -> None:
        now = self.clock.now()
        await self.process.storage.access.change(AccessChange(self.process.ids.new(), "admin", now, "doc", user, grant=grant))
        await self.services.access.catch_up()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - only the event loop has to turn
            await asyncio.sleep(0.001)
