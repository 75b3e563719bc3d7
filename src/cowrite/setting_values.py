"""What single settings must look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_SERVERS: Final = frozenset({"postgresql", "postgres", "mariadb", "mysql"})


def is_database(url: str) -> bool:
    """Whether it is the URL of a database that can be used; what is behind the scheme is looked at when it is opened."""
    scheme, _, rest = url.partition("://")
    file = scheme in {"sqlite", "sqlite+aiosqlite"} and rest[:1] == "/" != rest
    return bool(rest) and (file or scheme.partition("+")[0] in _SERVERS)


def is_redis(url: str) -> bool:
    """Whether it is the URL of a Redis server."""
    try:
        parts = urlsplit(url)
        named = parts.hostname and (parts.port is None or parts.port > 0) and re.fullmatch(r"/?[0-9]{0,4}", parts.path)
    except ValueError:  # a port or an address that is none
        return False
    if any(character in url for character in "?#") or not url.isprintable() or " " in url:
        return False
    if parts.scheme == "unix":
        return len(parts.path) > 1 and not parts.netloc
    return parts.scheme in {"redis", "rediss"} and bool(named)


def try_key_set(file: Path) -> None:
    """Read a key set. Raises ``ValueError``."""
    from cowrite.tokens import MAX_JWKS_BYTES, JwksInvalid, parse_jwks

    try:
        with file.open("rb") as opened:
            parse_jwks(opened.read(MAX_JWKS_BYTES + 1))
    except (OSError, ValueError) as error:  # ValueError: U+0000 in the path
        reason = error if isinstance(error, JwksInvalid) else f"it cannot be read: {getattr(error, 'strerror', error)}"
        raise ValueError(f"COWRITE_JWKS names the file {file}, which is no key set that can be used: {reason}") from None
