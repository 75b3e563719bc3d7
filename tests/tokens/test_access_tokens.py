"""Access tokens: what a client shows once it has a session."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwe

from cowrite.app import create_app
from cowrite.core.ports import Access, Grant
from cowrite.runtime import Runtime
from cowrite.settings import Settings
from cowrite.stores.memory import memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.tokens import (
    LEEWAY,
    AccessClaims,
    AccessTokens,
    Key,
    TokenInvalid,
    ephemeral_keys,
    generate_secret,
    issue,
    parse_secrets,
    verify,
)
from joserfc_tokens import segment

NOW = 1_790_000_000_000
KEYS = parse_secrets("YWNjZXNzIHRva2VucyBvZiB0aGUgdGVzdHMsIDMyIGI")
HEADER = {"alg": "dir", "enc": "A256GCM", "typ": "at+jwt"}
CLAIMS = AccessClaims(
    session_id="0192f0a0-0000-7000-8000-000000000001",
    document_id="team/plan",
    user_id="ana",
    grant=Grant.COMMENT,
    session_ends_at=NOW + 3_600_000,
    decided_at=NOW - 1234,
    name="Ana Žižek",
    colour="teal",
)
WRITTEN: dict[str, Any] = {
    "sid": CLAIMS.session_id,
    "doc": "team/plan",
    "sub": "ana",
    "grant": "comment",
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 600,
    "ses": NOW // 1000 + 3600,
    "dec": NOW - 1234,
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=NOW)


@pytest.fixture
def tokens(clock: ManualClock) -> AccessTokens:
    return AccessTokens(KEYS, clock)


def encrypted(payload: object, header: dict[str, Any] = HEADER, key: Key = KEYS[0]) -> str:
    return jwe.encrypt_compact(header, json.dumps(payload).encode(), key.material, algorithms=["dir", "A256GCM"])


def refused(tokens: AccessTokens, token: str, **options: int) -> str:
    """The reason why a token is refused."""
    with pytest.raises(TokenInvalid, match=r"^The token is not valid\.$") as caught:
        tokens.verify(token, **options)
    return caught.value.reason


@pytest.mark.rule("TO15")
def test_what_goes_in_comes_out(tokens: AccessTokens) -> None:
    """A token says session, document, user, grant, times and when the access was decided, which alone has milliseconds."""
    token = tokens.issue(CLAIMS)
    assert tokens.verify(token) == replace(CLAIMS, issued_at=NOW, expires_at=NOW + 600_000)
    claims = jwe.decrypt_compact(token, KEYS[0].material, algorithms=["dir", "A256GCM"])
    assert claims.plaintext is not None
    assert json.loads(claims.plaintext) == WRITTEN | {"name": "Ana Žižek", "colour": "teal"}
    assert claims.headers() == HEADER | {"kid": KEYS[0].kid}


@pytest.mark.rule("TO15")
def test_without_name_and_colour(clock: ManualClock, tokens: AccessTokens) -> None:
    """Both may be missing, and times are cut to whole seconds."""
    clock.advance(0.999)
    bare = replace(CLAIMS, name=None, colour=None, session_ends_at=NOW + 5999)
    assert tokens.verify(tokens.issue(bare)) == replace(bare, issued_at=NOW, expires_at=NOW + 5000, session_ends_at=NOW + 5000)


@pytest.mark.rule("TO16")
def test_ten_minutes_and_no_longer_than_the_session(clock: ManualClock, tokens: AccessTokens) -> None:
    """Renewing dates an access anew, until the session's end; then there is none."""
    first = tokens.dated(CLAIMS)
    assert (first.issued_at, first.expires_at) == (NOW, NOW + 600_000)
    assert tokens.verify(tokens.issue(first)) == first
    clock.advance(3300)
    second = tokens.dated(tokens.verify(tokens.issue(first), leeway=3600))
    assert (second.issued_at, second.expires_at) == (NOW + 3_300_000, CLAIMS.session_ends_at)
    assert tokens.dated(second, seconds=60).expires_at == NOW + 3_360_000
    clock.advance(300)
    for attempt in (tokens.dated, tokens.issue):
        with pytest.raises(ValueError, match="the session has ended"):
            attempt(CLAIMS)


