"""What the process does that looks at a large update: what takes long and memory, and needs no document but its state vector.

The update is inspected. When it builds on nothing, it is applied to a document of its own: whatever the engine does with it, it
does here first. Then it is compared with what the document holds of it, and handed back in slices, each of which the server
inspects again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import IO, Final

from cowrite.core.imports.frames import Kind, PipeClosed, read_frame, write_frame
from cowrite.crdt.contradiction import contradicts, overlapping, starts_of
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.slices import ready_part, slices
from cowrite.crdt.state_vector import decode_state_vector

SLICE_PARTS: Final = 1000
"""Structs and deleted ranges that the server takes in one step (5 to 10 µs each)."""
SLICE_BYTES: Final = 2 << 20
"""Of a long text. The engine takes 2 ms for a megabyte; but it then joins it to the text before it, for which it takes as long
as if that were new: half of it would cost twice the time in all."""
_AT_ONCE: Final = 256
_NO_LIMIT: Final = 1 << 40
"""The server sends what it has read, which is bounded."""


def work(incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    """Look at the update that comes in one pipe, and say in the other what is found."""
    try:
        try:
            for kind, payload in _answers(incoming):
                write_frame(outgoing, kind, payload)
        except MemoryError:
            write_frame(outgoing, Kind.MEMORY)
    except PipeClosed:
        pass  # nobody wants to know any more


def _answers(incoming: IO[bytes]) -> Iterator[tuple[Kind, bytes]]:
    _, update = read_frame(incoming, _NO_LIMIT)
    state = decode_state_vector(read_frame(incoming, _NO_LIMIT)[1])
    try:
        outline = inspect(update, SYNC_LIMITS)
        whole = not missing(outline, state)
        if not whole:
            update = ready_part(update, outline, state)
            outline = inspect(update, SYNC_LIMITS)
        elif not outline.needs:
            _try_out(update, outline)
    except HostileUpdate as error:
        yield Kind.HOSTILE, f"{error.code}:{error.reason}".encode()
        return
    except EngineFault as fault:
        yield Kind.HOSTILE, f"engine:it breaks the engine ({fault})".encode()
        return
    overlaps = overlapping(outline.brings, state)
    asked = array("Q", [integer for start in starts_of(overlaps).items() for integer in start])
    yield Kind.FOUND, bytes((whole,)) + asked.tobytes()
    if asked and contradicts(update, outline.layout, read_frame(incoming, _NO_LIMIT)[1], overlaps):
        yield Kind.CONTRADICTS, b""
        return
    for one in slices(update, outline, structs=SLICE_PARTS, ranges=SLICE_PARTS, size=SLICE_BYTES):
        yield Kind.SLICE, one
    yield Kind.END, b""


def _try_out(update: bytes, outline: Outline) -> None:
    """Raises :class:`EngineFault` when the engine does not take it."""
    Document.from_log(tuple(slices(update, outline, structs=_AT_ONCE, ranges=_AT_ONCE))).encode()
