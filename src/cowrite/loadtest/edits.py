"""What people write: text that says who typed it and when, as Yjs updates and awareness made by hand.

A Yjs document for each of a thousand people would be most of the generator's work, and with a document of 4 MB all of its
memory. An update with one insertion needs none: it names the characters on its left and on its right, and these are known.
Nobody types within what others have typed here, so that each token stays in one piece.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.lib0 import write_string, write_varuint
from cowrite.protocol.messages import AwarenessUpdate

ROOT: Final = "body"
EMPTY_UPDATE: Final = b"\x00\x00"
TOKEN: Final = re.compile(rb"\[(\d+):(\d+)\]")
"""Who, and when by the monotonic clock, in nanoseconds."""
CURSOR_TIME: Final = re.compile(rb'"at":(\d+)')
_FIRST_CLIENT: Final = 1_000_000_000
SEED_CLIENT: Final = 999_000_001
_STAY: Final = 20
"""So many edits somebody types at one place."""
_SLIP: Final = 10
"""In so many edits there is one slip of the finger, which the next edit takes back."""
_STRING, _HAS_LEFT, _HAS_RIGHT = 4, 0x80, 0x40
_WORDS: Final = "the quick brown fox jumps over a lazy dog and types on while others read what it has written so far "
_PLACE: Final = '{"type":null,"tname":"body","item":{"client":%d,"clock":%d},"assoc":0}'
_STATE: Final = '{"user":{"name":"Somebody %d","color":"#30bced"},"at":%d,"cursor":{"anchor":%s,"head":%s}}'


class Character(NamedTuple):
    """The identity that Yjs gives one."""

    client: int
    clock: int


def token(number: int, now: int) -> str:
    """What somebody types: nobody else, and nobody at another time, types the same."""
    return f"[{number}:{now}]"


def insertion(
    client: int,
    clock: int,
    text: str,
    left: Character | None,
    right: Character | None,
    *,
    instead_of: Character | None = None,
) -> bytes:
    """A Yjs update with one insertion of ASCII text between two characters; the ends of the text are None. ``instead_of`` is
    deleted with it.
    """
    info = _STRING | (_HAS_LEFT if left else 0) | (_HAS_RIGHT if right else 0)
    parts = [b"\x01\x01", write_varuint(client), write_varuint(clock), bytes((info,))]
    parts += [write_varuint(number) for character in (left, right) if character for number in character]
    if not left and not right:
        parts.append(b"\x01" + write_string(ROOT))
    parts.append(write_string(text))
    if instead_of is None:
        parts.append(b"\x00")
    else:
        parts += [b"\x01", write_varuint(instead_of.client), b"\x01", write_varuint(instead_of.clock), b"\x01"]
    return b"".join(parts)


def seed_updates(size: int, block: int = 256 << 10) -> Iterator[tuple[int, bytes]]:
    """The text that is there before: so many characters, in blocks as somebody pastes them. Each with its length."""
    for start in range(0, size, block):
        text = (_WORDS * (block // len(_WORDS) + 1))[: min(block, size - start)]
        left = Character(SEED_CLIENT, start - 1) if start else None
        yield len(text), insertion(SEED_CLIENT, start, text, left, None)


@dataclass(slots=True)
class YjsTypist:
    """Types as one Yjs client: for a while at one place of the seed text, then at another. Where it ``slips`` it strikes a
    wrong key now and then, and deletes that with its next edit.
    """

    number: int
    seed_size: int
    rng: random.Random
    slips: bool = False
    clock: int = 0
    awareness_clock: int = 0
    _left: Character | None = None
    _right: Character | None = None
    _stays: int = 0
    _edits: int = 0
    _wrong: Character | None = None

    @property
    def client(self) -> int:
        """The Yjs client's id."""
        return _FIRST_CLIENT + self.number

    def type(self, text: str) -> bytes:
        """An update in which it goes on typing."""
        if not self._stays:
            self._move()
        self._stays -= 1
        self._edits += 1
        wrong, self._wrong = self._wrong, None
        if wrong is not None:
            self._right = wrong  # deleted, it is still the neighbour
        slip = "x" if self.slips and self._edits % _SLIP == 0 else ""
        update = insertion(self.client, self.clock, text + slip, self._left, self._right, instead_of=wrong)
        self.clock += len(text)
        self._left = Character(self.client, self.clock - 1)
        if slip:
            self._wrong = Character(self.client, self.clock)
            self.clock += 1
        return update

    def point(self, now: int) -> bytes:
        """An awareness message, the same in all dialects, about as long as an editor's: a name, a colour, and two places."""
        self.awareness_clock += 1
        place = _PLACE % (self._left or (self.client, 0))
        state = _STATE % (self.number, now, place, place)
        return yjs.encode(AwarenessUpdate((AwarenessEntry(self.client, self.awareness_clock, state),)))

    def _move(self) -> None:
        self._stays, self._wrong = _STAY, None
        if self.seed_size > 1:
            at = self.rng.randrange(self.seed_size - 1)
            self._left, self._right = Character(SEED_CLIENT, at), Character(SEED_CLIENT, at + 1)


@dataclass(slots=True)
class IndexTypist:
    """Types at a place that is an index, which what others type moves."""

    index: int = 0
    _unread: int = 0
    """Characters of its own that it has not read back."""

    def type(self, text: str) -> int:
        """Where this goes, in the document that was read and with what was typed since."""
        at = self.index + self._unread
        self._unread += len(text)
        return at

    def read(self, index: int, length: int, own: int) -> None:
        """So many characters were inserted there, of which so many are its own."""
        if index <= self.index:
            self.index += length
        self._unread -= own
