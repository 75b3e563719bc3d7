"""Signed JWTs as session tokens, and those who try to make one without the key."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from cowrite.core.ports import Grant
from cowrite.tokens import (
    LEEWAY,
    MAX_TOKEN_CHARACTERS,
    KeysUnavailable,
    PublicKey,
    SecretInvalid,
    SessionClaims,
    SignedTokens,
    TokenInvalid,
    parse_jwks,
    parse_jwt_secrets,
)
from joserfc_tokens import segment, signed

NOW = 1_790_000_000_000
CLAIMS: dict[str, Any] = {
    "sub": "ana",
    "documents": {"doc_1": "write"},
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 60,
    "jti": "0192f0a0-0000-7000-8000-000000000000",
}
SECRET = "the secret of the tests has more than 32 bytes"
SHARED = OctKey.import_key(SECRET)
RSA, EC, ED = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
PAIRS: dict[str, RSAKey | ECKey | OKPKey] = {"RS256": RSA, "ES256": EC, "EdDSA": ED, "Ed25519": ED}


def jwks(**members: Any) -> bytes:
    """The public keys, each with its kid."""
    keys = [{**key.as_dict(private=False), "kid": kid, **members} for kid, key in (("r", RSA), ("e", EC), ("d", ED))]
    return json.dumps({"keys": keys}).encode()


class FixedSource:
    """A key set that is always there."""

    def __init__(self, raw: bytes) -> None:
        self.keys = parse_jwks(raw)

    async def find(self, kid: str | None) -> Sequence[PublicKey]:
        return [key for key in self.keys if kid in {None, key.kid}]


BOTH = SignedTokens(secrets=parse_jwt_secrets(SECRET), source=FixedSource(jwks()))


async def refused(token: str, tokens: SignedTokens = BOTH, now: int = NOW) -> str:
    """The reason, which is for the log: the outside is always told the same."""
    with pytest.raises(TokenInvalid, match=r"^The token is not valid\.$") as caught:
        await tokens.verify(token, now)
    return caught.value.reason


# --- what is taken


@pytest.mark.rule("TO21")
@pytest.mark.parametrize("algorithm", ["HS256", *PAIRS])
@pytest.mark.parametrize("typ", [{}, {"typ": "JWT"}])
async def test_a_signed_token_is_a_session_token(algorithm: str, typ: dict[str, str]) -> None:
    """Each algorithm is taken with a key of its kind, and the claims are those of any session token."""
    claims = CLAIMS | {"name": "Ana", "colour": "#f0a", "once": True, "iss": "host", "scope": "all"}
    token = signed(claims, PAIRS.get(algorithm, SHARED), {"alg": algorithm} | typ)
    assert await BOTH.verify(token, NOW) == SessionClaims(
        "ana", {"doc_1": Grant.WRITE}, CLAIMS["iat"], CLAIMS["exp"], CLAIMS["jti"], "Ana", "#f0a", single_use=True
    )


@pytest.mark.rule("TO21")
async def test_only_what_is_configured() -> None:
    """A secret alone takes no token of a key pair, and a key set alone none of a secret."""
    shared, paired = signed(CLAIMS, SHARED, {"alg": "HS256"}), signed(CLAIMS, EC, {"alg": "ES256", "kid": "e"})
    assert await refused(paired, SignedTokens(secrets=parse_jwt_secrets(SECRET))) == (
        "signed with ES256, and COWRITE_JWKS is not set"
    )
    assert await refused(shared, SignedTokens(source=FixedSource(jwks()))) == "signed with none of the keys"


@pytest.mark.rule("TO21")
async def test_secrets_rotate() -> None:
    """All secrets are accepted, and one that was taken out no more; a kid in the header is no matter."""
    both = SignedTokens(secrets=parse_jwt_secrets(f"{'n' * 32}, {SECRET}"))
    for secret in ("n" * 32, SECRET):
        await both.verify(signed(CLAIMS, OctKey.import_key(secret), {"alg": "HS256", "kid": "whatever"}), NOW)
    left = SignedTokens(secrets=parse_jwt_secrets("n" * 32))
    assert await refused(signed(CLAIMS, SHARED, {"alg": "HS256"}), left) == "signed with none of the keys"


@pytest.mark.rule("TO5", "TO21")
async def test_times() -> None:
    """Clocks may differ by half a minute, as with encrypted tokens; ``nbf`` is heeded."""
    token = signed(CLAIMS, SHARED, {"alg": "HS256"})
    for seconds in (-LEEWAY, 60 + LEEWAY - 1):
        await BOTH.verify(token, NOW + seconds * 1000)
    assert await refused(token, now=NOW + (60 + LEEWAY) * 1000) == f"expired {LEEWAY} s ago"
    assert (await refused(token, now=NOW - (LEEWAY + 1) * 1000)).startswith("made in the future")
    later = signed(CLAIMS | {"nbf": CLAIMS["iat"] + LEEWAY + 1}, SHARED, {"alg": "HS256"})
    assert (await refused(later)).startswith("made in the future")


@pytest.mark.rule("TO21")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"jti": None}, "jti is not a UUID"),
        ({"iat": None}, "iat is not a time"),
        ({"exp": None}, "exp is not a time"),
        ({"documents": None}, "documents is not an object"),
        ({"documents": {"*": "owner"}}, "a grant is none of"),
        ({"once": "true"}, "once is neither true nor false"),
        ({"sub": ""}, "sub is not a text"),
    ],
    ids=repr,
)
async def test_wrong_claims_are_refused(changed: dict[str, Any], reason: str) -> None:
    """An ID token of the same issuer has no ``documents``; a token without an id or an end is none of ours."""
    claims = {claim: value for claim, value in (CLAIMS | changed).items() if value is not None}
    assert (await refused(signed(claims, EC, {"alg": "ES256", "kid": "e"}))).startswith(reason)


# --- attacks


@pytest.mark.rule("TO22")
async def test_a_public_key_is_no_secret() -> None:
    """The oldest trick: HMAC with the public key, which everybody knows, in any form that somebody might have stored it in."""
    public = [RSA.as_pem(private=False), RSA.as_der(private=False), jwks(), json.dumps(RSA.as_dict(private=False)).encode()]
    public += [EC.as_pem(private=False), ED.as_pem(private=False), str(RSA.as_dict()["n"]).encode(), str(ED["x"]).encode()]
    for form in public:
        forged = OctKey(form, form)
        for kid in ({}, {"kid": "r"}, {"kid": "e"}, {"kid": "d"}):
            assert await refused(signed(CLAIMS, forged, {"alg": "HS256"} | kid)) == "signed with none of the keys"


@pytest.mark.rule("TO22")
async def test_a_key_is_for_its_own_algorithms() -> None:
    """A key of one kind verifies nothing under the name of another kind's algorithm, and neither does a secret."""
    for algorithm, key in (*PAIRS.items(), ("HS256", SHARED)):
        for other in {"HS256", *PAIRS} - ({"EdDSA", "Ed25519"} if key is ED else {algorithm}):
            for kid in ({}, {"kid": "r"}, {"kid": "e"}, {"kid": "d"}):
                token = signed(CLAIMS, key, {"alg": other} | kid, algorithm=algorithm)
                assert await refused(token) == "signed with none of the keys"