@pytest.mark.rule("TO16")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"expires_at": CLAIMS.session_ends_at + 1000, "issued_at": NOW}, "iat, exp and ses are not in this order"),
        ({"expires_at": NOW, "issued_at": NOW}, "iat, exp and ses are not in this order"),
        ({"session_id": "7"}, "sid is not a UUID"),
        ({"document_id": ""}, "doc is not a text"),
        ({"grant": "owner"}, "a grant is none of"),
        ({"name": "x" * 256}, "name is not a text"),
    ],
    ids=repr,
)
def test_what_no_server_takes_is_not_issued(tokens: AccessTokens, wrong: dict[str, Any], message: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(ValueError, match=message):
        tokens.issue(replace(CLAIMS, **wrong))


@pytest.mark.rule("TO17")
def test_a_session_token_is_no_access_token(tokens: AccessTokens) -> None:
    """Neither kind is taken for the other, though key and algorithm are the same."""
    session = issue(KEYS[0], sub="ana", documents={"*": "admin"}, now=NOW)
    assert refused(tokens, session) == "typ is not at+jwt: a token of another purpose"
    with pytest.raises(TokenInvalid) as caught:
        verify(tokens.issue(CLAIMS), KEYS, NOW)
    assert caught.value.reason == "typ is not JWT: a token of another purpose"
    # Also with all claims of both kinds.
    everything = WRITTEN | {"documents": {"*": "admin"}, "jti": CLAIMS.session_id}
    for typ in ({}, {"typ": "JWT"}, {"typ": "AT+JWT"}, {"typ": "jwt"}, {"typ": ["at+jwt"]}, {"typ": None}):
        header = {"alg": "dir", "enc": "A256GCM"} | typ
        forged = ".".join([segment(header), *encrypted(everything).split(".")[1:]])
        assert refused(tokens, forged).startswith("typ is not at+jwt")
    assert tokens.verify(encrypted(everything)).user_id == "ana"


@pytest.mark.rule("TO17")
def test_a_changed_purpose_breaks_the_token(tokens: AccessTokens) -> None:
    """Whoever writes the other purpose into the header of a token has a token of neither."""
    session = issue(KEYS[0], sub="ana", documents={"*": "admin"}, now=NOW).split(".")
    access = tokens.issue(CLAIMS).split(".")
    assert refused(tokens, ".".join([segment(HEADER), *session[1:]])) == "made with none of the keys"
    with pytest.raises(TokenInvalid) as caught:
        verify(".".join([segment({"alg": "dir", "enc": "A256GCM", "typ": "JWT"}), *access[1:]]), KEYS, NOW)
    assert caught.value.reason == "made with none of the keys"


@pytest.mark.rule("TO18")
def test_keys_rotate(clock: ManualClock, tokens: AccessTokens) -> None:
    """The first key issues, all are accepted, and one that was taken out no more."""
    new = parse_secrets(generate_secret())
    both = AccessTokens((*new, *KEYS), clock)
    assert both.verify(tokens.issue(CLAIMS)).user_id == "ana"
    assert AccessTokens(new, clock).verify(both.issue(CLAIMS)).user_id == "ana"
    assert refused(AccessTokens(new, clock), tokens.issue(CLAIMS)) == "made with none of the keys"
    with pytest.raises(ValueError, match="access tokens need a key"):
        AccessTokens((), clock)


@pytest.mark.rule("TO18")
def test_access_ends(clock: ManualClock, tokens: AccessTokens) -> None:
    """A token is refused half a minute after its end, or later where the caller allows it."""
    token = tokens.issue(CLAIMS)
    clock.advance(600 + LEEWAY - 0.001)
    tokens.verify(token)
    assert refused(tokens, token, leeway=0) == "expired 30 s ago"
    clock.advance(0.001)
    assert refused(tokens, token) == "expired 30 s ago"
    assert tokens.verify(token, leeway=31).session_id == CLAIMS.session_id
    clock.step_wall(-1_000_000)
    assert refused(tokens, token).startswith("made in the future")


@pytest.mark.rule("TO18")
def test_a_changed_token_opens_nothing(tokens: AccessTokens) -> None:
    """Any other character at any place makes it another token."""
    token = tokens.issue(CLAIMS)
    for at, character in enumerate(token):
        refused(tokens, token[:at] + ("A" if character != "A" else "Q") + token[at + 1 :])


@pytest.mark.rule("TO18")
@pytest.mark.parametrize(
    "wrong",
    [
        *({claim: None} for claim in WRITTEN),
        {"sid": "x"},
        {"doc": "a\0"},
        {"sub": 7},
        {"grant": ["admin"]},
        {"dec": -1},
        {"dec": 1.5},
        {"exp": WRITTEN["iat"]},
        {"ses": WRITTEN["exp"] - 1},
        {"colour": "url(x)"},
    ],
    ids=repr,
)
def test_wrong_claims_are_refused(tokens: AccessTokens, wrong: dict[str, Any]) -> None:
    """Also a genuine token is refused when a claim is missing, of another type or out of range."""
    refused(tokens, encrypted(WRITTEN | wrong))
    assert tokens.verify(encrypted(WRITTEN)).user_id == "ana"


@pytest.mark.rule("TO19")
async def test_without_a_secret_a_key_of_the_process(clock: ManualClock) -> None:
    """In the demo, and where the host authorizes, access tokens work without a secret, and end with the application."""

    async def everybody(token: str | None, document_id: str) -> Access:
        return Access("ana", Grant.WRITE)

    def tokens_of(settings: Settings, **options: Any) -> AccessTokens:
        runtime: Runtime = create_app(settings, storage=memory_storage(), clock=clock, **options).state.cowrite
        return runtime.access_tokens

    secret = generate_secret()
    bare, with_secret = (Settings(_env_file=None, secret=one) for one in (None, secret))  # type: ignore[call-arg, arg-type]

    def check() -> None:
        demo, again = tokens_of(bare, demo=True), tokens_of(bare, demo=True)
        token = demo.issue(CLAIMS)
        assert demo.verify(token).user_id == "ana"
        assert refused(again, token) == "made with none of the keys"
        hosted = tokens_of(bare, authorize=everybody)
        assert hosted.verify(hosted.issue(CLAIMS)).user_id == "ana"
        lasting = tokens_of(with_secret, demo=True).issue(CLAIMS)
        assert tokens_of(with_secret).verify(lasting) == AccessTokens(parse_secrets(secret), clock).verify(lasting)

    await asyncio.to_thread(check)
    assert ephemeral_keys() != ephemeral_keys()
