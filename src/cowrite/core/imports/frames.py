"""What the server and the process that looks at a large update say to one another: frames in two pipes."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import IO, Final

_HEAD: Final = struct.Struct("<BQ")


class Kind(IntEnum):
    """What a frame holds."""

    GIVEN = 0
    """To the process: the update; then the state vector of the document; then, when it was asked for, what that holds."""
    FOUND = 1
    """From here on to the server. All of the update can be taken (one byte), or a part; and from where on the document has to
    tell what it holds (pairs of client and clock, 8 bytes each)."""
    SLICE = 2
    """A part of the update, itself an update, to be taken next."""
    END = 3
    """There are no more slices."""
    HOSTILE = 4
    """The update is refused: the guard's word for it, a colon, and why."""
    CONTRADICTS = 5
    """It says something else of what the document holds."""
    MEMORY = 6
    """It takes more memory than it may."""


NO_MEMORY: Final = 3
"""What the process ends with when it has not even the memory to say :attr:`Kind.MEMORY`."""


class PipeClosed(Exception):
    """The other side is gone."""


def write_frame(pipe: IO[bytes], kind: Kind, payload: bytes = b"") -> None:
    """Write a frame. Raises :class:`PipeClosed`."""
    try:
        pipe.write(_HEAD.pack(kind, len(payload)))
        pipe.write(payload)
        pipe.flush()
    except (OSError, ValueError) as error:
        raise PipeClosed from error


def read_frame(pipe: IO[bytes], limit: int) -> tuple[Kind, bytes]:
    """Read the next frame, of at most ``limit`` bytes. Raises :class:`PipeClosed`, also for what is no frame."""
    try:
        head = pipe.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise PipeClosed
        kind, size = _HEAD.unpack(head)
        payload = pipe.read(size) if size <= limit else b""
        if len(payload) < size:
            raise PipeClosed
        return Kind(kind), payload
    except (OSError, ValueError) as error:
        raise PipeClosed from error
