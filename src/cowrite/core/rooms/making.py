"""Makes the documents of a room of what is stored, or of what they rest on; large ones beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cowrite.core.records import Checkpoint, Entry, StoredDocument
from cowrite.crdt.document import Document
from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.places import Places
from cowrite.crdt.roots import RootKind
from cowrite.crdt.slices import gentle_slices

LARGE_BYTES: Final = 8 << 10
"""Documents over this size are made in a thread, before anybody needs them. What is full of conflicts takes the engine time
that grows with the square of its size: 22 ms for 8.6 KB, 590 ms for 44 KB."""


async def make_log(stored: StoredDocument | None) -> LogDocument:
    """For :meth:`Replicas.load`; a large one is made beside the event loop. Raises :class:`EngineFault`."""
    if stored is None or stored_bytes(stored) <= LARGE_BYTES:
        return log_of(stored)
    return await asyncio.to_thread(log_of, stored)


async def make_live(log: LogDocument) -> Document | None:
    """For :meth:`Replicas.renew_live`, of a large ``log``, beside the event loop; None of others. Nobody may use it meanwhile.

    Raises :class:`EngineFault`.
    """
    return await asyncio.to_thread(_make_live, log) if log.encoded_size > LARGE_BYTES else None


@dataclass(frozen=True, slots=True)
class Awake:
    """What the first edit of a document needs."""

    log: LogDocument | None
    live: Document | None
    places: Places


def awake(source: StoredDocument | None, state: bytes, roots: Mapping[str, RootKind] | None, *, rests: bool) -> Awake:
    """Make it: the log of what is stored, or where ``roots`` are given of ``state``, and ``live`` where that rests. Raises
    :class:`EngineFault` and :class:`HostileUpdate`.
    """
    outline = outline_of_state(state)
    # The engine keeps the interpreter while it is called, and what an attack has left may take it seconds: in slices.
    parts = tuple(gentle_slices(state, outline)) if rests or roots is not None else ()
    if source is not None:
        log: LogDocument | None = log_of(source)
    else:
        log = LogDocument.from_state(state, roots, parts=parts) if roots is not None else None
    places = Places()
    places.note(outline)
    live = Document.from_log(parts) if rests else None
    return Awake(log, live, places)


def log_of(stored: StoredDocument | None) -> LogDocument:
    """The log of what is stored. Raises :class:`EngineFault`."""
    return log_document(stored.checkpoint, stored.entries) if stored is not None else log_document(None, ())


def _make_live(log: LogDocument) -> Document:
    live = Document.from_state(log.encode())
    live.prepare()
    return live


def stored_bytes(stored: StoredDocument) -> int:
    """How much that is."""
    checkpoint = len(stored.checkpoint.state) if stored.checkpoint is not None else 0
    return checkpoint + sum(len(entry.update) for entry in stored.entries)


def log_document(checkpoint: Checkpoint | None, entries: Iterable[Entry]) -> LogDocument:
    """The document of a log: a checkpoint, and the entries behind it. Raises :class:`EngineFault`."""
    updates = (entry.update for entry in entries)
    return rebuild_at(None, {}, updates) if checkpoint is None else rebuild_at(checkpoint.state, checkpoint.roots, updates)
