"""What of that which sessions tell about themselves is not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import encode_value

MAX_STATE_BYTES: Final = 16 << 10
"""What one session may tell the others about itself, as JSON."""
_CROWDED: Final = "the user has {} other sessions in this document, and no more are shown; close some of them"
_FULL: Final = "the states of all sessions in this document have at most {} bytes together; tell less, or later"


class PresenceRefused(Exception):
    """What a session tells about itself is not taken. ``code`` is stable, ``reason`` is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def crowded(sessions: int) -> PresenceRefused:
    """The user has so many other sessions in the document."""
    return PresenceRefused("too_many_sessions", _CROWDED.format(sessions))


def full(size: int) -> PresenceRefused:
    """All sessions in the document tell so many bytes."""
    return PresenceRefused("presence_full", _FULL.format(size))


def size_of(told: Mapping[str, Json]) -> int:
    """Bytes of what a session tells, as JSON."""
    return sum(len(encode_value(told[name])) for name in ("cursor", "data") if told.get(name) is not None)
