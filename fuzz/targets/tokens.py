"""Tokens: refused with a reason, or claims; also what a host's own library would put into one of our keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache

from joserfc import jwe, jws
from joserfc.errors import JoseError

from cowrite.testing.clock import ManualClock
from cowrite.tokens import AccessTokens, Key, SignedTokens, TokenInvalid, issue, parse_jwt_secrets, parse_secrets, verify
from cowrite.tokens.encrypted import _REGISTRY, Purpose

MAX_BYTES = 1024
NOW = 1_790_000_000_000
_PLAIN, _SESSION, _ACCESS, _SIGNED = range(4)


@cache
def keys() -> tuple[Key, ...]:
    return parse_secrets("A" * 43)


@cache
def secrets() -> tuple[Key, ...]:
    return parse_jwt_secrets("s" * 40)


@cache
def access_tokens() -> AccessTokens:
    return AccessTokens(keys(), ManualClock())


def check(data: bytes) -> None:
    """The first byte tells whether the rest is a token or what is in one."""
    kind, rest = data[0] & 3 if data else 0, data[1:]
    try:
        token = _token(kind, rest)
    except (JoseError, ValueError):
        return  # the library makes no token of this
    if kind != _SIGNED:
        _read_encrypted(token)
    _read_signed(token)


def _token(kind: int, rest: bytes) -> str:
    if kind == _PLAIN:
        return rest.decode("utf-8", "replace")
    if kind == _SIGNED:
        return jws.serialize_compact({"alg": "HS256"}, rest, secrets()[0].material)
    header = {"alg": "dir", "enc": "A256GCM", "typ": (Purpose.ACCESS if kind == _ACCESS else Purpose.SESSION).value}
    return jwe.encrypt_compact(header, rest, keys()[0].material, registry=_REGISTRY)


def _read_encrypted(token: str) -> None:
    try:
        claims = verify(token, keys(), NOW)
        assert claims.sub
    except TokenInvalid as invalid:
        assert str(invalid)
    try:
        access = access_tokens().verify(token)
        assert access.document_id
    except TokenInvalid as invalid:
        assert str(invalid)


def _read_signed(token: str) -> None:
    reading = SignedTokens(secrets=secrets()).verify(token, NOW)
    try:
        reading.send(None)
        raise AssertionError("with shared secrets nothing is waited for")
    except StopIteration as done:
        assert done.value.sub
    except TokenInvalid as invalid:
        assert str(invalid)


def seeds() -> Iterable[bytes]:
    claims = {
        "sub": "ana",
        "documents": {"doc_*": "write"},
        "iat": NOW // 1000,
        "exp": NOW // 1000 + 60,
        "jti": "j",
        "name": "A",
    }
    access = {
        "sid": "00000000-0000-7000-8000-000000000000",
        "doc": "d",
        "sub": "a",
        "grant": "write",
        "iat": 1,
        "exp": 2,
        "ses": 3,
    }
    yield b"\0" + issue("A" * 43, sub="ana", documents={"*": "read"}, now=NOW).encode()
    yield b"\0" + jws.serialize_compact({"alg": "HS256"}, json.dumps(claims), secrets()[0].material).encode()
    for kind in (_SESSION, _SIGNED):
        yield bytes((kind,)) + json.dumps(claims).encode()
    yield bytes((_ACCESS,)) + json.dumps(access | {"dec": 1}).encode()
