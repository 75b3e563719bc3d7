"""Secrets and the keys that they are: 32 random bytes for encrypted tokens, and a text for JWTs that are signed with one."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from joserfc.jwk import OctKey

SECRET_BYTES: Final = 32

_KID_CHARACTERS: Final = 12
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_OF_A_PAIR: Final = re.compile(r"-{4,5} ?BEGIN |(?:ssh-rsa|ssh-dss|ssh-ed25519) |ecdsa-sha2-|\A\s*\{")
"""How keys look in files: PEM, OpenSSH, JSON Web Keys."""


class SecretInvalid(ValueError):
    """A secret that cannot be a key. The message says how to make one, and holds nothing of the secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key for tokens. Its text form does not show the secret."""

    kid: str
    material: OctKey = field(repr=False, compare=False)


def generate_secret() -> str:
    """Make a secret for ``COWRITE_SECRET``: 32 random bytes, base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def ephemeral_keys() -> tuple[Key, ...]:
    """A random key that ends with the process, and with it every token that it made. For servers without a secret."""
    return (_key(secrets.token_bytes(SECRET_BYTES)),)


def parse_secrets(text: str, *, setting: str = "COWRITE_SECRET") -> tuple[Key, ...]:
    """Read one or more secrets, separated by commas. The first one issues, all are accepted.

    Raises :class:`SecretInvalid`, which names ``setting``.
    """
    return tuple(_parse_secret(part, what) for part, what in _parts(text, setting))


def parse_jwt_secrets(text: str, *, setting: str = "COWRITE_JWT_SECRET") -> tuple[Key, ...]:
    """Read one or more secrets for HS256, separated by commas; all are accepted. A secret is its text, in UTF-8.

    Raises :class:`SecretInvalid`, which names ``setting``: for less than 32 bytes (RFC 7518 §3.2), and for the text of a public
    key, with which anybody could sign.
    """
    return tuple(_parse_jwt_secret(part, what) for part, what in _parts(text, setting))


def _parts(text: str, setting: str) -> list[tuple[str, str]]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        return [(parts[0], setting)]
    return [(part, f"Secret {number} of {setting}") for number, part in enumerate(parts, start=1)]


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
    return _key(raw)


def _parse_jwt_secret(text: str, what: str) -> Key:
    if _OF_A_PAIR.search(text):
        raise SecretInvalid(
            f"{what} is a key of a pair, not a shared secret: with a public key everybody could sign. "
            "Name the file of the public keys in COWRITE_JWKS"
        )
    raw = text.encode(errors="surrogateescape")
    if len(raw) < SECRET_BYTES:
        raise SecretInvalid(f"{what} has {len(raw)} bytes; HS256 needs {SECRET_BYTES} or more. Make one with: cowrite secret")
    return _key(raw)


def _key(raw: bytes) -> Key:
    material = OctKey.import_key(raw)
    return Key(material.thumbprint()[:_KID_CHARACTERS], material)
