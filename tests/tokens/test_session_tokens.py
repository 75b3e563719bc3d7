"""Session tokens: what they say, how long they hold, and what is none."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwe, jws
from joserfc.jwk import OctKey

from cowrite.core.ports import Grant
from cowrite.tokens import (
    LEEWAY,
    SessionClaims,
    generate_secret,
    issue,
    parse_secrets,
    verify,
)
from tokens.token_tools import HEADER, KEYS, NOW, made, refused

CLAIMS: dict[str, Any] = {
    "sub": "ana",
    "documents": {"doc_1": "write"},
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 60,
    "jti": "0192f0a0-0000-7000-8000-000000000000",
}


def encrypted(payload: Any, header: dict[str, Any] = HEADER, key: OctKey = KEYS[0].material) -> str:
    """A token as another library would make it, of any payload."""
    plaintext = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwe.encrypt_compact(header, plaintext, key, algorithms=[header["alg"], header["enc"], "DEF"])


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


# --- making and reading


@pytest.mark.rule("TO4")
def test_a_token_says_who_and_what() -> None:
    """All that was put in comes out, under an id of its own."""
    token = made(name="Ana Žižek 😀", colour="#f0a", documents={"doc_1": Grant.ADMIN, "team/*": "read"}, ttl=90)
    claims = verify(token, KEYS, NOW)
    assert claims == SessionClaims(
        sub="ana",
        documents={"doc_1": Grant.ADMIN, "team/*": Grant.READ},
        iat=NOW // 1000,
        exp=NOW // 1000 + 90,
        jti=claims.jti,
        name="Ana Žižek 😀",
        colour="#f0a",
    )
    assert UUID(claims.jti).version == 7
    assert verify(made(), KEYS, NOW).jti != claims.jti
    with pytest.raises(TypeError):
        claims.documents["doc_2"] = Grant.ADMIN  # type: ignore[index]


@pytest.mark.rule("TO4")
def test_tokens_of_now() -> None:
    """Without a given time a token starts now and lasts an hour; a key can be given in place of the secret."""
    claims = verify(issue(KEYS[0], sub="ana", documents={}), KEYS, time.time_ns() // 1_000_000)
    assert claims.exp - claims.iat == 3600
    assert (claims.name, claims.colour) == (None, None)


@pytest.mark.rule("TO4")
def test_tokens_of_other_libraries() -> None:
    """Without ``kid`` every key is tried; claims that nobody asked for and null for a missing one do no harm."""
    keys = (*parse_secrets(generate_secret()), *KEYS)
    claims = CLAIMS | {"iss": "host", "name": None, "colour": None, "nbf": CLAIMS["iat"], "jti": CLAIMS["jti"].upper()}
    for header in (HEADER, HEADER | {"typ": "JWT"}, HEADER | {"kid": KEYS[0].kid}):
        session = verify(encrypted(claims, header), keys, NOW)
        assert (session.sub, session.name, session.jti) == ("ana", None, CLAIMS["jti"])


@pytest.mark.rule("TO4")
def test_the_token_hides_its_claims() -> None:
    """A token is encrypted, and the same claims never look alike."""
    tokens = {made(sub="somebody-special") for _ in range(10)}
    assert len({token.split(".")[2] for token in tokens}) == 10
    for token in tokens:
        assert segment(b"somebody-special")[:12] not in token


@pytest.mark.rule("TO20")
def test_a_token_for_a_single_use() -> None:
    """Who makes the token says whether it opens one session only; by default it opens any number."""
    assert verify(made(single_use=True), KEYS, NOW).single_use
    assert not verify(made(), KEYS, NOW).single_use
    for once, expected in ((True, True), (False, False), (None, False)):
        assert verify(encrypted(CLAIMS | {"once": once}), KEYS, NOW).single_use is expected


# --- time


@pytest.mark.rule("TO5")
@pytest.mark.parametrize(("seconds", "taken"), [(0, True), (60 + LEEWAY - 1, True), (60 + LEEWAY, False), (10**6, False)])
def test_tokens_expire(seconds: int, taken: bool) -> None:
    """A token ends at ``exp``, give or take the clocks' difference."""
    token = made(ttl=60)
    if taken:
        verify(token, KEYS, NOW + seconds * 1000)
    else:
        refused(token, "expired", now=NOW + seconds * 1000)