@pytest.mark.rule("TO22")
@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS512", "PS256", "ES384", "ES256K", None]
)
async def test_other_algorithms_are_refused(alg: str | None) -> None:
    """No signature, and every algorithm that was not agreed on, is no signature."""
    content = f"{segment({'alg': alg})}.{segment(CLAIMS)}"
    for signature in ("AA", segment(b"x" * 32), signed(CLAIMS, SHARED, {"alg": "HS256"}).split(".")[2]):
        assert (await refused(f"{content}.{signature}")).startswith("alg is none of HS256, RS256, ES256, EdDSA")
    assert await refused(f"{content}.") == "not a compact JWS with a signature"


@pytest.mark.rule("TO22")
@pytest.mark.parametrize("algorithm", ["HS512", "RS512", "PS256"])
async def test_a_genuine_signature_of_another_algorithm(algorithm: str) -> None:
    """Also who has the key may use it only in the agreed way."""
    key = SHARED if algorithm.startswith("HS") else RSA
    assert (await refused(signed(CLAIMS, key, {"alg": algorithm}))).startswith("alg is none of")
    for agreed in ("HS256", "RS256"):
        assert await refused(signed(CLAIMS, key, {"alg": agreed}, algorithm=algorithm)) == "signed with none of the keys"


@pytest.mark.rule("TO22")
@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"crit": ["exp"], "exp": 1}, "crit or b64"),
        ({"crit": []}, "crit or b64"),
        ({"crit": ["b64"], "b64": False}, "crit or b64"),
        ({"b64": True}, "crit or b64"),
        ({"typ": "at+jwt"}, "another purpose"),
        ({"typ": "logout+jwt"}, "another purpose"),
        ({"typ": None}, "another purpose"),
        ({"kid": 5}, "kid is no text"),
        ({"kid": None}, "kid is no text"),
        ({"kid": ["e"]}, "kid is no text"),
        ({"alg": ["ES256"]}, "alg is none of"),
    ],
    ids=repr,
)
async def test_headers_that_change_the_meaning_are_refused(member: dict[str, Any], reason: str) -> None:
    """A genuine token is refused when its header asks for what is not supported, or is for another purpose."""
    token = signed(CLAIMS, EC, {"alg": "ES256", "kid": "e"} | member, algorithm="ES256")
    assert reason in await refused(token)


