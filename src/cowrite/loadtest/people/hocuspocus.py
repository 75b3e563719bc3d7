"""Somebody who speaks Hocuspocus' protocol, with a socket for one document, as its provider has by itself."""

from __future__ import annotations

from cowrite.loadtest.addresses import Address
from cowrite.loadtest.frames import AUTHENTICATED, CLOSED, REFUSED, Frame, FrameCache
from cowrite.loadtest.people.person import Crew
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import Protocol, Role
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.hocuspocus import Authenticate, HocuspocusDialect
from cowrite.protocol.messages import AwarenessUpdate, Message, SyncStep1

_PROVIDER: str = "4.8.0"


class HocuspocusPerson(YjsPerson):
    """See the module. Every Hocuspocus server acknowledges."""

    def __init__(self, role: Role, crew: Crew, cache: FrameCache) -> None:
        super().__init__(role, crew, cache)
        self._dialect = HocuspocusDialect(role.document)
        self._prefix = self._dialect.encode(SyncStep1(b""))[:-3]
        self.is_told = True

    def address(self) -> Address:
        return self.crew.addresses.socket(Protocol.HOCUSPOCUS, self.role.document, None)

    def encode(self, message: Message) -> bytes:
        return self._dialect.encode(message)

    def read(self, message: bytes) -> Frame:
        return self.crew.reader.hocuspocus(message)

    def greet(self) -> None:
        token = self.crew.addresses.token_for(self.number) or ""
        self.send(self._dialect.encode(Authenticate(token, _PROVIDER)))
        self.send(self.encode(SyncStep1(b"\x00")))

    def awareness(self, at: int) -> bytes:
        return self._prefix + super().awareness(at)

    def breathe(self) -> None:
        # A Hocuspocus server lets go of whom it has not heard for a minute; providers tell it their awareness each 15 s.
        self.typist.awareness_clock += 1
        self.send(self.encode(AwarenessUpdate((AwarenessEntry(self.typist.client, self.typist.awareness_clock, "{}"),))))

    def take(self, frame: Frame) -> None:
        if frame.kind == REFUSED:
            if self.sent:
                self.sent.popleft()
            self.meter.refused += 1
        elif frame.kind == CLOSED:
            self.lost("the server closed the document")
        elif frame.kind != AUTHENTICATED:
            super().take(frame)

    def was_kept(self, frame: Frame) -> None:
        if self.sent:
            self.acknowledged(self.sent.popleft())
