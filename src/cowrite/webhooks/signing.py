"""Signatures of webhooks, as https://www.standardwebhooks.com has them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"
_LEAST, _MOST = 24, 64
"""Bytes of a secret."""


def parse_webhook_secrets(text: str) -> tuple[bytes, ...]:
    """The keys of ``COWRITE_WEBHOOK_SECRET``. Raises ``ValueError`` for what is none, without showing it."""
    return tuple(_key(part.strip()) for part in text.split(","))


def signed_headers(keys: Sequence[bytes], event_id: str, seconds: int, body: bytes) -> Mapping[str, str]:
    """The headers of a message that is sent at that time: a signature by each key, so that keys can be exchanged."""
    content = b"%s.%d.%s" % (event_id.encode(), seconds, body)
    signatures = (base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST <= len(key) <= _MOST:
        raise ValueError(
            f"COWRITE_WEBHOOK_SECRET is no secret for webhooks: write {SECRET_PREFIX} and {_LEAST} to {_MOST} random bytes in "
            "base64"
        )
    return key