@pytest.mark.rule("TO22")
async def test_a_changed_token_opens_nothing() -> None:
    """Another header, other claims or another signature make another token."""
    for algorithm, key in (("HS256", SHARED), ("RS256", RSA), ("ES256", EC), ("EdDSA", ED)):
        token = signed(CLAIMS, key, {"alg": algorithm})
        header, payload, signature = token.split(".")
        await refused(f"{header}.{segment(CLAIMS | {'documents': {'*': 'admin'}})}.{signature}")
        await refused(f"{segment({'alg': algorithm, 'kid': 'r'})}.{payload}.{signature}")
        for at in range(0, len(signature) - 1, 7):
            await refused(f"{header}.{payload}.{signature[:at]}{'A' if signature[at] != 'A' else 'Q'}{signature[at + 1 :]}")
            await refused(f"{header}.{payload}.{signature[:at]}")
        await refused(f"{header}.{payload}.{segment(bytes(64))}")  # ECDSA with r = s = 0
        for text in (token + "\n", " " + token, token + ".", token.replace(".", "..", 1), header + ".." + signature):
            assert await refused(text) == "not a compact JWS with a signature"


@pytest.mark.rule("TO22")
@pytest.mark.parametrize("part", [b"[]", b"null", b"1", b"{", b"\xff", b"[" * 3000, '{"alg":"HS256"}'.encode("utf-16")])
async def test_nonsense_is_refused(part: bytes) -> None:
    """Whatever stands where header and claims should be, it is refused, and nothing else happens."""
    await refused(f"{segment(part)}.{segment(CLAIMS)}.AA")
    await refused(f"A.{segment(CLAIMS)}.AA")
    content = f"{segment({'alg': 'HS256'})}.{segment(part)}"
    signature = signed(part, SHARED, {"alg": "HS256"}).split(".")[2]
    assert (await refused(f"{content}.{signature}")).startswith("the claims are no")


@pytest.mark.rule("TO8", "TO22")
async def test_huge_tokens_are_not_read() -> None:
    """A genuine token over 8 KB is as good as none."""
    token = signed(CLAIMS | {"padding": "x" * 6500}, SHARED, {"alg": "HS256"})
    assert len(token) > MAX_TOKEN_CHARACTERS
    assert await refused(token) == f"{len(token)} characters long"


@pytest.mark.rule("TO25")
@pytest.mark.parametrize(
    "kid", ["../../../../dev/null", "/dev/null", "' OR 1=1 --", "e\0", "E", "", "http://127.0.0.1/keys", "x" * 5000]
)
async def test_a_kid_is_compared_and_nothing_else(kid: str) -> None:
    """A kid names no file, no row and no address: it is a known one, or the token is refused."""
    assert await refused(signed(CLAIMS, EC, {"alg": "ES256", "kid": kid})) == "signed with a key that is not in the key set"
    content = f"{segment({'alg': 'HS256', 'kid': kid})}.{segment(CLAIMS)}"
    forged = hmac.new(b"", content.encode(), hashlib.sha256).digest()  # what a file without content would sign
    assert await refused(f"{content}.{segment(forged)}") == "signed with none of the keys"


