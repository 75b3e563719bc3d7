"""What the server sends, read once for all who get the same bytes.

A server sends a thousand peers the same frame a thousand times. What is in it is found once; after that a frame costs a look
into a dictionary. What nobody has got for some seconds is forgotten.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from cowrite.loadtest.edits import CURSOR_TIME, ROOT, TOKEN

OTHER, UPDATE, AWARENESS, STEP_1, STEP_2, ACKNOWLEDGED, REFUSED, AUTHENTICATED, DENIED, CLOSED = range(10)
_NONE: Final[Mapping[int, tuple[int, int]]] = {}
_SUM_MASK: Final = 0xFFFF_FFFF


class Frame:
    """One frame's meaning. Of edits it has those that count."""

    __slots__ = ("count", "cursors", "data", "head", "inserted", "kind", "numbers", "own", "sum", "times")

    def __init__(self, kind: int, data: bytes = b"") -> None:
        self.kind = kind
        self.data = data
        """What follows the type."""
        self.count = 0
        """Edits in it."""
        self.sum = 0
        """A sum over them, by which one that is missing shows though another one came twice."""
        self.times: tuple[int, ...] = ()
        """When they were sent."""
        self.numbers: tuple[int, ...] = ()
        """By whom, of each."""
        self.own = _NONE
        """By whom: how many, and their sum."""
        self.cursors: tuple[int, ...] = ()
        """When the cursors in it were sent."""
        self.inserted: list[tuple[int, int, bytes]] | None = None
        """Of operations: where, how much, and what; None: nobody has looked yet."""
        self.head: str | None = None
        """The last of these operations."""


def sum_of(number: int, at: int) -> int:
    """What an edit adds to the sum."""
    return (at + number * 2_654_435_761) & _SUM_MASK


class FrameCache:
    """All frames of late. Read ``current`` first; what is not in it, :meth:`look` finds or reads."""

    def __init__(self, read: Callable[[bytes], Frame]) -> None:
        self._read = read
        self.current: dict[bytes, Frame] = {}
        self._before: dict[bytes, Frame] = {}

    def look(self, data: bytes) -> Frame:
        """The meaning of a frame that is not in ``current``."""
        found = self._before.get(data)
        if found is None:
            found = self._read(data)
        self.current[data] = found
        return found

    def turn(self) -> None:
        """Forget what has not come since this was called before. Call it about once in two seconds."""
        self._before, self.current = self.current, {}
        # Those who hold the dictionary look it up through the cache each time, so that nothing else is to be told.


class Reader:
    """Reads frames of each protocol. Edits and cursors from before ``since`` (nanoseconds) do not count."""

    def __init__(self) -> None:
        self.since = sys.maxsize

    def yjs(self, data: bytes, at: int = 0) -> Frame:
        """A frame of y-websocket, or of Hocuspocus behind its address."""
        kind = data[at] if len(data) > at else -1
        if kind == 0 and len(data) > at + 1:
            step = data[at + 1]
            if step == 0:
                return Frame(STEP_1)
            frame = Frame(STEP_2 if step == 1 else UPDATE, data[at + 2 :])
            if step == 2:
                self.count(frame, data)
            return frame
        if kind == 1:
            frame = Frame(AWARENESS)
            frame.cursors = tuple(when for found in CURSOR_TIME.findall(data) if (when := int(found)) >= self.since)
            return frame
        if kind == 100:
            return Frame(ACKNOWLEDGED, data[at + 1 :])
        return Frame(DENIED if kind == 2 and data[at + 1 : at + 2] == b"\x00" else OTHER, data[at:])

    def hocuspocus(self, data: bytes) -> Frame:
        """A frame of Hocuspocus. The generator's documents have names of less than 128 bytes."""
        at = 1 + (data[0] if data else 0)
        kind = data[at] if len(data) > at else -1
        if kind in (0, 1):
            return self.yjs(data, at)
        rest = data[at + 1 :]
        if kind == 8:
            return Frame(ACKNOWLEDGED if rest == b"\x01" else REFUSED)
        if kind == 2:
            return Frame({1: DENIED, 2: AUTHENTICATED}.get(rest[0] if rest else -1, OTHER), rest[1:])
        return Frame(CLOSED if kind == 7 else OTHER, rest)

    def json(self, data: bytes) -> Frame:
        """A message of the socket for operations; what it is, the one who gets it finds in ``data``."""
        if data.startswith(b'{"type":"operations"'):
            frame = Frame(UPDATE, data)
            self.count(frame, data)
            return frame
        if data.startswith(b'{"type":"presence"'):
            frame = Frame(AWARENESS)
            frame.cursors = tuple(when for found in CURSOR_TIME.findall(data) if (when := int(found)) >= self.since)
            return frame
        return Frame(OTHER, data)

    def count(self, frame: Frame, data: bytes) -> None:
        """Find the edits in it."""
        own: dict[int, tuple[int, int]] = {}
        times, numbers = [], []
        for found in TOKEN.findall(data):
            number, when = int(found[0]), int(found[1])
            if when >= self.since:
                times.append(when)
                numbers.append(number)
                worth = sum_of(number, when)
                count, total = own.get(number, (0, 0))
                own[number] = count + 1, total + worth
                frame.sum += worth
        if times:
            frame.count, frame.times, frame.numbers, frame.own = len(times), tuple(times), tuple(numbers), own


def insertions(operations: list[dict[str, Any]]) -> list[tuple[int, int, bytes]]:
    """Where which texts were inserted: index, length, text."""
    found = []
    for operation in operations:
        position, content = operation["position"], operation.get("content")
        if operation["type"] == "insert" and position[0] == ROOT and len(position) == 2 and isinstance(content, str):
            found.append((position[1], len(content.encode("utf-16-le")) // 2, content.encode()))
    return found


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object of the server's."""
    told: dict[str, Any] = json.loads(data)
    return told
