"""Somebody who speaks cowrite's socket for operations."""

from __future__ import annotations

import json
import re
import time
from typing import Final

from picows import WSMsgType

from cowrite.loadtest.edits import TOKEN, IndexTypist
from cowrite.loadtest.frames import UPDATE, Frame, FrameCache, insertions, parse
from cowrite.loadtest.people.person import Crew
from cowrite.loadtest.people.socket import SocketPerson
from cowrite.loadtest.plan import Role

_HEAD: Final = re.compile(rb'"head":(?:"([^"]*)"|null)')
_KIND: Final = re.compile(rb'\{"type":"(\w+)"')


def head_of(message: bytes) -> str | None:
    """The newest operation that a message tells of; it stands before anything that people have written."""
    found = _HEAD.search(message)
    return found[1].decode() if found is not None and found[1] is not None else None


def own_length(number: int, text: bytes) -> int:
    """How much of a text this person has typed."""
    return sum(len(found[0]) for found in TOKEN.finditer(text) if int(found[1]) == number)


class JsonPerson(SocketPerson):
    """See the module. It keeps no document: where it types is an index that others' operations move."""

    kind = WSMsgType.TEXT

    def __init__(self, role: Role, crew: Crew, cache: FrameCache) -> None:
        super().__init__(role, crew, cache)
        self.typist = IndexTypist(self.rng.randrange(crew.plan.document_bytes + 1))
        self.reads = role.types
        self._head: str | None = None
        self._sent: dict[int, tuple[int, int]] = {}
        """By number of the request: when, and how many characters."""
        self._requests = 0

    @property
    def waits(self) -> bool:
        return self.left is None and bool(self._sent)

    def greet(self) -> None:
        hello: dict[str, object] = {"type": "hello", "document_id": self.role.document}
        token = self.crew.addresses.token_for(self.number)
        self._tell(hello if token is None else {**hello, "access_token": token})

    def write(self, text: str, at: int) -> None:
        self._requests += 1
        self._sent[self._requests] = at, len(text)
        operation = {"type": "insert", "position": ["body", self.typist.type(text)], "content": text}
        self._tell({"type": "operations", "request": self._requests, "base": self._head, "operations": [operation]})

    def point(self) -> None:
        at = time.monotonic_ns()
        if at >= self.crew.reader.since:
            self.meter.cursors_sent += 1
        self._tell({"type": "presence", "cursor": ["body", self.typist.index], "data": {"at": at}})

    def take(self, frame: Frame) -> None:
        if frame.kind == UPDATE:
            if self.role.types:
                self._moved(frame)
        elif found := _KIND.match(frame.data):
            self._told(found[1], frame.data)

    def take_large(self, message: bytes) -> None:
        frame = self.crew.reader.json(message)
        if frame.count:
            self.took(frame)
        self.take(frame)

    def _moved(self, frame: Frame) -> None:
        if frame.inserted is None:
            frame.inserted = insertions(parse(frame.data)["operations"])
            frame.head = head_of(frame.data)
        for index, length, text in frame.inserted:
            self.typist.read(index, length, own_length(self.number, text))
        self._head = frame.head

    def _told(self, kind: bytes, message: bytes) -> None:
        if kind == b"welcome":
            self._head = head_of(message)
            self.came_in()
        elif kind in {b"acknowledged", b"refused"}:
            self._answered(parse(message))
        elif kind == b"reset":
            # The state in the place of what it did not read in time: it has all that was delivered before, too.
            self._head = head_of(message)
            self.has_all_of(message)

    def _answered(self, answer: dict[str, object]) -> None:
        request = answer["request"]
        assert isinstance(request, int)
        at, length = self._sent.pop(request)
        if answer["type"] == "acknowledged":
            self.acknowledged(at)
        else:
            self.meter.refused += 1
            self.typist.read(self.typist.index + 1, 0, length)

    def _tell(self, message: dict[str, object]) -> None:
        self.send(json.dumps(message, separators=(",", ":")).encode())
