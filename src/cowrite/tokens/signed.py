"""Session tokens that are signed JWTs (RFC 7519, JWS in compact form), for hosts that make such tokens already.

Their claims are those of encrypted session tokens, ``documents`` among them; whoever holds one can read them. What RFC 8725
(best current practices) warns of, and the answer here:

* *The algorithm is the sender's to choose* (2.1, 3.1): each key is for the algorithms of its kind alone. HS256 is checked with
  the secrets of ``COWRITE_JWT_SECRET`` and with nothing else; RS256, ES256 and EdDSA with the public keys of ``COWRITE_JWKS``.
  So a public key is never a secret. ``none`` is no algorithm.
* *Weak secrets* (2.2, 3.5): 32 bytes at least.
* *Keys from the token itself* (2.9, 3.10): ``jwk``, ``jku``, ``x5u`` and ``x5c`` are ignored, nothing is fetched from where a
  token says, and ``kid`` is compared with the ``kid`` of known keys and used for nothing else.
* *Extensions that must be understood*: ``crit`` is refused, and with it ``b64`` (RFC 7797).
* *Tokens for somebody else* (2.8, 3.8, 3.9): ``iss`` and ``aud`` must be those of the settings. A token that names an audience
  is refused when no audience is set (RFC 7519 §4.1.3).
* *Tokens of another kind* (2.8, 3.11, 3.12): ``typ`` must be ``JWT`` or missing, which keeps out signed access tokens
  (``at+jwt``), logout tokens and others; and ID tokens have no ``documents``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import Key as Material
from joserfc.jws import JWSRegistry

from cowrite.tokens.claims import (
    MAX_TOKEN_CHARACTERS,
    SessionClaims,
    TokenInvalid,
    admit_session,
    decode_object,
    decode_segment,
)
from cowrite.tokens.keys import Key
from cowrite.tokens.public_keys import KeySource

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_SHARED: Final = "HS256"
_ALGORITHMS: Final = {name: JWSRegistry.algorithms[name] for name in (_SHARED, "RS256", "ES256", "EdDSA", "Ed25519")}


class SignedTokens:
    """Reads signed session tokens. ``secrets`` and ``source`` say by what; of each there may be none."""

    def __init__(
        self,
        *,
        secrets: Sequence[Key] = (),
        source: KeySource | None = None,
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        self._secrets = tuple(secrets)
        self._source = source
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str, now: int) -> SessionClaims:
        """Check the signature and the claims of a token; ``now`` is in milliseconds since 1970.

        Raises :class:`TokenInvalid`, and :class:`KeysUnavailable` when the key set cannot be had. Whether the token was used
        before is not checked here.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenInvalid(f"{len(token)} characters long")
        form = _COMPACT.fullmatch(token)
        if form is None:
            raise TokenInvalid("not a compact JWS with a signature")
        header, payload, signature = form.groups()
        algorithm, kid = _read_header(header)
        materials = await self._materials(algorithm, kid)
        signed, mark = f"{header}.{payload}".encode(), decode_segment(signature)
        if not any(_genuine(algorithm, signed, mark, material) for material in materials):
            raise TokenInvalid("signed with none of the keys")
        claims = decode_object(decode_segment(payload), "the claims are")
        self._check_parties(claims)
        return admit_session(claims, now)

    async def _materials(self, algorithm: str, kid: str | None) -> list[Material]:
        if algorithm == _SHARED:
            # A kid is no help here: who shares a secret as a text has no common way to name it.
            return [key.material for key in self._secrets]
        if self._source is None:
            raise TokenInvalid(f"signed with {algorithm}, and COWRITE_JWKS is not set")
        found = await self._source.find(kid)
        if not found:
            raise TokenInvalid("signed with a key that is not in the key set")
        return [key.material for key in found if algorithm in key.algorithms]

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise TokenInvalid("iss is not the issuer of COWRITE_JWT_ISSUER")
        audience = claims.get("aud")
        if self._audience is not None and self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenInvalid("aud does not name the audience of COWRITE_JWT_AUDIENCE")
        if self._audience is None and audience is not None:
            raise TokenInvalid("made for the audience in aud, and COWRITE_JWT_AUDIENCE is not set")


def _read_header(segment: str) -> tuple[str, str | None]:
    header = decode_object(decode_segment(segment), "the header is")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise TokenInvalid(f"alg is none of {', '.join(_ALGORITHMS)}")
    if header.get("typ", "JWT") != "JWT":
        raise TokenInvalid("typ is not JWT: a token of another purpose")
    if "crit" in header or "b64" in header:
        raise TokenInvalid("the header has crit or b64, which are not supported")
    if "kid" in header and not isinstance(kid, str):
        raise TokenInvalid("kid is no text")
    return algorithm, kid


def _genuine(algorithm: str, signed: bytes, signature: bytes, material: Material) -> bool:
    try:
        return _ALGORITHMS[algorithm].verify(signed, signature, material)
    except (JoseError, ValueError):
        return False
