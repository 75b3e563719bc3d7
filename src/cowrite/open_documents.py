"""The documents that one process has to do with now, read from its parts: what an administrator is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cowrite.composition import Parts
from cowrite.core.rooms.room import Room

MOST_DOCUMENTS: Final = 200
"""So many are told at once: those that were asked for by their whole id, then those with most people and edits."""


def documents_of(parts: Parts, search: str) -> Sequence[Mapping[str, Any]]:
    """Those whose ids have ``search`` in them, whatever its case; as JSON, for another process may be asking."""
    wanted = search.casefold()
    edits = parts.journal.recent.per_minute()
    failing, damaged = parts.journal.failing_documents, parts.registry.damaged
    rows = [
        _open(room, edits[room.document_id], failing.get(room.document_id), damaged.get(room.document_id))
        for room in parts.registry.rooms
        if wanted in room.document_id.casefold()
    ]
    shut = {document_id: reason for document_id, reason in damaged.items() if parts.registry.get(document_id) is None}
    rows += [_damaged(document_id, reason) for document_id, reason in shut.items() if wanted in document_id.casefold()]
    # What is wrong comes before what is busy: it is what somebody has come for.
    rows.sort(
        key=lambda row: (
            row["document_id"] != search,
            row["reason"] is None,
            -row["people"],
            -row["edits_per_minute"],
            row["document_id"],
        )
    )
    return rows[:MOST_DOCUMENTS]


def _open(room: Room, edits: int, failure: str | None, damage: str | None) -> dict[str, Any]:
    live = room.replicas.live
    return {
        "document_id": room.document_id,
        "state": "damaged" if damage is not None else "failing" if failure is not None else "open",
        "reason": failure if damage is None else damage,
        "people": len(room.presence.persons),
        "sockets": len(room.peers) + len(room.readership.readers),
        "edits_per_minute": edits,
        "bytes": live.encoded_size if live is not None else None,
        "offset": room.replicas.head.offset,
        "pending_updates": room.pending.waiting + room.pending.taken,
    }


def _damaged(document_id: str, reason: str) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(("people", "sockets", "edits_per_minute", "offset", "pending_updates"), 0)
    return nothing | {"document_id": document_id, "state": "damaged", "reason": reason, "bytes": None}
