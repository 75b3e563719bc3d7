"""The authorizers that go by session tokens."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import structlog

from cowrite.core.ports import Access, AccessDenied, Authorizer, Clock, Grant
from cowrite.core.seldom import Seldom
from cowrite.tokens.claims import SessionClaims, TokenInvalid
from cowrite.tokens.keys import Key
from cowrite.tokens.session import verify
from cowrite.tokens.signed import SignedTokens

_DOTS_OF_A_JWS: Final = 2
_GUEST: Final = "guest-"
_MAX_NAME: Final = 64
_NOT_IN_NAMES: Final = frozenset({"Cc", "Zl", "Zp"})

_log = structlog.get_logger(__name__)


class TokenAuthorizer:
    """Lets in who has a valid session token with a grant for the document.

    A token in three parts is a signed one, every other an encrypted one. ``single_use``: all tokens are for a single use,
    whatever they say themselves; that one was used before is for the caller to find out, by the ``token_id`` of the access.
    May raise :class:`KeysUnavailable` besides :class:`AccessDenied`.
    """

    def __init__(
        self, keys: Sequence[Key], clock: Clock, *, signed: SignedTokens | None = None, single_use: bool = False
    ) -> None:
        if not keys and signed is None:
            raise ValueError("a TokenAuthorizer without keys would let nobody in; set COWRITE_SECRET")
        self._tokens = _SessionTokens(keys, clock, signed, single_use)

    async def __call__(self, token: str | None, document_id: str) -> Access:
        if not token:
            raise AccessDenied("A token is needed.", known=False)
        return await self._tokens.access(token, document_id)


class DemoAuthorizer:
    """Lets everybody write without a token, as a guest with a new random id each time. A token that is sent is still checked.

    An empty token is none: Hocuspocus clients send that when they have none. ``guest-`` and a name, percent-encoded, is none
    either: it says what to call the guest, whose id it becomes, so that a history can be read. Without keys every other token
    is refused.
    """

    def __init__(
        self, keys: Sequence[Key], clock: Clock, *, signed: SignedTokens | None = None, single_use: bool = False
    ) -> None:
        self._tokens = _SessionTokens(keys, clock, signed, single_use)

    async def __call__(self, token: str | None, document_id: str) -> Access:
        if not token:
            return Access(f"{_GUEST}{secrets.token_hex(4)}", Grant.WRITE, anonymous=True)
        if token.startswith(_GUEST):
            return _named_guest(unquote(token.removeprefix(_GUEST)))
        return await self._tokens.access(token, document_id)


def _named_guest(name: str) -> Access:
    if not 0 < len(name) <= _MAX_NAME or any(unicodedata.category(sign) in _NOT_IN_NAMES for sign in name):
        raise AccessDenied(f"A guest's name has 1 to {_MAX_NAME} characters, and is one line.", known=False)
    return Access(_GUEST + name, Grant.WRITE, name)


class _SessionTokens:
    """Session tokens of either form, and the access that they give."""

    def __init__(self, keys: Sequence[Key], clock: Clock, signed: SignedTokens | None, single_use: bool) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._signed = signed
        self._single_use = single_use
        self._lines = Seldom(clock)

    async def access(self, token: str, document_id: str) -> Access:
        try:
            claims = await self._verify(token)
        except TokenInvalid as error:
            self._lines.say(_log, "info", "token refused", document_id, document=document_id, reason=error.reason)
            raise AccessDenied(str(error), known=False) from error
        grant = claims.grant_for(document_id)
        if grant is None:
            raise AccessDenied("The token gives no access to this document.", known=True)
        return Access(
            claims.sub,
            grant,
            claims.name,
            claims.colour,
            issued_at=claims.iat * 1000,
            expires_at=claims.exp * 1000,
            token_id=claims.jti,
            single_use=claims.single_use or self._single_use,
        )

    async def _verify(self, token: str) -> SessionClaims:
        if token.count(".") != _DOTS_OF_A_JWS:
            return verify(token, self._keys, self._clock.now())
        if self._signed is None:
            raise TokenInvalid("a signed JWT, and neither COWRITE_JWT_SECRET nor COWRITE_JWKS is set")
        return await self._signed.verify(token, self._clock.now())


if TYPE_CHECKING:
    _token: type[Authorizer] = TokenAuthorizer
    _demo: type[Authorizer] = DemoAuthorizer
