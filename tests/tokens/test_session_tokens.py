"""Session tokens and the authorizers that read them."""

from __future__ import annotations

import base64
import fnmatch
import json
import random
import re
import secrets as random_secrets
import string
import time
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwe, jws
from joserfc.jwk import OctKey

from cowrite.core.clock import SystemClock
from cowrite.core.ports import AccessDenied, Grant
from cowrite.tokens import (
    LEEWAY,
    DemoAuthorizer,
    Key,
    SecretInvalid,
    SessionClaims,
    TokenAuthorizer,
    TokenInvalid,
    generate_secret,
    issue,
    parse_secrets,
    verify,
)

NOW = 1_790_000_000_000
SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMhISE"  # not random: it is part of names of tests
KEYS = parse_secrets(SECRET)
OUTSIDE = "The token is not valid."
CLAIMS: dict[str, Any] = {
    "sub": "ana",
    "documents": {"doc_1": "write"},
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 60,
    "jti": "0192f0a0-0000-7000-8000-000000000000",
}
HEADER = {"alg": "dir", "enc": "A256GCM"}


class FixedClock(SystemClock):
    def now(self) -> int:
        return NOW


CLOCK = FixedClock()


def made(**claims: Any) -> str:
    arguments: dict[str, Any] = {"sub": "ana", "documents": {"doc_1": "write"}, "now": NOW}
    return issue(SECRET, **(arguments | claims))


def encrypted(payload: Any, header: dict[str, Any] = HEADER, key: OctKey = KEYS[0].material) -> str:
    """A token as another library would make it, of any payload."""
    plaintext = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwe.encrypt_compact(header, plaintext, key, algorithms=[header["alg"], header["enc"], "DEF"])


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refused(token: str, reason: str = "", *, keys: tuple[Key, ...] = KEYS, now: int = NOW) -> None:
    """The token opens nothing; the outside learns nothing else, the log learns why."""
    with pytest.raises(TokenInvalid) as caught:
        verify(token, keys, now)
    assert str(caught.value) == OUTSIDE
    assert re.search(reason, caught.value.reason)


# --- secrets


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


# --- patterns


