"""What a session token says, whichever form it has, and how each claim is checked."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from cowrite.core.ports import AccessDenied, Grant

MAX_TOKEN_CHARACTERS: Final = 8192
"""A token travels in a URL; longer ones are neither made nor read."""
MAX_TEXT: Final = 255
"""Characters of a user id, a name and a document pattern."""
LEEWAY: Final = 30
"""Seconds by which the clocks of host and server may differ."""

_MAX_TIME: Final = 2**53 - 1
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,32}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GRANTS: Final = {grant.value: grant for grant in Grant}
_STRENGTH: Final = {grant: strength for strength, grant in enumerate(Grant)}


class TokenInvalid(AccessDenied):
    """A token that opens nothing. The message is always the same, for the outside; ``reason`` is for the server's own log, and
    holds nothing of the token.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The token is not valid.", known=False)
        self.reason = reason


class ClaimInvalid(ValueError):
    """A claim that is missing or not of its form; raised to the issuer as it is, to the bearer as :class:`TokenInvalid`."""


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
    single_use: bool = False

    def grant_for(self, document_id: str) -> Grant | None:
        """Tell the strongest grant whose pattern matches the document; None when there is none."""
        grants = [grant for pattern, grant in self.documents.items() if _matches(pattern, document_id)]
        return max(grants, key=_STRENGTH.__getitem__, default=None)


def decode_object(raw: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object in UTF-8. Raises :class:`TokenInvalid`, which says ``what`` it is not."""
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise TokenInvalid(f"{what} not JSON") from error
    if not isinstance(value, dict):
        raise TokenInvalid(f"{what} no object")
    return value


def decode_segment(segment: str) -> bytes:
    """Undo base64url without padding. Raises :class:`TokenInvalid`."""
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise TokenInvalid("a part is not base64url") from error


def read_session(claims: Mapping[str, Any]) -> SessionClaims:
    """Check the claims by themselves, without looking at the clock. Raises :class:`ClaimInvalid`."""
    session = SessionClaims(
        sub=text(claims.get("sub"), "sub"),
        documents=_documents(claims.get("documents")),
        iat=time(claims, "iat"),
        exp=time(claims, "exp"),
        jti=uuid(claims.get("jti"), "jti"),
        name=name(claims),
        colour=colour(claims),
        single_use=_flag(claims, "once"),
    )
    if session.exp <= session.iat:
        raise ClaimInvalid("exp is not after iat: the token would be valid for no time")
    return session


def admit_session(claims: Mapping[str, Any], now: int) -> SessionClaims:
    """Check the claims of a genuine token, and that it is its time; ``now`` in ms. Raises :class:`TokenInvalid`."""
    try:
        session = read_session(claims)
        not_before = time(claims, "nbf") if "nbf" in claims else session.iat
    except ClaimInvalid as error:
        raise TokenInvalid(str(error)) from error
    check_times(now, begins=max(session.iat, not_before), ends=session.exp)
    return session


def check_times(now: int, *, begins: int, ends: int, leeway: int = LEEWAY) -> None:
    """Raise :class:`TokenInvalid` before ``begins`` and from ``ends`` on (seconds), give or take the difference of clocks.

    ``leeway``: seconds after ``ends`` in which the token is still taken.
    """
    seconds = now / 1000
    if seconds >= ends + leeway:
        raise TokenInvalid(f"expired {seconds - ends:.0f} s ago")
    if seconds < begins - LEEWAY:
        raise TokenInvalid("made in the future: compare the clocks of host and server")


def text(value: object, claim: str) -> str:
    """A text of 1 to 255 characters that every store can keep."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise ClaimInvalid(f"{claim} is not a text of 1 to {MAX_TEXT} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ClaimInvalid(f"{claim} holds U+0000 or half a surrogate pair")
    return value


def time(claims: Mapping[str, Any], claim: str, unit: str = "whole seconds") -> int:
    """A time since 1970."""
    value = claims.get(claim)
    if type(value) is not int or not 0 <= value <= _MAX_TIME:  # bool is an int to isinstance
        raise ClaimInvalid(f"{claim} is not a time in {unit} since 1970")
    return value


def uuid(value: object, claim: str) -> str:
    """A UUID, in lower case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ClaimInvalid(f"{claim} is not a UUID")
    return str(UUID(value))


def grant(value: object) -> Grant:
    """One of the grants by its name."""
    found = _GRANTS.get(value) if isinstance(value, str) else None
    if found is None:
        raise ClaimInvalid(f"a grant is none of {', '.join(_GRANTS)}")
    return found


def name(claims: Mapping[str, Any]) -> str | None:
    """What others see; null is none."""
    return text(claims["name"], "name") if claims.get("name") is not None else None


def colour(claims: Mapping[str, Any]) -> str | None:
    """The colour of the caret; null is none."""
    value = claims.get("colour")
    if value is not None and (not isinstance(value, str) or not _COLOUR.fullmatch(value)):
        raise ClaimInvalid("colour is neither # with 3 to 8 hex digits nor a colour name")
    return value


def _flag(claims: Mapping[str, Any], claim: str) -> bool:
    value = claims.get(claim)
    if value is not None and not isinstance(value, bool):
        raise ClaimInvalid(f"{claim} is neither true nor false")
    return value is True


def _documents(value: object) -> Mapping[str, Grant]:
    if not isinstance(value, dict):
        raise ClaimInvalid("documents is not an object")
    return MappingProxyType({text(pattern, "a document pattern"): grant(given) for pattern, given in value.items()})


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
