"""Access tokens: what a client shows with each request, once it has a session.

``connect`` exchanges a session token, of whatever form, for one of these; they live for minutes and are renewed on the session.
They are encrypted like session tokens and with the same keys, but of another purpose (``typ`` is ``at+jwt``), so that neither
is ever taken for the other. Their claims:

===========  =============================================================================================================
``sid``      the session, a UUID
``doc``      the document
``sub``      the user
``grant``    what they may do there: ``read``, ``comment``, ``write`` or ``admin``
``iat exp``  when it was made and when it ends: whole seconds since 1970
``ses``      when the session ends, in the same unit; no access token lasts longer
``dec``      when it was decided that this access is given: milliseconds since 1970. A change of grants after that counts more
``name``     optional, as in session tokens
``colour``   optional, as in session tokens
===========  =============================================================================================================

Only servers of one deployment make and read them: their claims are no interface for others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cowrite.core.ports import AccessClaims, AccessTokenMaker, Clock
from cowrite.tokens import claims as check
from cowrite.tokens.claims import LEEWAY, ClaimInvalid, TokenInvalid
from cowrite.tokens.encrypted import Purpose, decrypt, encrypt
from cowrite.tokens.keys import Key

ACCESS_SECONDS: Final = 600
"""How long an access token is valid."""


class AccessTokens:
    """Makes access tokens with the first of the keys, and reads those of all of them."""

    def __init__(self, keys: Sequence[Key], clock: Clock) -> None:
        if not keys:
            raise ValueError("access tokens need a key; without a secret there is cowrite.tokens.ephemeral_keys()")
        self._keys = tuple(keys)
        self._clock = clock

    def dated(self, claims: AccessClaims, *, seconds: int = ACCESS_SECONDS) -> AccessClaims:
        """The same access from now on, for that many seconds and at most until the session ends, as :meth:`issue` makes it.

        Call it to renew an access, and before ``issue`` where the times have to be told. Raises ``ValueError`` when the session
        has ended.
        """
        now = self._clock.now() // 1000
        expires_at = min(now + seconds, claims.session_ends_at // 1000)
        if expires_at <= now:
            raise ValueError("the session has ended: no access is given in it")
        return replace(claims, issued_at=now * 1000, expires_at=expires_at * 1000)

    def issue(self, claims: AccessClaims) -> str:
        """Make a token of claims; those that are not dated are dated now, for 10 minutes.

        Raises ``ValueError`` for claims that :meth:`verify` would refuse whatever the time is, and when the session has ended.
        """
        if claims.expires_at == 0:
            claims = self.dated(claims)
        written = _write(claims)
        _read(written)
        return encrypt(written, self._keys[0], Purpose.ACCESS)

    def verify(self, token: str, *, leeway: int = LEEWAY) -> AccessClaims:
        """Decrypt a token and check all of it. Raises :class:`TokenInvalid` and nothing else, whatever text the token is.

        ``leeway``: seconds after its end in which it is still taken (to renew an access that ended while a laptop slept). That
        the session has not ended, and that the access was not changed since, is not checked here.
        """
        try:
            claims = _read(decrypt(token, self._keys, Purpose.ACCESS))
        except ClaimInvalid as error:
            raise TokenInvalid(str(error)) from error
        begins, ends = claims.issued_at // 1000, claims.expires_at // 1000
        check.check_times(self._clock.now(), begins=begins, ends=ends, leeway=leeway)
        return claims


def _write(claims: AccessClaims) -> dict[str, Any]:
    written = {
        "sid": claims.session_id,
        "doc": claims.document_id,
        "sub": claims.user_id,
        "grant": str(claims.grant),
        "iat": claims.issued_at // 1000,
        "exp": claims.expires_at // 1000,
        "ses": claims.session_ends_at // 1000,
        "dec": claims.decided_at,
        "name": claims.name,
        "colour": claims.colour,
    }
    return {claim: value for claim, value in written.items() if value is not None}


def _read(claims: Mapping[str, Any]) -> AccessClaims:
    access = AccessClaims(
        session_id=check.uuid(claims.get("sid"), "sid"),
        document_id=check.text(claims.get("doc"), "doc"),
        user_id=check.text(claims.get("sub"), "sub"),
        grant=check.grant(claims.get("grant")),
        session_ends_at=check.time(claims, "ses") * 1000,
        decided_at=check.time(claims, "dec", "milliseconds"),
        name=check.name(claims),
        colour=check.colour(claims),
        issued_at=check.time(claims, "iat") * 1000,
        expires_at=check.time(claims, "exp") * 1000,
    )
    if not access.issued_at < access.expires_at <= access.session_ends_at:
        raise ClaimInvalid("iat, exp and ses are not in this order: the token would be valid for no time, or after its session")
    return access


if TYPE_CHECKING:
    _: type[AccessTokenMaker] = AccessTokens
