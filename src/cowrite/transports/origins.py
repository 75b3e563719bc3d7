"""Which web pages may connect. Browsers send the page's origin; a page of another site must not use a visitor's access."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Lets in pages of this server itself and of ``allowed`` origins (``*``: of all), and everything that is no browser.

    In the demo, where nobody needs a token, the server must be addressed as this machine (else any site could have its own
    name point here, "DNS rebinding"), and pages of this machine may connect from any port.
    """

    allowed: frozenset[str] = field(default_factory=frozenset)
    demo: bool = False

    def allows_host(self, host: str | None) -> bool:
        """Whether the server may be addressed as ``host``, the value of the header Host. Outside the demo: by any name."""
        if not self.demo or "*" in self.allowed:
            return True
        address = _split(f"//{host or ''}")
        if address is None:
            return False
        named = (_split(origin) for origin in self.allowed)
        return is_loopback(address.hostname) or address.hostname in {origin.hostname for origin in named if origin is not None}

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a connection with these values of the headers Origin and Host may come in."""
        if not self.allows_host(host):
            return False
        if origin is None or "*" in self.allowed or origin.lower() in self.allowed:
            return True
        page, server = _split(origin), _split(f"//{host or ''}")
        if page is None or server is None or page.scheme not in _DEFAULT_PORTS or not page.hostname:
            return False
        if self.demo and is_loopback(page.hostname):
            return True
        # The scheme is not compared: behind a proxy that ends TLS the server does not know its own.
        default = _DEFAULT_PORTS[page.scheme]
        return (page.hostname, page.port or default) == (server.hostname, server.port or default)


@lru_cache(64)
def is_loopback(hostname: str | None) -> bool:
    """Whether a name or address (without port and brackets) always means this machine."""
    if hostname is None:
        return False
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


@lru_cache(64)
def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return None
    return parts