@pytest.mark.rule("TO11")
@pytest.mark.parametrize(
    ("pattern", "document_id", "matches"),
    [
        ("doc_1", "doc_1", True),
        ("doc_1", "doc_12", False),
        ("doc_1", "DOC_1", False),
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("doc_*", "doc_", True),
        ("doc_*", "doc_7/x", True),
        ("doc_*", "my/doc_7", False),
        ("*/draft", "a/b/draft", True),
        ("*/draft", "draft", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("ab*bc", "abc", False),
        ("**", "x", True),
        ("doc_?", "doc_1", False),
        ("doc_[12]", "doc_1", False),
        ("doc.1", "doc_1", False),
        ("doc_[12]", "doc_[12]", True),
        ("a*b", "a*b", True),
    ],
)
def test_a_star_is_the_only_wildcard(pattern: str, document_id: str, matches: bool) -> None:
    """``*`` stands for any characters, also none and also ``/``; everything else for itself."""
    claims = verify(made(documents={pattern: "read"}), KEYS, NOW)
    assert (claims.grant_for(document_id) is Grant.READ) is matches


@pytest.mark.rule("TO11")
def test_patterns_agree_with_a_slow_oracle() -> None:
    """Random patterns match what the same pattern matches as a regular expression."""
    rng = random.Random(11)
    seen = set()
    for _ in range(5000):
        pattern = "".join(rng.choices("ab*", k=rng.randint(1, 6)))
        document_id = "".join(rng.choices("ab", k=rng.randint(0, 8)))
        matches = re.fullmatch(fnmatch.translate(pattern), document_id) is not None
        claims = SessionClaims("ana", {pattern: Grant.READ}, 0, 1, "")
        assert (claims.grant_for(document_id) is not None) is matches, (pattern, document_id)
        seen.add(matches)
    assert seen == {True, False}


@pytest.mark.rule("TO11")
def test_many_stars_take_no_time() -> None:
    """A pattern that would keep a regular expression busy for years is compared at once."""
    claims = SessionClaims("ana", {"*a" * 100 + "b": Grant.READ}, 0, 1, "")
    started = time.process_time()
    assert claims.grant_for("a" * 255) is None
    assert time.process_time() - started < 0.1


@pytest.mark.rule("TO12")
def test_the_strongest_grant_counts() -> None:
    """Of all patterns that match, the strongest grant counts, in whatever order they stand."""
    documents = {"*": "read", "team/*": "write", "team/plan": "comment", "other": "admin"}
    for _ in range(5):
        items = list(documents.items())
        random_secrets.SystemRandom().shuffle(items)
        claims = verify(made(documents=dict(items)), KEYS, NOW)
        assert claims.grant_for("team/plan") is Grant.WRITE
        assert claims.grant_for("else") is Grant.READ
        assert claims.grant_for("other") is Grant.ADMIN
    assert verify(made(documents={}), KEYS, NOW).grant_for("doc_1") is None


# --- authorizers


@pytest.mark.rule("TO13")
async def test_a_valid_token_gives_its_access() -> None:
    """Who has a grant gets in, as the user of the token."""
    authorize = TokenAuthorizer(KEYS, CLOCK)
    access = await authorize(made(name="Ana", colour="teal"), "doc_1")
    assert (access.user_id, access.grant, access.name, access.colour) == ("ana", Grant.WRITE, "Ana", "teal")


@pytest.mark.rule("TO13")
@pytest.mark.parametrize(
    "token", [None, "", "nonsense", made(now=NOW - 10**7), issue(generate_secret(), sub="a", documents={})]
)
async def test_no_valid_token_is_401(token: str | None) -> None:
    """Without a valid token nobody is known, and the answer does not say what is wrong with it."""
    with pytest.raises(AccessDenied) as caught:
        await TokenAuthorizer(KEYS, CLOCK)(token, "doc_1")
    assert not caught.value.known
    assert str(caught.value) == (OUTSIDE if token else "A token is needed.")


@pytest.mark.rule("TO13")
async def test_no_grant_is_403() -> None:
    """Somebody who is known and has no grant for the document is told so."""
    with pytest.raises(AccessDenied, match="The token gives no access to this document") as caught:
        await TokenAuthorizer(KEYS, CLOCK)(made(), "doc_2")
    assert caught.value.known


@pytest.mark.rule("TO13")
def test_an_authorizer_needs_keys() -> None:
    """Without a key nobody could ever get in: that is a mistake of who sets it up."""
    with pytest.raises(ValueError, match="set COWRITE_SECRET"):
        TokenAuthorizer((), CLOCK)


@pytest.mark.rule("TO14")
@pytest.mark.parametrize("token", [None, ""])
async def test_the_demo_lets_guests_write(token: str | None) -> None:
    """In the demo everybody without a token writes, as a guest of their own."""
    authorize = DemoAuthorizer(KEYS, CLOCK)
    guests = [await authorize(token, "any/document") for _ in range(20)]
    assert all(re.fullmatch("guest-[0-9a-f]{8}", guest.user_id) and guest.grant is Grant.WRITE for guest in guests)
    assert len({guest.user_id for guest in guests}) == 20


@pytest.mark.rule("TO14")
async def test_the_demo_checks_a_token_that_is_sent() -> None:
    """A token counts in the demo as elsewhere: it gives its grant, and a bad one lets nobody in."""
    authorize = DemoAuthorizer(KEYS, CLOCK)
    assert (await authorize(made(documents={"*": "read"}), "doc_1")).grant is Grant.READ
    for token, document_id, known in ((made(), "doc_2", True), ("nonsense", "doc_1", False)):
        with pytest.raises(AccessDenied) as caught:
            await authorize(token, document_id)
        assert caught.value.known is known
    with pytest.raises(AccessDenied, match=OUTSIDE):
        await DemoAuthorizer((), CLOCK)(made(), "doc_1")
