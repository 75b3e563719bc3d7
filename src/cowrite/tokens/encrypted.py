"""The form of encrypted tokens: JWE in compact form (RFC 7516) with ``dir`` and A256GCM, and nothing else.

In the header ``kid`` names the key; without it every key is tried. ``typ`` names the purpose, so that a token of one purpose is
never taken for one of another, though their keys are the same; without it the purpose is a session. The header is authenticated
with the rest: nobody but a holder of the key can change it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError

from cowrite.tokens.claims import MAX_TOKEN_CHARACTERS, TokenInvalid, decode_object, decode_segment
from cowrite.tokens.keys import Key

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_REGISTRY: Final = jwe.JWERegistry(algorithms=list(_HEADER.values()))
# The encrypted key is empty with "dir"; the IV has 12 bytes and the tag 16.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}")


class Purpose(StrEnum):
    """What a token is for: the ``typ`` of its header."""

    SESSION = "JWT"
    ACCESS = "at+jwt"


def encrypt(claims: Mapping[str, Any], key: Key, purpose: Purpose) -> str:
    """Make a token of the claims. Raises ``ValueError`` for one that would be over 8 KB."""
    header = _HEADER | {"kid": key.kid}
    if purpose is not Purpose.SESSION:
        header |= {"typ": purpose.value}
    plaintext = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    token = jwe.encrypt_compact(header, plaintext, key.material, registry=_REGISTRY)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise ValueError(
            f"the token has {len(token)} characters; at most {MAX_TOKEN_CHARACTERS} are allowed. "
            "Name fewer documents, or use a pattern such as 'project7/*'"
        )
    return token


def decrypt(token: str, keys: Sequence[Key], purpose: Purpose) -> dict[str, Any]:
    """The claims of a token that was made with one of the keys for this purpose; they are not checked yet.

    Raises :class:`TokenInvalid` and nothing else, whatever text the token is.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenInvalid(f"{len(token)} characters long")
    form = _COMPACT.fullmatch(token)
    if form is None:
        raise TokenInvalid("not a compact JWE with direct encryption")
    header = _read_header(form[1], purpose)
    for key in keys:
        if header.get("kid", key.kid) == key.kid:
            try:
                plaintext = jwe.decrypt_compact(token, key.material, registry=_REGISTRY).plaintext
            except (JoseError, ValueError):
                continue
            return decode_object(plaintext or b"", "the claims are")
    raise TokenInvalid("made with none of the keys")


def _read_header(segment: str, purpose: Purpose) -> dict[str, Any]:
    # Read here before the library sees it: it takes more headers than we do, and fails on some that are no objects.
    header = decode_object(decode_segment(segment), "the header is")
    if not header.keys() <= {"alg", "enc", "kid", "typ"}:
        raise TokenInvalid("a header other than alg, enc, kid, typ")
    if {name: header.get(name) for name in _HEADER} != _HEADER:
        raise TokenInvalid("not encrypted with alg dir and enc A256GCM")
    if header.get("typ", Purpose.SESSION) != purpose:
        raise TokenInvalid(f"typ is not {purpose}: a token of another purpose")
    return header
