"""State vectors: refused, or written again as the same; a diff from any of them can be made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from cowrite.crdt.document import Document
from cowrite.crdt.guard import inspect
from cowrite.crdt.state_vector import MalformedStateVector, decode_state_vector, encode_state_vector
from fuzz.vectors import state_vectors_of_yjs, updates_of_yjs

MAX_BYTES = 512


@cache
def document() -> Document:
    """Something to make a diff of."""
    made = Document.empty()
    update = max(updates_of_yjs(20), key=len)
    made.apply(update, inspect(update))
    return made


def check(data: bytes) -> None:
    try:
        state = decode_state_vector(data)
    except MalformedStateVector as error:
        assert error.reason
        return
    assert decode_state_vector(encode_state_vector(state)) == {client: clock for client, clock in state.items() if clock}
    inspect(document().diff(data))


def seeds() -> Iterable[bytes]:
    return [*state_vectors_of_yjs(25), encode_state_vector(document().state)]
