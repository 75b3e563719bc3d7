"""The secrets with which session tokens are made and read."""

from __future__ import annotations

import base64
import json
import re

import pytest
from joserfc.jwk import OctKey

from cowrite.tokens import (
    SecretInvalid,
    generate_secret,
    issue,
    parse_secrets,
    verify,
)
from tokens.token_tools import HEADER, KEYS, NOW, SECRET, made, refused


@pytest.mark.rule("TO1")
def test_a_secret_is_32_random_bytes() -> None:
    """A made secret is accepted, holds 32 bytes, and is another one each time; ``=`` at its end and spaces do no harm."""
    assert len(base64.urlsafe_b64decode(SECRET + "=")) == 32
    assert generate_secret() != SECRET
    assert parse_secrets(f" {SECRET}= ") == KEYS


@pytest.mark.rule("TO1")
def test_the_key_id_is_the_thumbprint() -> None:
    """The key id is the beginning of the RFC 7638 thumbprint: others can compute it, and it tells nothing of the key."""
    (key,) = parse_secrets("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
    whole = OctKey.import_key(bytes(range(32))).thumbprint()
    assert key.kid == whole[:12]
    assert "AAECAw" not in repr(key)


@pytest.mark.rule("TO2")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "COWRITE_SECRET is empty; it needs 32 bytes, base64url. Make one with: cowrite secret"),
        (
            "AAAAAAAAAAAAAAAAAAAAAA",
            "COWRITE_SECRET holds 16 bytes; it needs 32 bytes, base64url. Make one with: cowrite secret",
        ),
        ("A" * 44, "COWRITE_SECRET holds 33 bytes; it needs 32 bytes, base64url. Make one with: cowrite secret"),
        ("A" * 42 + "+", "COWRITE_SECRET is not base64url (letters, digits, - and _); it needs 32 bytes"),
        ("A" * 41, "COWRITE_SECRET is not base64url"),
        ("pässword", "COWRITE_SECRET is not base64url"),
        (f"{SECRET},AAAA", "Secret 2 of COWRITE_SECRET holds 3 bytes"),
        (f"{SECRET},", "Secret 2 of COWRITE_SECRET is empty"),
    ],
)
def test_a_bad_secret_says_what_to_do(text: str, message: str) -> None:
    """A secret that is no key is refused with what it is and how to make one, and is not shown."""
    with pytest.raises(SecretInvalid, match=f"^{re.escape(message)}") as caught:
        parse_secrets(text)
    assert "AAAA" not in str(caught.value)


@pytest.mark.rule("TO2")
def test_the_name_of_the_setting_is_the_callers() -> None:
    """Who reads the secret from elsewhere names that place."""
    with pytest.raises(SecretInvalid, match=r"^--secret holds 3 bytes"):
        parse_secrets("AAAA", setting="--secret")
    with pytest.raises(SecretInvalid, match=r"^The secret holds 3 bytes"):
        issue("AAAA", sub="ana", documents={})


@pytest.mark.rule("TO3")
def test_keys_rotate() -> None:
    """The first secret issues, all are accepted, a removed one is not."""
    old, new = SECRET, generate_secret()
    both = parse_secrets(f"{new}, {old}")
    before, after = made(), issue(f"{new},{old}", sub="ana", documents={"doc_1": "write"}, now=NOW)
    assert verify(before, both, NOW).sub == verify(after, both, NOW).sub == "ana"
    assert verify(after, parse_secrets(new), NOW).sub == "ana"
    refused(before, "none of the keys", keys=parse_secrets(new))
    assert json.loads(base64.urlsafe_b64decode(after.split(".")[0] + "==")) == {**HEADER, "kid": both[0].kid}
