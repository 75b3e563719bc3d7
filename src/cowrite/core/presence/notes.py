"""What the list of those who are in a document says to whoever keeps it."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from cowrite.core.presence.present import Present


class Urgency(IntEnum):
    """How soon other processes must know of a change."""

    NOW = 0
    """Somebody has come."""
    SOON = 1
    """Somebody tells something: a cursor perhaps, many times a second."""
    LATER = 2
    """Somebody was active again."""
    GONE = 3
    """The session has gone: as soon as when it had come."""


Note = Callable[[Present, Urgency], None]
"""Told of a session of this process that has changed, or has gone."""

Ends = Callable[[float | None, int | None], None]
"""Told when somebody's time is over: in monotonic seconds, or in milliseconds since 1970."""
