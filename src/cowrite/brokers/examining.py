"""What can be said of a Redis or Valkey server without a server of cowrite, for ``cowrite doctor``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cowrite.brokers.contact import Contact
from cowrite.brokers.link import Link, read_url


@dataclass(frozen=True, slots=True)
class Examination:
    """A server, or a cluster, that can carry news."""

    addresses: tuple[str, ...]
    """Of all masters, without user and password."""
    answer_seconds: float
    clock_ahead: float
    """Seconds that its clock is ahead of this machine's; right to half of ``answer_seconds``."""


async def examine(url: str) -> Examination:
    """Connect as a broker does. Raises :class:`cowrite.brokers.link.LinkLost` with the reason, for people."""
    contact = Contact(_ignore)
    try:
        await contact.open([read_url(url)])
        link = contact.links[0]
        began, here = time.perf_counter(), time.time()
        seconds, microseconds = await link.call("TIME")
        took = time.perf_counter() - began
        there = int(seconds) + int(microseconds) / 1e6
        return Examination(tuple(str(address) for address in contact.addresses), took, there - here - took / 2)
    finally:
        contact.close()


def _ignore(_link: Link, _message: list[Any]) -> None:
    """Nothing is subscribed to."""
