"""Somebody who speaks y-websocket's protocol."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from pycrdt import Doc, Text

from cowrite.loadtest.edits import EMPTY_UPDATE, ROOT, YjsTypist
from cowrite.loadtest.frames import ACKNOWLEDGED, AWARENESS, DENIED, STEP_1, STEP_2, UPDATE, Frame, FrameCache
from cowrite.loadtest.people.person import Crew
from cowrite.loadtest.people.socket import SocketPerson
from cowrite.loadtest.plan import Role
from cowrite.protocol import yjs
from cowrite.protocol.lib0 import read_bytes, read_string, read_varuint
from cowrite.protocol.messages import Message, SyncStep1, SyncStep2, Update


class YjsPerson(SocketPerson):
    """See the module. What it sends is bytes made by hand; only who keeps a replica has a document."""

    def __init__(self, role: Role, crew: Crew, cache: FrameCache) -> None:
        super().__init__(role, crew, cache)
        # Who types at an index follows what others insert, not what they delete.
        slips = not crew.plan.has_index_typists
        self.typist = YjsTypist(role.number, crew.plan.document_bytes, self.rng, slips)
        self.doc: Doc[Any] | None = None
        if role.keeps:
            self.doc = Doc()
            self.doc.get(ROOT, type=Text)
        self.reads = role.keeps
        self.is_told = self.crew.addresses.acknowledges
        """The server says what it has kept."""
        self.sent: deque[int] = deque()
        """When what is not acknowledged yet was sent."""
        self._told = 0

    @property
    def waits(self) -> bool:
        return self.left is None and bool(self.sent)

    def encode(self, message: Message) -> bytes:
        """A frame of this dialect."""
        return yjs.encode(message)

    def read(self, message: bytes) -> Frame:
        """The meaning of a message of this dialect."""
        return self.crew.reader.yjs(message)

    def greet(self) -> None:
        self.send(self.encode(SyncStep1(b"\x00")))

    def write(self, text: str, at: int) -> None:
        self.write_update(self.typist.type(text), at)

    def write_update(self, update: bytes, at: int) -> None:
        """Send an update."""
        if self.doc is not None:
            self.doc.apply_update(update)
        if self.is_told:
            self.sent.append(at)
        self.send(self.encode(Update(update)))

    def point(self) -> None:
        if self.left is None:
            at = time.monotonic_ns()
            if at >= self.crew.reader.since:
                self.meter.cursors_sent += 1
            self.send(self.awareness(at))

    def awareness(self, at: int) -> bytes:
        """A frame that tells where the cursor is."""
        return self.typist.point(at)

    def take(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == UPDATE:
            if self.doc is not None:
                self.doc.apply_update(read_bytes(frame.data, 0)[0])
        elif kind == STEP_2:
            self._state(frame)
        elif kind == STEP_1:
            if self.is_told:
                self.sent.append(0)
            self.send(self.encode(SyncStep2(EMPTY_UPDATE)))
        elif kind == ACKNOWLEDGED:
            self.was_kept(frame)
        elif kind == DENIED:
            self.lost(f"the server denies access ({_text(frame.data)})")

    def take_large(self, message: bytes) -> None:
        frame = self.read(message)
        if frame.count:
            self.took(frame)
        self.take(frame)

    def skims(self, head: bytes) -> bool:
        return self.doc is None and not self.joined.done() and self.read(head).kind == STEP_2

    def shares(self, head: bytes) -> bool:
        # The cursors of five hundred people have more than 100 KB.
        return self.read(head).kind in {AWARENESS, UPDATE}

    def _state(self, frame: Frame) -> None:
        if self.doc is not None:
            self.doc.apply_update(read_bytes(frame.data, 0)[0])
        if self.joined.done() and self.counts:
            # What it did not read in time comes as one difference.
            late = Frame(UPDATE)
            self.crew.reader.count(late, frame.data)
            if late.count:
                self.took(late)
        self.came_in()

    def was_kept(self, frame: Frame) -> None:
        """The server says up to where it has kept what was sent."""
        count, _ = read_varuint(frame.data, 0)
        while self._told < count and self.sent:
            self._told += 1
            self.acknowledged(self.sent.popleft())


def _text(data: bytes) -> str:
    try:
        return read_string(data, 0)[0]
    except ValueError:
        return data.hex()
