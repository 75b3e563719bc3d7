"""JSON Web Key Sets, from whoever signs tokens: a reason, or keys."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cowrite.tokens.jwks import _fresh
from cowrite.tokens.public_keys import JwksInvalid, parse_jwks

MAX_BYTES = 1024


def check(data: bytes) -> None:
    assert 0 < _fresh(data.decode("latin-1")) <= 3600
    try:
        keys = parse_jwks(data)
    except JwksInvalid as error:
        assert str(error), "the reason is told"
        return
    assert keys
    assert all(key.algorithms for key in keys)


def seeds() -> Iterable[bytes]:
    # RFC 7517, appendix A.1; RFC 8037, appendix A.2.
    curve = {
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "kid": "1",
    }
    edwards = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig", "alg": "EdDSA"}
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
        "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
        "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
        "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    for keys in (
        [curve],
        [edwards],
        [{"kty": "RSA", "n": modulus, "e": "AQAB", "key_ops": ["verify"]}],
        [curve, edwards, {"kty": "oct"}],
    ):
        yield json.dumps({"keys": keys}).encode()
    yield b'max-age="60", no-store'