@pytest.mark.rule("TO5")
def test_tokens_of_the_future_are_refused() -> None:
    """A token is not valid before ``iat`` and ``nbf``, give or take the clocks' difference."""
    verify(made(), KEYS, NOW - LEEWAY * 1000)
    refused(made(), "future", now=NOW - LEEWAY * 1000 - 1)
    later = encrypted(CLAIMS | {"nbf": NOW // 1000 + LEEWAY + 1})
    refused(later, "future")
    verify(later, KEYS, NOW + 1000)


# --- refusals


@pytest.mark.rule("TO6")
def test_a_changed_token_opens_nothing() -> None:
    """Any other character at any place makes it another token."""
    token = made()
    for at, character in enumerate(token):
        other = "A" if character != "A" else "Q"
        refused(token[:at] + other + token[at + 1 :])
        refused(token[:at])
        refused(token[:at] + token[at + 1 :])
    refused(token + "\n", "not a compact JWE")
    refused(" " + token, "not a compact JWE")


@pytest.mark.rule("TO6")
def test_parts_of_two_tokens_make_none() -> None:
    """Parts of two valid tokens do not fit together."""
    one, two = made().split("."), made(documents={"*": "admin"}).split(".")
    for at in (2, 3, 4):
        refused(".".join([*one[:at], two[at], *one[at + 1 :]]))


@pytest.mark.rule("TO6")
def test_a_token_of_another_key_opens_nothing() -> None:
    """Neither another key nor another key under a known name opens anything."""
    other = parse_secrets(generate_secret())[0]
    refused(issue(other, sub="ana", documents={"*": "admin"}, now=NOW), "none of the keys")
    refused(encrypted(CLAIMS, HEADER | {"kid": KEYS[0].kid}, other.material), "none of the keys")
    refused(made(), "none of the keys", keys=())


@pytest.mark.rule("TO7")
@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "A256KW", "enc": "A256GCM"},
        {"alg": "A256GCMKW", "enc": "A256GCM"},
        {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 1000, "p2s": "c2FsdHNhbHQ"},
        {"alg": "dir", "enc": "A128CBC-HS256"},
    ],
    ids=lambda header: "-".join(str(value) for value in header.values()),
)
def test_only_direct_encryption_with_a256gcm(header: dict[str, Any]) -> None:
    """The key is for one algorithm: a token that is genuine under another one is refused."""
    refused(encrypted(CLAIMS, header))


@pytest.mark.rule("TO7")
@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"alg": "none"},
        HEADER | {"enc": "none"},
        HEADER | {"alg": ["dir"]},
        HEADER | {"typ": "at+jwt"},
        HEADER | {"typ": None},
        HEADER | {"kid": None},
        HEADER | {"kid": 5},
        HEADER | {"crit": ["exp"], "exp": 1},
        HEADER | {"jwk": {"kty": "oct", "k": "AAAA"}},
        HEADER | {"x": 1},
        {"alg": "dir"},
        {},
        [],
        ["alg", "enc"],
        "alg enc",
        None,
        1,
        b"[" * 600,
        b"\xff\xfe",
        b"{",
    ],
    ids=repr,
)
def test_other_headers_are_refused(header: Any) -> None:
    """A header says dir and A256GCM, at most kid and typ JWT beside them, and nothing else."""
    refused(".".join([segment(header), *made().split(".")[1:]]))


