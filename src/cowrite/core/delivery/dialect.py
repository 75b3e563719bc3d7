"""How messages are written for one kind of client."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from cowrite.protocol.messages import Message


class Dialect(Hashable, Protocol):
    """Turns messages into frames. Peers with equal dialects are sent the same ``bytes`` object: a broadcast is encoded once."""

    def encode(self, message: Message) -> bytes:
        """One frame with this message."""
        ...
