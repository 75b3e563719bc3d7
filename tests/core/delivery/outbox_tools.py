"""What tests of the outbox share."""

from __future__ import annotations

from cowrite.core.delivery.outbox import Relay


def relay(number: int, *, client: int = 1, size: int = 8, at: float = 0.0) -> Relay:
    """The update with the structs of ``client`` from clock ``number`` on, put in at that time."""
    return Relay(b"update %d " % number + b"." * size, {client: number}, at)
