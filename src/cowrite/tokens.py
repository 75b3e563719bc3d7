"""Session tokens: how a host application tells cowrite who its user is and what they may do.

The host's backend makes a token for each user with :func:`issue`, from a secret that it shares with cowrite, and hands it to
the page; the page gives it to cowrite. A token is a JWE in compact form (RFC 7516: ``dir``, A256GCM), so that the user can
neither change nor read it, and any JOSE library can make one. Its claims:

=============  ===========================================================================================================
``sub``        the user's id, 1 to 255 characters
``documents``  object: document id or pattern → ``read``, ``comment``, ``write`` or ``admin``. In a pattern ``*`` stands for
               any characters, also none and also ``/``; nothing else is special
``iat exp``    when it was made and when it ends: whole seconds since 1970. ``nbf`` is heeded where it is given
``jti``        a UUID of its own
``name``       optional: what others see, 1 to 255 characters
``colour``     optional: of the caret; ``#`` and 3 to 8 hex digits, or a CSS colour name
=============  ===========================================================================================================

Other claims are ignored. In the header ``kid`` names the key (the first 12 characters of its RFC 7638 thumbprint); without
it every key is tried. A ``typ`` other than ``JWT`` is refused: it is kept for tokens of another purpose under the same keys.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Access, AccessDenied, Authorizer, Clock, Grant

SECRET_BYTES: Final = 32
MAX_TOKEN_CHARACTERS: Final = 8192
"""A token travels in a URL; longer ones are neither made nor read."""
MAX_TEXT: Final = 255
"""Characters of a user id, a name and a document pattern."""
LEEWAY: Final = 30
"""Seconds by which the clocks of host and server may differ."""

_KID_CHARACTERS: Final = 12
_MAX_TIME: Final = 2**53 - 1
_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_REGISTRY: Final = jwe.JWERegistry(algorithms=list(_HEADER.values()))
# The encrypted key is empty with "dir"; the IV has 12 bytes and the tag 16.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,32}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GRANTS: Final = {grant.value: grant for grant in Grant}
_STRENGTH: Final = {grant: strength for strength, grant in enumerate(Grant)}


class SecretInvalid(ValueError):
    """A secret that cannot be a key. The message says how to make one, and holds nothing of the secret."""


class TokenInvalid(Exception):
    """A token that opens nothing. The message is always the same, for the outside; ``reason`` is for the server's own log."""

    def __init__(self, reason: str) -> None:
        super().__init__("The token is not valid.")
        self.reason = reason


class _ClaimInvalid(ValueError):
    """A claim that is missing or not of its form; raised to the issuer as ``ValueError``, to the bearer as TokenInvalid."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key for tokens. Its text form does not show the secret."""

    kid: str
    material: OctKey = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """What a session token says. Times are seconds since 1970, as in the token."""

    sub: str
    documents: Mapping[str, Grant]
    iat: int
    exp: int
    jti: str
    name: str | None = None
    colour: str | None = None

    def grant_for(self, document_id: str) -> Grant | None:
        """Tell the strongest grant whose pattern matches the document; None when there is none."""
        grants = [grant for pattern, grant in self.documents.items() if _matches(pattern, document_id)]
        return max(grants, key=_STRENGTH.__getitem__, default=None)


def generate_secret() -> str:
    """Make a secret for ``COWRITE_SECRET``: 32 random bytes, base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def parse_secrets(text: str, *, setting: str = "COWRITE_SECRET") -> tuple[Key, ...]:
    """Read one or more secrets, separated by commas. The first one issues, all are accepted.

    Raises :class:`SecretInvalid`, which names ``setting``.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(
        _parse_secret(part, setting if len(parts) == 1 else f"Secret {number} of {setting}")
        for number, part in enumerate(parts, start=1)
    )


