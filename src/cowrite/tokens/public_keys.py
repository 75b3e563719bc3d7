"""The public keys of whoever signs JWTs: a JSON Web Key Set (RFC 7517), of which the keys are taken that cowrite can use.

Those are RSA keys of 2048 bits or more, the curve P-256 and Ed25519, when they are meant for signatures. Others are passed
over, as RFC 7517 §5 wants it: sets hold keys for encryption, and keys of tomorrow's kinds. Symmetric keys are passed over as
well, since a published set has no secrets, and private keys, since whoever published one has lost it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

MAX_JWKS_BYTES: Final = 256 * 1024

_RSA_BITS: Final = 2048
# RFC 9864 has renamed EdDSA with Ed25519; both names are in use.
_KINDS: Final[dict[tuple[object, object], tuple[type[RSAKey | ECKey | OKPKey], frozenset[str], tuple[str, ...]]]] = {
    ("RSA", None): (RSAKey, frozenset({"RS256"}), ("kty", "n", "e")),
    ("EC", "P-256"): (ECKey, frozenset({"ES256"}), ("kty", "crv", "x", "y")),
    ("OKP", "Ed25519"): (OKPKey, frozenset({"EdDSA", "Ed25519"}), ("kty", "crv", "x")),
}
"""By ``kty`` and ``crv``: the type, the algorithms that a key of it may verify, and the members that make it."""


class JwksInvalid(ValueError):
    """What should be a key set and holds no key that can be used, or could not be had. The message says why."""


class KeysUnavailable(Exception):
    """Whether a token is genuine cannot be told now, since the keys cannot be had: neither let in nor refuse for good."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked by, and the algorithms that it is for."""

    kid: str | None
    algorithms: frozenset[str]
    material: RSAKey | ECKey | OKPKey = field(repr=False, compare=False)


class KeySource(Protocol):
    """Where public keys come from."""

    async def find(self, kid: str | None) -> Sequence[PublicKey]:
        """The keys that may have signed a token with this ``kid`` in its header (None: it has none); empty for an unknown one.

        Raises :class:`KeysUnavailable`.
        """
        ...


def parse_jwks(raw: bytes) -> tuple[PublicKey, ...]:
    """Read a key set. Raises :class:`JwksInvalid` when none of its keys can be used, with the reason for each."""
    if len(raw) > MAX_JWKS_BYTES:
        raise JwksInvalid(f"more than {MAX_JWKS_BYTES // 1024} KB, which is no key set")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise JwksInvalid("not JSON") from error
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list):
        raise JwksInvalid('not a key set: a key set is {"keys": [...]}')
    usable: list[PublicKey] = []
    reasons: list[str] = []
    for number, member in enumerate(members, start=1):
        try:
            usable.append(_parse_key(member))
        except JwksInvalid as error:
            reasons.append(f"key {number} {error}")
    if not usable:
        raise JwksInvalid(f"no usable key: {'; '.join(reasons[:5]) or 'the set is empty'}")
    return tuple(usable)


def _parse_key(member: object) -> PublicKey:
    if not isinstance(member, dict):
        raise JwksInvalid("is no object")
    kty, curve = member.get("kty"), member.get("crv")
    if not isinstance(kty, str) or (curve is not None and not isinstance(curve, str)):
        raise JwksInvalid("has no kty that is a text")
    kind = _KINDS.get((kty, curve))
    if kind is None:
        raise JwksInvalid("is neither RSA nor P-256 nor Ed25519")
    key_type, algorithms, names = kind
    for reason in _unfit(member, algorithms):
        raise JwksInvalid(reason)
    try:
        with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # on short keys, which are refused below
            material = key_type.import_key({name: member[name] for name in names if name in member})
    except (JoseError, ValueError, TypeError) as error:
        raise JwksInvalid("is damaged") from error
    if isinstance(material, RSAKey) and material.raw_value.key_size < _RSA_BITS:
        raise JwksInvalid(f"has {material.raw_value.key_size} bits; RS256 needs {_RSA_BITS} or more")
    return PublicKey(member.get("kid"), algorithms, material)


def _unfit(member: Mapping[str, Any], algorithms: frozenset[str]) -> Iterator[str]:
    if "d" in member:
        yield "is a private key: publish only its public part, and no longer use this one"
    if member.get("use", "sig") != "sig":
        yield "is not for signatures (use)"
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        yield "is not for verifying (key_ops)"
    algorithm = member.get("alg")
    if algorithm is not None and (not isinstance(algorithm, str) or algorithm not in algorithms):
        yield f"is for another algorithm than {' or '.join(sorted(algorithms))} (alg)"
    if not isinstance(member.get("kid", ""), str):
        yield "has a kid that is no text"
