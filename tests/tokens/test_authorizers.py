"""The authorizers with both forms of session tokens, as an application puts them together."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey
from structlog.testing import capture_logs

from cowrite.app import create_app
from cowrite.core.ports import Access, AccessDenied, Authorizer, Grant
from cowrite.runtime import Runtime
from cowrite.settings import Settings
from cowrite.stores.memory import memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.tokens import (
    DemoAuthorizer,
    SignedTokens,
    TokenAuthorizer,
    generate_secret,
    issue,
    parse_jwt_secrets,
    parse_secrets,
)
from joserfc_tokens import segment, signed
from key_server import key_server, sends

NOW = 1_790_000_000_000
SECRET = generate_secret()
KEYS = parse_secrets(SECRET)
SHARED = "the secret of the tests has more than 32 bytes"
PAIR = ECKey.generate_key("P-256", parameters={"kid": "e"})
JTI = "0192f0a0-0000-7000-8000-000000000000"
CLAIMS: dict[str, Any] = {
    "sub": "bo",
    "documents": {"doc_1": "comment"},
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 60,
    "jti": JTI,
}
JWT = signed(CLAIMS, OctKey.import_key(SHARED), {"alg": "HS256"})
SIGNED = SignedTokens(secrets=parse_jwt_secrets(SHARED))


def authorizers(**options: Any) -> list[Authorizer]:
    clock = ManualClock(now=NOW)
    return [TokenAuthorizer(KEYS, clock, **options), DemoAuthorizer(KEYS, clock, **options)]


def encrypted(**claims: Any) -> str:
    return issue(SECRET, sub="ana", documents={"doc_1": "write"}, now=NOW, **claims)


@pytest.mark.rule("TO30")
@pytest.mark.parametrize("authorize", authorizers(signed=SIGNED))
async def test_both_forms_give_access(authorize: Authorizer) -> None:
    """The form says how a token is read; what it gives is the same."""
    assert (await authorize(encrypted(), "doc_1")).user_id == "ana"
    access = await authorize(JWT, "doc_1")
    assert access == Access("bo", Grant.COMMENT, issued_at=NOW, expires_at=NOW + 60_000, token_id=JTI)
    with pytest.raises(AccessDenied) as caught:
        await authorize(JWT, "doc_2")
    assert caught.value.known


@pytest.mark.rule("TO30")
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (JWT.replace(".", ".A", 1), "signed with none of the keys"),
        (f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.", "not a compact JWS with a signature"),
        (issue(generate_secret(), sub="a", documents={"*": "admin"}, now=NOW), "made with none of the keys"),
        (encrypted(ttl=1).replace(".", "", 1), "not a compact JWE with direct encryption"),
        ("..", "not a compact JWS with a signature"),
        ("....", "not a compact JWE with direct encryption"),
        ("x" * 9000, "9000 characters long"),
        ("." * 9000, "9000 characters long"),
    ],
)
async def test_the_outside_learns_nothing(token: str, reason: str) -> None:
    """Whatever is wrong with whichever form: one message outside, and one line with the reason in the log."""
    for authorize in authorizers(signed=SIGNED):
        with capture_logs() as lines, pytest.raises(AccessDenied, match=r"^The token is not valid\.$") as caught:
            await authorize(token, "doc_1")
        assert not caught.value.known
        assert lines == [{"event": "token refused", "log_level": "info", "document": "doc_1", "reason": reason}]


@pytest.mark.rule("TO21", "TO30")
async def test_without_configuration_no_jwt_is_taken() -> None:
    """Also one that is signed with the secret of encrypted tokens is none."""
    for authorize in authorizers():
        for token in (JWT, signed(CLAIMS, KEYS[0].material, {"alg": "HS256"})):
            with capture_logs() as lines, pytest.raises(AccessDenied):
                await authorize(token, "doc_1")
            assert lines[0]["reason"] == "a signed JWT, and neither COWRITE_JWT_SECRET nor COWRITE_JWKS is set"
    with_jwts = authorizers(signed=SIGNED)[0]
    with pytest.raises(AccessDenied):
        await with_jwts(signed(CLAIMS, KEYS[0].material, {"alg": "HS256"}), "doc_1")


@pytest.mark.rule("TO20")
async def test_single_use_is_told() -> None:
    """The access says whether its token was for a single use, and which token it was, also on the second time."""
    plain, strict = authorizers(signed=SIGNED)[0], authorizers(signed=SIGNED, single_use=True)[0]
    once = encrypted(single_use=True)
    first, second = await plain(once, "doc_1"), await plain(once, "doc_1")
    assert first == second
    assert (first.single_use, first.issued_at, first.expires_at) == (True, NOW, NOW + 3_600_000)
    assert first.token_id != (await plain(encrypted(single_use=True), "doc_1")).token_id
    for token, alone in ((encrypted(), False), (JWT, False), (once, True)):
        assert (await plain(token, "doc_1")).single_use is alone
        assert (await strict(token, "doc_1")).single_use
    for case in (JTI.upper(), JTI):  # one id, however it is written
        token = signed(CLAIMS | {"jti": case}, OctKey.import_key(SHARED), {"alg": "HS256"})
        assert (await plain(token, "doc_1")).token_id == JTI


@pytest.mark.rule("TO20")
async def test_guests_have_no_token() -> None:
    """A guest of the demo has no token that could be used up, nor an end."""
    guest = await authorizers(single_use=True)[1](None, "doc_1")
    assert (guest.token_id, guest.issued_at, guest.expires_at, guest.single_use) == (None, None, None, False)


def runtime_with(jwks: str, *, demo: bool) -> Runtime:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        secret=SECRET,  # type: ignore[arg-type]
        jwt_secret=SHARED,  # type: ignore[arg-type]
        jwks=jwks,
        jwt_issuer="host",
        jwt_audience="cowrite",
        single_use_tokens=True,
    )
    runtime: Runtime = create_app(settings, demo=demo, storage=memory_storage(), clock=ManualClock(now=NOW)).state.cowrite
    return runtime


@pytest.mark.rule("TO21", "TO24")
@pytest.mark.parametrize("demo", [False, True])
async def test_the_settings_make_the_authorizer(demo: bool, tmp_path: Path) -> None:
    """A server takes what its settings say: secrets, keys in a file or behind a URL, issuer, audience, single use."""
    jwks = json.dumps({"keys": [PAIR.as_dict(private=False)]}).encode()
    claims = CLAIMS | {"iss": "host", "aud": "cowrite"}
    good = [signed(claims, OctKey.import_key(SHARED), {"alg": "HS256"}), signed(claims, PAIR, {"alg": "ES256", "kid": "e"})]
    bad = signed(claims | {"aud": "other"}, PAIR, {"alg": "ES256", "kid": "e"})
    file = tmp_path / "keys.json"
    file.write_bytes(jwks)
    with key_server(sends(jwks)) as server:
        for place in (str(file), server.url):
            runtime = await asyncio.to_thread(runtime_with, place, demo=demo)
            await runtime.start()
            services = runtime.serving()
            assert services is not None
            assert (await services.bridge.connect(good[0], "doc_1")).session.author == "bo"
            for token in good:
                with pytest.raises(AccessDenied, match="exchange it"):
                    await services.bridge.enter(token, "doc_1")
            with pytest.raises(AccessDenied):
                await services.bridge.connect(bad, "doc_1")
            await runtime.stop()
        assert server.requests == 1
