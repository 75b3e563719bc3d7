"""Tokens as other libraries make them, of whatever a test wants in them."""

from __future__ import annotations

import base64
import json
from typing import Any

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry


def segment(value: Any) -> str:
    """Base64url of bytes, or of a value's JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(payload: object, key: OctKey | RSAKey | ECKey | OKPKey, header: Any, *, algorithm: str | None = None) -> str:
    """A JWS with any header, signed with the algorithm of the header or with another one."""
    content = f"{segment(header)}.{segment(payload)}"
    return f"{content}.{segment(JWSRegistry.algorithms[algorithm or header['alg']].sign(content.encode(), key))}"