@pytest.mark.rule("TO25")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_brings_no_keys(algorithm: str) -> None:
    """Keys in the header, and addresses of keys, are those of whoever made the token, and count for nothing."""
    own: dict[str, RSAKey | ECKey | OKPKey] = {
        "RS256": RSAKey.generate_key(2048),
        "ES256": ECKey.generate_key("P-256"),
        "EdDSA": OKPKey.generate_key("Ed25519"),
    }
    key, kid = own[algorithm], {"RS256": "r", "ES256": "e", "EdDSA": "d"}[algorithm]
    header = {"alg": algorithm, "jwk": key.as_dict(private=False), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}
    assert await refused(signed(CLAIMS, key, header)) == "signed with none of the keys"
    assert await refused(signed(CLAIMS, key, header | {"kid": kid})) == "signed with none of the keys"
    # The same headers do no harm to a genuine token.
    assert (await BOTH.verify(signed(CLAIMS, PAIRS[algorithm], header | {"kid": kid}), NOW)).sub == "ana"


# --- secrets and parties


@pytest.mark.rule("TO23")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("short", "COWRITE_JWT_SECRET has 5 bytes; HS256 needs 32 or more. Make one with: cowrite secret"),
        ("x" * 31, "COWRITE_JWT_SECRET has 31 bytes"),
        (f"{SECRET},", "Secret 2 of COWRITE_JWT_SECRET has 0 bytes"),
        (RSA.as_pem(private=False).decode(), "COWRITE_JWT_SECRET is a key of a pair, not a shared secret"),
        ("text before it " + EC.as_pem(private=False).decode(), "COWRITE_JWT_SECRET is a key of a pair"),
        (f"ssh-ed25519 {'A' * 60}", "COWRITE_JWT_SECRET is a key of a pair"),
        (json.dumps({"kty": "RSA", "n": "x" * 40}), "Secret 1 of COWRITE_JWT_SECRET is a key of a pair"),
    ],
)
def test_bad_secrets(text: str, message: str) -> None:
    """A secret that could be guessed, or that everybody knows, is refused with what to do, and is not shown."""
    with pytest.raises(SecretInvalid, match=f"^{re.escape(message)}") as caught:
        parse_jwt_secrets(text)
    assert text[:20] not in str(caught.value)


@pytest.mark.rule("TO23")
def test_a_secret_is_its_text() -> None:
    """32 bytes of UTF-8 will do, whatever characters they are."""
    (key,) = parse_jwt_secrets("ž" * 16)
    assert key.material.raw_value == ("ž" * 16).encode()
    assert "ž" not in repr(key)


@pytest.mark.rule("TO24")
@pytest.mark.parametrize("iss", [None, "https://other.example", "https://host.example/", ["https://host.example"], 5])
async def test_another_issuer_is_refused(iss: object) -> None:
    """With an issuer set, a token has exactly that one."""
    tokens = SignedTokens(secrets=parse_jwt_secrets(SECRET), issuer="https://host.example")
    assert await refused(signed(CLAIMS | {"iss": iss}, SHARED, {"alg": "HS256"}), tokens) == (
        "iss is not the issuer of COWRITE_JWT_ISSUER"
    )
    await tokens.verify(signed(CLAIMS | {"iss": "https://host.example"}, SHARED, {"alg": "HS256"}), NOW)


@pytest.mark.rule("TO24")
async def test_audience() -> None:
    """A token for somebody else is refused, also where nobody has said who we are."""
    tokens = SignedTokens(secrets=parse_jwt_secrets(SECRET), audience="cowrite")
    for good in ("cowrite", ["other", "cowrite"]):
        token = signed(CLAIMS | {"aud": good}, SHARED, {"alg": "HS256"})
        await tokens.verify(token, NOW)
        assert await refused(token) == "made for the audience in aud, and COWRITE_JWT_AUDIENCE is not set"
    for bad in (None, "other", "cowrites", ["other"], [], {"cowrite": 1}, 5):
        token = signed(CLAIMS | {"aud": bad}, SHARED, {"alg": "HS256"})
        assert await refused(token, tokens) == "aud does not name the audience of COWRITE_JWT_AUDIENCE"
    assert (await refused(signed(CLAIMS, SHARED, {"alg": "HS256"}), tokens)).startswith("aud does not name")


@pytest.mark.rule("TO28")
async def test_without_keys_nothing_is_decided() -> None:
    """A token is not called invalid when there is nothing to check it by."""

    class Lost:
        async def find(self, kid: str | None) -> Sequence[PublicKey]:
            raise KeysUnavailable("gone")

    with pytest.raises(KeysUnavailable):
        await SignedTokens(source=Lost()).verify(signed(CLAIMS, EC, {"alg": "ES256"}), NOW)