def _parse_secret(text: str, what: str) -> Key:
    needs = f"it needs {SECRET_BYTES} bytes, base64url. Make one with: cowrite secret"
    bare = text.rstrip("=")
    if not text:
        raise SecretInvalid(f"{what} is empty; {needs}")
    if not _BASE64URL.fullmatch(text) or len(bare) % 4 == 1:
        raise SecretInvalid(f"{what} is not base64url (letters, digits, - and _); {needs}")
    raw = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if len(raw) != SECRET_BYTES:
        raise SecretInvalid(f"{what} holds {len(raw)} bytes; {needs}")
    material = OctKey.import_key(raw)
    return Key(material.thumbprint()[:_KID_CHARACTERS], material)


def issue(
    secret: str | Key,
    *,
    sub: str,
    documents: Mapping[str, str | Grant],
    name: str | None = None,
    colour: str | None = None,
    ttl: int = 3600,
    now: int | None = None,
) -> str:
    """Make a session token for the user ``sub``, valid for ``ttl`` seconds.

    ``documents`` maps document ids, or patterns with ``*``, to ``read``, ``comment``, ``write`` or ``admin``. With a list of
    secrets the first one is used. ``now`` (milliseconds since 1970) is the system's time unless given.

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
    claims |= {claim: value for claim, value in (("name", name), ("colour", colour)) if value is not None}
    _read_claims(claims)
    plaintext = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    token = jwe.encrypt_compact(_HEADER | {"kid": key.kid}, plaintext, key.material, registry=_REGISTRY)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise ValueError(
            f"the token has {len(token)} characters; at most {MAX_TOKEN_CHARACTERS} are allowed. "
            "Name fewer documents, or use a pattern such as 'project7/*'"
        )
    return token


def verify(token: str, keys: Sequence[Key], now: int) -> SessionClaims:
    """Decrypt a session token with one of the keys and check all of it; ``now`` is in milliseconds since 1970.

    Raises :class:`TokenInvalid` and nothing else, whatever text the token is. Whether it was revoked is not checked here.
    """
    claims = _decode_claims(_decrypt(token, keys))
    try:
        session = _read_claims(claims)
        not_before = _time(claims, "nbf") if "nbf" in claims else session.iat
    except _ClaimInvalid as error:
        raise TokenInvalid(str(error)) from error
    seconds = now / 1000
    if seconds >= session.exp + LEEWAY:
        raise TokenInvalid(f"expired {seconds - session.exp:.0f} s ago")
    if seconds < max(session.iat, not_before) - LEEWAY:
        raise TokenInvalid("made in the future: compare the clocks of host and server")
    return session


def _decrypt(token: str, keys: Sequence[Key]) -> bytes:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenInvalid(f"{len(token)} characters long")
    form = _COMPACT.fullmatch(token)
    if form is None:
        raise TokenInvalid("not a compact JWE with direct encryption")
    header = _decode_header(form[1])
    for key in keys:
        if header.get("kid", key.kid) == key.kid:
            try:
                plaintext = jwe.decrypt_compact(token, key.material, registry=_REGISTRY).plaintext
            except (JoseError, ValueError):
                continue
            return plaintext or b""
    raise TokenInvalid("made with none of the keys")


def _decode_header(segment: str) -> dict[str, Any]:
    # Read here before the library sees it: it takes more headers than we do, and fails on some that are no objects.
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode())
    except (ValueError, RecursionError) as error:
        raise TokenInvalid("the header is not JSON") from error
    if not isinstance(header, dict) or not header.keys() <= {"alg", "enc", "kid", "typ"}:
        raise TokenInvalid("a header other than alg, enc, kid, typ")
    if {name: header.get(name) for name in _HEADER} != _HEADER or header.get("typ", "JWT") != "JWT":
        raise TokenInvalid("not a session token with alg dir and enc A256GCM")
    return header


def _decode_claims(plaintext: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(plaintext.decode())
    except (ValueError, RecursionError) as error:
        raise TokenInvalid("the claims are not JSON") from error
    if not isinstance(claims, dict):
        raise TokenInvalid("the claims are not an object")
    return claims


def _read_claims(claims: dict[str, Any]) -> SessionClaims:
    session = SessionClaims(
        sub=_text(claims.get("sub"), "sub"),
        documents=_documents(claims.get("documents")),
        iat=_time(claims, "iat"),
        exp=_time(claims, "exp"),
        jti=_uuid(claims.get("jti")),
        name=_text(claims["name"], "name") if claims.get("name") is not None else None,
        colour=_colour(claims["colour"]) if claims.get("colour") is not None else None,
    )
    if session.exp <= session.iat:
        raise _ClaimInvalid("exp is not after iat: the token would be valid for no time")
    return session


def _text(value: object, claim: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise _ClaimInvalid(f"{claim} is not a text of 1 to {MAX_TEXT} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise _ClaimInvalid(f"{claim} holds U+0000 or half a surrogate pair")
    return value


def _documents(value: object) -> Mapping[str, Grant]:
    if not isinstance(value, dict):
        raise _ClaimInvalid("documents is not an object")
    documents = {}
    for pattern, name in value.items():
        grant = _GRANTS.get(name) if isinstance(name, str) else None
        if grant is None:
            raise _ClaimInvalid(f"a grant is none of {', '.join(_GRANTS)}")
        documents[_text(pattern, "a document pattern")] = grant
    return MappingProxyType(documents)


def _time(claims: dict[str, Any], claim: str) -> int:
    value = claims.get(claim)
    if type(value) is not int or not 0 <= value <= _MAX_TIME:  # bool is an int to isinstance
        raise _ClaimInvalid(f"{claim} is not a time in whole seconds since 1970")
    return value


def _uuid(value: object) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise _ClaimInvalid("jti is not a UUID")
    return str(UUID(value))


def _colour(value: object) -> str:
    if not isinstance(value, str) or not _COLOUR.fullmatch(value):
        raise _ClaimInvalid("colour is neither # with 3 to 8 hex digits nor a colour name")
    return value


def _matches(pattern: str, document_id: str) -> bool:
    """Compare with ``*`` as the only special character. Not by a regular expression: it would take long for '*a*a*a*a'."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == document_id
    *middle, last = rest
    end = len(document_id) - len(last)
    if not document_id.startswith(first) or not document_id.endswith(last) or end < len(first):
        return False
    at = len(first)
    for piece in middle:
        found = document_id.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class TokenAuthorizer:
    """Lets in who has a valid session token with a grant for the document."""

    def __init__(self, keys: Sequence[Key], clock: Clock) -> None:
        if not keys:
            raise ValueError("a TokenAuthorizer without keys would let nobody in; set COWRITE_SECRET")
        self._keys = tuple(keys)
        self._clock = clock

    async def __call__(self, token: str | None, document_id: str) -> Access:
        if not token:
            raise AccessDenied("A token is needed.", known=False)
        return _access(token, document_id, self._keys, self._clock)


class DemoAuthorizer:
    """Lets everybody write without a token, as a guest with a new random id each time. A token that is sent is still checked.

    An empty token is none: Hocuspocus clients send that when they have none. Without keys every token is refused.
    """

    def __init__(self, keys: Sequence[Key], clock: Clock) -> None:
        self._keys = tuple(keys)
        self._clock = clock

    async def __call__(self, token: str | None, document_id: str) -> Access:
        if not token:
            return Access(f"guest-{secrets.token_hex(4)}", Grant.WRITE)
        return _access(token, document_id, self._keys, self._clock)


def _access(token: str, document_id: str, keys: Sequence[Key], clock: Clock) -> Access:
    try:
        claims = verify(token, keys, clock.now())
    except TokenInvalid as error:
        raise AccessDenied(str(error), known=False) from error
    grant = claims.grant_for(document_id)
    if grant is None:
        raise AccessDenied("The token gives no access to this document.", known=True)
    return Access(claims.sub, grant, claims.name, claims.colour)


if TYPE_CHECKING:
    _token: type[Authorizer] = TokenAuthorizer
    _demo: type[Authorizer] = DemoAuthorizer
