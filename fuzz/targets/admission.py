"""Updates with some bytes changed, one after the other into one document: what the guard lets pass does no harm."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.lib0 import MalformedFrame
from fuzz.admission import Admission
from fuzz.vectors import updates_of_yjs

MAX_BYTES = 4096


def check(data: bytes) -> None:
    try:
        updates = unseal(data)
    except MalformedFrame:
        return
    admission = Admission()
    for update in updates:
        admission.send(update)
    if admission.taken:
        admission.end()


def seeds() -> Iterable[bytes]:
    updates = updates_of_yjs()
    return [seal(updates[at : at + 5]) for at in range(0, len(updates), 25)]
