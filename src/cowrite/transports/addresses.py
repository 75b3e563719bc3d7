"""How many sockets an address has, so that one machine cannot take all that there are.

Only addresses of the open Internet are counted. One of a private network is most often a proxy's, behind which everybody is; of
a proxy on this machine, and of those in ``FORWARDED_ALLOW_IPS`` (uvicorn's variable, too), the client's address is read in
``X-Forwarded-For``. Of the newer kind of addresses the first half is one customer's, and counts as one.
"""

from __future__ import annotations

import ipaddress
import os
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

_TRUSTED: Final = "FORWARDED_ALLOW_IPS"
_ALL: Final = "*"
_OLDER: Final = 4
_CUSTOMER_BITS: Final = 64


def trusted_proxies() -> frozenset[str]:
    """The addresses whose ``X-Forwarded-For`` is believed, besides this machine's."""
    return frozenset(part.strip() for part in os.environ.get(_TRUSTED, "").split(",") if part.strip())


class AddressSockets:
    """The sockets of each address, at most ``most``."""

    def __init__(self, most: int, trusted: Collection[str] | None = None) -> None:
        self._most = most
        self._trusted = trusted_proxies() if trusted is None else trusted
        self._open: Counter[str] = Counter()

    def client_of(self, peer: str | None, forwarded: str | None) -> str | None:
        """The address that counts, by the socket's other end and the header; None: it is not counted.

        Of several in the header the last one that is no trusted proxy's: those before it the client may have made up.
        """
        address = peer
        if self._is_proxy(peer) and forwarded:
            named = [part.strip() for part in forwarded.split(",")]
            address = next((one for one in reversed(named) if not self._is_proxy(one)), named[0])
        parsed = _parse(address)
        if parsed is None or not parsed.is_global:
            return None
        return str(parsed if parsed.version == _OLDER else ipaddress.ip_network((parsed, _CUSTOMER_BITS), strict=False))

    def take(self, address: str | None) -> Callable[[], None] | None:
        """One more socket of this address. Returns what to call, once, when it is gone; None: it has too many."""
        if address is None:
            return not_counted
        if self._open[address] >= self._most:
            return None
        self._open[address] += 1
        return lambda: self._give_back(address)

    def _give_back(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def _is_proxy(self, address: str | None) -> bool:
        parsed = _parse(address)
        return parsed is not None and (parsed.is_loopback or _ALL in self._trusted or str(parsed) in self._trusted)


@lru_cache(64)
def _parse(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)  # as a socket for both kinds of addresses shows those of the older one
    return parsed if mapped is None else mapped


def not_counted() -> None:
    """The place that is given back of a socket without an address. One for all: most sockets are so, behind a proxy."""