@pytest.mark.rule("TO7")
def test_signed_and_bare_tokens_are_refused() -> None:
    """A JWT signed with the secret, one not signed at all, and a JWE with an encrypted key are no session tokens."""
    signed = jws.serialize_compact({"alg": "HS256"}, json.dumps(CLAIMS).encode(), KEYS[0].material, algorithms=["HS256"])
    refused(signed, "not a compact JWE")
    refused(f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.", "not a compact JWE")
    parts = made().split(".")
    refused(".".join([parts[0], "AAAA", *parts[2:]]), "not a compact JWE")


@pytest.mark.rule("TO8")
def test_huge_tokens_cost_nothing() -> None:
    """More than 8 KB are not read, whatever they hold, and not made."""
    genuine = encrypted(CLAIMS | {"padding": "x" * 8000})
    refused(genuine, f"{len(genuine)} characters long")
    started = time.process_time()
    refused("A" * 10_000_000 + "..", "10000002 characters")
    assert time.process_time() - started < 0.1
    with pytest.raises(ValueError, match=r"the token has \d+ characters; at most 8192 are allowed\. Name fewer documents"):
        made(documents={f"document-{number:020}": "read" for number in range(300)})


@pytest.mark.rule("TO8")
def test_the_largest_token_is_taken() -> None:
    """Up to 8 KB a token may be long."""
    token = encrypted(CLAIMS | {"documents": {"ž" * 255: "read"}, "padding": "x" * 4400})
    assert 7500 < len(token) <= 8192
    assert verify(token, KEYS, NOW).documents == {"ž" * 255: Grant.READ}


@pytest.mark.rule("TO6")
def test_random_text_is_refused() -> None:
    """Whatever text is sent as a token, it is refused and nothing else happens."""
    rng = random.Random(7)
    token = made()
    alphabet = string.ascii_letters + string.digits + "-_.=+/ {}é\ud800\0"
    for _ in range(2000):
        refused("".join(rng.choices(alphabet, k=rng.randint(0, 60))))
        parts = token.split(".")
        parts[rng.randrange(5)] = segment(rng.randbytes(rng.randint(1, 40)))
        refused(".".join(parts))
        cut = sorted(rng.choices(range(len(token)), k=2))
        refused(token[: cut[0]] + rng.choice(alphabet) + token[cut[1] + 1 :] + rng.choice(".A"))


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
    {"sub": "a\0"},
    {"sub": "\ud83d"},
    {"documents": None},
    {"documents": []},
    {"documents": "doc_1"},
    {"documents": {"doc_1": "owner"}},
    {"documents": {"doc_1": "WRITE"}},
    {"documents": {"doc_1": ["write"]}},
    {"documents": {"doc_1": None}},
    {"documents": {"": "write"}},
    {"documents": {"x" * 256: "write"}},
    {"iat": None},
    {"iat": True},
    {"iat": -1},
    {"iat": 1.5},
    {"iat": str(NOW // 1000)},
    {"exp": None},
    {"exp": 2**53},
    {"exp": 1e12},
    {"exp": CLAIMS["iat"]},
    {"nbf": "now"},
    {"nbf": None},
    {"jti": None},
    {"jti": 1},
    {"jti": "1"},
    {"jti": "0192f0a0000070008000000000000000"},
    {"jti": "{0192f0a0-0000-7000-8000-000000000000}"},
    {"name": ""},
    {"name": 5},
    {"name": "x" * 256},
    {"once": 1},
    {"once": "true"},
    {"colour": ""},
    {"colour": 5},
    {"colour": "#12"},
    {"colour": "#123456789"},
    {"colour": "red;background:url(//evil)"},
    {"colour": "red\n"},
]


@pytest.mark.rule("TO9")
@pytest.mark.parametrize("wrong", WRONG_CLAIMS, ids=repr)
def test_wrong_claims_are_refused(wrong: dict[str, Any]) -> None:
    """Also a genuine token is refused when a claim is missing, of another type or too long."""
    refused(encrypted(CLAIMS | wrong))
    if next(iter(wrong.values())) is None and "nbf" not in wrong:
        refused(encrypted({claim: value for claim, value in CLAIMS.items() if claim not in wrong}))


@pytest.mark.rule("TO9")
@pytest.mark.parametrize("payload", [b" ", b"\xff", b"[]", b"null", b"{", b"[" * 3000, b"9" * 5000, "{}".encode("utf-16")])
def test_payloads_that_are_no_claims_are_refused(payload: bytes) -> None:
    """The payload is a JSON object in UTF-8."""
    refused(encrypted(payload), "claims")


@pytest.mark.rule("TO10")
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"sub": ""}, "sub is not a text of 1 to 255 characters"),
        ({"sub": "a\0"}, r"sub holds U\+0000 or half a surrogate pair"),
        ({"documents": {"doc_1": "owner"}}, "a grant is none of read, comment, write, admin"),
        ({"documents": {"": "read"}}, "a document pattern is not a text"),
        ({"name": "x" * 256}, "name is not a text"),
        ({"colour": "#12"}, "colour is neither"),
        ({"ttl": 0}, "exp is not after iat"),
        ({"ttl": 1.5}, "exp is not a time in whole seconds"),
    ],
)
def test_what_no_server_takes_is_not_issued(claims: dict[str, Any], message: str) -> None:
    """The issuer learns what is wrong when the token is made, not when it is used."""
    with pytest.raises(ValueError, match=message):
        made(**claims)
