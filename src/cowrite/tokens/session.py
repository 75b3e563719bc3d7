"""Encrypted session tokens: making and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Grant
from cowrite.tokens.claims import SessionClaims, admit_session, read_session
from cowrite.tokens.encrypted import Purpose, decrypt, encrypt
from cowrite.tokens.keys import Key, parse_secrets


def issue(
    secret: str | Key,
    *,
    sub: str,
    documents: Mapping[str, str | Grant],
    name: str | None = None,
    colour: str | None = None,
    ttl: int = 3600,
    single_use: bool = False,
    now: int | None = None,
) -> str:
    """Make a session token for the user ``sub``, valid for ``ttl`` seconds.

    ``documents`` maps document ids, or patterns with ``*``, to ``read``, ``comment``, ``write`` or ``admin``. With a list of
    secrets the first one is used. A token for ``single_use`` opens one session, and nothing after that. ``now`` (milliseconds
    since 1970) is the system's time unless given.

    Raises ``ValueError`` for a claim that no server would take and for a token over 8 KB; :class:`SecretInvalid`.
    """
    key = secret if isinstance(secret, Key) else parse_secrets(secret, setting="The secret")[0]
    clock = SystemClock()
    issued_at = (clock.now() if now is None else now) // 1000
    claims: dict[str, Any] = {
        "sub": sub,
        "documents": {pattern: str(grant) for pattern, grant in documents.items()},
        "iat": issued_at,
        "exp": issued_at + ttl,
        "jti": Ids(clock).new(),
    }
    optional = {"name": name, "colour": colour, "once": True if single_use else None}
    claims |= {claim: value for claim, value in optional.items() if value is not None}
    read_session(claims)
    return encrypt(claims, key, Purpose.SESSION)


def verify(token: str, keys: Sequence[Key], now: int) -> SessionClaims:
    """Decrypt a session token with one of the keys and check all of it; ``now`` is in milliseconds since 1970.

    Raises :class:`TokenInvalid` and nothing else, whatever text the token is. Whether it was revoked, or used before, is not
    checked here.
    """
    return admit_session(decrypt(token, keys, Purpose.SESSION), now)
