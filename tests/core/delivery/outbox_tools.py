"""What tests of the outbox share."""

from __future__ import annotations

from cowrite.core.delivery.outbox import Relay


def relay(number: int, *, client: int = 1, size: int = 8) -> Relay:
    """The update with the structs of ``client`` from clock ``number`` on."""
    return Relay(b"update %d " % number + b"." * size, {client: number})
