"""What an update brings, deletes and needs, without applying it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockRange:
    """The structs of one Yjs client with ``start <= clock < end``."""

    client: int
    start: int
    end: int
