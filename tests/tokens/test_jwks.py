"""Key sets: which keys are taken, and where they come from: a file, and a real web server that may do anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from structlog.testing import capture_logs

from cowrite.testing.clock import ManualClock
from cowrite.tokens import JwksInvalid, KeysUnavailable, parse_jwks
from cowrite.tokens.jwks import FETCH_SECONDS, JwksFile, JwksUrl
from key_server import Answer, KeyServer, key_server, sends
from timing import MS

DAY = 86_400
KEYS = {kid: ECKey.generate_key("P-256") for kid in ("old", "new")}
RSA = RSAKey.generate_key(2048).as_dict(private=False)
ED = OKPKey.generate_key("Ed25519").as_dict(private=False)
EC = KEYS["old"].as_dict(private=False)


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [KEYS[kid].as_dict(private=False) | {"kid": kid} for kid in kids]}).encode()


def kids(found: Any) -> list[str | None]:
    return [key.kid for key in found]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server(sends(jwks("old"))) as one:
        yield one


# --- what a key set is


@pytest.mark.rule("TO26")
def test_keys_and_what_they_are_for() -> None:
    """RSA, P-256 and Ed25519 keys are taken, each for its own algorithms; also when the key says so itself."""
    keys = parse_jwks(json.dumps({"keys": [RSA, EC | {"kid": "e", "use": "sig"}, ED | {"key_ops": ["verify"]}]}).encode())
    assert [(key.kid, sorted(key.algorithms)) for key in keys] == [
        (None, ["RS256"]),
        ("e", ["ES256"]),
        (None, ["Ed25519", "EdDSA"]),
    ]
    for key, algorithm in ((RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")):
        assert len(parse_jwks(json.dumps({"keys": [key | {"alg": algorithm}]}).encode())) == 1


UNUSABLE: list[tuple[Any, str]] = [
    (OctKey.generate_key(256).as_dict(private=True), "key 1 is neither RSA nor P-256 nor Ed25519"),
    (ECKey.generate_key("P-384").as_dict(private=False), "key 1 is neither RSA"),
    (OKPKey.generate_key("X25519").as_dict(private=False), "key 1 is neither RSA"),
    ({"kty": "AKP", "pub": "x"}, "key 1 is neither RSA"),
    ({"kty": ["RSA"]}, "key 1 has no kty"),
    ({"kty": "EC", "crv": ["P-256"]}, "key 1 has no kty"),
    ({}, "key 1 has no kty"),
    ("RSA", "key 1 is no object"),
    (RSA | {"use": "enc"}, "key 1 is not for signatures"),
    (RSA | {"use": ["sig"]}, "key 1 is not for signatures"),
    (RSA | {"key_ops": ["encrypt"]}, "key 1 is not for verifying"),
    (RSA | {"key_ops": "verify"}, "key 1 is not for verifying"),
    (RSA | {"alg": "RS512"}, "key 1 is for another algorithm than RS256"),
    (RSA | {"alg": "HS256"}, "key 1 is for another algorithm than RS256"),
    (RSA | {"alg": ["RS256"]}, "key 1 is for another algorithm than RS256"),
    (EC | {"alg": "RS256"}, "key 1 is for another algorithm than ES256"),
    (EC | {"kid": 7}, "key 1 has a kid that is no text"),
    (KEYS["old"].as_dict(private=True), "key 1 is a private key: publish only its public part"),
    (RSA | {"n": RSA["n"][:100]}, "key 1 has 600 bits; RS256 needs 2048 or more"),
    (RSA | {"e": "AQ"}, "key 1 is damaged"),  # with the exponent 1 everybody can sign
    (RSA | {"e": 65537}, "key 1 is damaged"),
    (RSA | {"n": "%%"}, "key 1 is damaged"),
    ({"kty": "RSA"}, "key 1 is damaged"),
    (EC | {"x": EC["y"]}, "key 1 is damaged"),  # no point of the curve
    (ED | {"x": "AAAA"}, "key 1 is damaged"),
]


@pytest.mark.rule("TO22", "TO26")
@pytest.mark.parametrize(("member", "reason"), UNUSABLE, ids=[reason + str(at) for at, (_, reason) in enumerate(UNUSABLE)])
def test_keys_that_cannot_be_used_are_passed_over(member: Any, reason: str) -> None:
    """Beside a good key they do no harm; a set that has no other is refused, and says why."""
    both = json.dumps({"keys": [member, EC | {"kid": "good"}]}).encode()
    assert kids(parse_jwks(both)) == ["good"]
    with pytest.raises(JwksInvalid) as caught:
        parse_jwks(json.dumps({"keys": [member]}).encode())
    assert str(caught.value).startswith(f"no usable key: {reason}")


@pytest.mark.rule("TO26")
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a key set"),
        (b"{}", "not a key set"),
        (json.dumps(EC).encode(), "not a key set"),
        (b'{"keys": {}}', "not a key set"),
        (b'{"keys": []}', "no usable key: the set is empty"),
        (jwks("old") + b" " * 262_144, "more than 256 KB"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_key_set(raw: bytes, reason: str) -> None:
    """The error says what it is instead."""
    with pytest.raises(JwksInvalid, match=f"^{reason}"):
        parse_jwks(raw)


# --- behind a URL


@pytest.mark.rule("TO27")
async def test_a_set_is_fetched_when_it_is_needed(server: KeyServer, clock: ManualClock) -> None:
    """Nothing is asked before a token needs it, and once for all that wait."""
    source = JwksUrl(server.url, clock)
    assert server.requests == 0
    found = await asyncio.gather(*(source.find("old") for _ in range(50)))
    assert all(kids(one) == ["old"] for one in found)
    assert kids(await source.find(None)) == ["old"]
    assert server.requests == 1


@pytest.mark.rule("TO27")
@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, 300),
        ("max-age=600", 600),
        ("public, Max-Age=120, must-revalidate", 120),
        ("max-age=1", 60),
        ("max-age=0", 60),
        ("max-age=999999999", 3600),
        ("no-store", 60),
        ("max-age=900, no-cache", 60),
        ("max-age=soon", 300),
        ("s-maxage=", 300),
    ],
)
async def test_a_set_is_fresh_for_a_time(
    cache_control: str | None, seconds: int, server: KeyServer, clock: ManualClock
) -> None:
    """For as long as its server says, between a minute and an hour; for five minutes when it says nothing."""
    server.answer = sends(jwks("old"), Cache_Control=cache_control or "public")
    source = JwksUrl(server.url, clock)
    await source.find("old")
    server.answer = sends(jwks("new"))
    clock.advance(seconds - 0.001)
    assert kids(await source.find("old")) == ["old"]
    clock.advance(0.001)
    assert kids(await source.find("old")) == []
    assert kids(await source.find("new")) == ["new"]


@pytest.mark.rule("TO27")
async def test_an_unknown_kid_is_looked_for(server: KeyServer, clock: ManualClock) -> None:
    """Keys rotate without waiting for the time; but strangers who make kids up cause one request in 30 seconds."""
    source = JwksUrl(server.url, clock)
    await source.find("old")
    server.answer = sends(jwks("old", "new"))
    clock.advance(29.999)
    assert kids(await source.find("new")) == []
    clock.advance(0.001)
    assert kids(await source.find("new")) == ["new"]
    assert server.requests == 2
    for number in range(200):
        assert await source.find(f"made up {number}") == []
    assert server.requests == 2
    clock.advance(30)
    await asyncio.gather(*(source.find(f"made up {number}") for number in range(200)))
    assert server.requests == 3
    server.answer = sends(jwks("new"))
    clock.advance(300)
    assert kids(await source.find("old")) == []


@pytest.mark.rule("TO27")
async def test_one_that_goes_away_takes_nothing_from_others(server: KeyServer, clock: ManualClock) -> None:
    """A client that leaves while the keys are fetched does not end the fetch."""
    server.answer = slowly(sends(jwks("old")), 100 * MS)
    source = JwksUrl(server.url, clock)
    first, second = (asyncio.create_task(source.find("old")) for _ in range(2))
    while server.requests == 0:  # noqa: ASYNC110
        await asyncio.sleep(MS)
    first.cancel()
    assert kids(await second) == ["old"]
    assert first.cancelled()
    assert server.requests == 1


def slowly(answer: Answer, seconds: float) -> Answer:
    def late(request: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        answer(request)

    return late


def drip(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then, for ever: no single read takes long."""
    request.send_response(200)
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(20 * MS)


def endless(request: BaseHTTPRequestHandler) -> None:
    """Bytes without end: only a reader that stops by itself ever has an answer."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" " * 65_536)


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    request.wfile.write(jwks("old")[:50])


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


def speaks_otherwise(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"220 mail.example ESMTP\r\n\r\n")


BAD: list[tuple[Answer, str]] = [
    (slowly(sends(jwks("new")), 600 * MS), r"no complete answer within"),
    (drip, r"no complete answer within"),
    (endless, r"more than 256 KB"),
    (sends(b" " * 10_000_000), r"more than 256 KB"),
    (sends(jwks("new"), 500), r"the answer is 500 Internal Server Error"),
    (sends(jwks("new"), 404), r"the answer is 404 Not Found"),
    (sends(jwks("new"), 302, Location="http://127.0.0.1:1/"), r"the answer is 302 Found"),
    (sends(b"<html>sign in</html>"), r"not JSON"),
    (sends(b'{"keys": []}'), r"no usable key"),
    (sends(gzip.compress(jwks("new")), Content_Encoding="gzip"), r"not JSON"),
    (breaks_off, r"closed"),
    (hangs_up, r"disconnected"),
    (speaks_otherwise, r"."),
]


@pytest.mark.rule("TO28")
@pytest.mark.parametrize(("answer", "reason"), BAD, ids=[reason + str(at) for at, (_, reason) in enumerate(BAD)])
async def test_a_url_that_fails(answer: Answer, reason: str, server: KeyServer, clock: ManualClock) -> None:
    """The old keys stay, nobody waits long, one line tells it, and the next good answer ends it."""
    source = JwksUrl(server.url, clock)
    await source.find("old")
    source._timeout = 300 * MS  # from now on nothing comes in time; before, a machine that is busy may take longer
    server.answer = answer
    clock.advance(300)
    began = time.monotonic()
    with capture_logs() as lines:
        assert kids(await source.find("old")) == ["old"]
        assert time.monotonic() - began < 600 * MS
        clock.advance(30)
        assert kids(await source.find("old")) == ["old"]
    assert server.requests == 3
    [line] = lines
    assert (line["event"], line["source"], line["keys_in_use"]) == ("signing keys cannot be had", server.url, 1)
    assert re.search(reason, line["reason"])
    with pytest.raises(KeysUnavailable, match="cannot be had"):
        await source.find("new")  # it may be a new key: nobody can tell now
    source._timeout = FETCH_SECONDS
    server.answer = sends(jwks("new"))
    clock.advance(30)
    with capture_logs() as lines:
        assert kids(await source.find("new")) == ["new"]
    assert [line["event"] for line in lines] == ["signing keys are to be had again"]
    assert await source.find("old") == []


@pytest.mark.rule("TO28")
async def test_old_keys_stay_for_a_day(server: KeyServer, clock: ManualClock) -> None:
    """After that nothing is decided any more, since a key may long have been taken back."""
    source = JwksUrl(server.url, clock)
    await source.find("old")
    server.answer = sends(b"", 503)
    clock.advance(DAY - 1)
    assert kids(await source.find("old")) == ["old"]
    clock.advance(1)
    with pytest.raises(KeysUnavailable, match="the answer is 503"):
        await source.find("old")
    server.answer = sends(jwks("old"))
    clock.advance(30)
    assert kids(await source.find("old")) == ["old"]


@pytest.mark.rule("TO28")
async def test_nobody_answers(clock: ManualClock) -> None:
    """Where no server is, there are no keys; it is tried again after half a minute, not for each token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = JwksUrl(f"http://127.0.0.1:{port}/keys", clock)
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(KeysUnavailable, match=f"of http://127.0.0.1:{port}/keys cannot be had: .*connect"):
                await source.find("old")
    assert len(lines) == 1


# --- in a file


@pytest.mark.rule("TO29")
async def test_a_file_is_read_again_when_it_changes(tmp_path: Path, clock: ManualClock) -> None:
    """A new key counts after a second at most; a file that has not changed is not read again."""
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("old"))
    source = JwksFile(file, clock)
    assert kids(await source.find("old")) == ["old"]
    replacement = tmp_path / "next.json"
    replacement.write_bytes(jwks("new"))
    replacement.rename(file)  # as careful people change files
    clock.advance(0.999)
    assert kids(await source.find("old")) == ["old"]
    assert await source.find("new") == []
    clock.advance(0.001)
    assert kids(await source.find("new")) == ["new"]
    assert await source.find("old") == []
    # The same time and size as before, and other content: not a change that could be seen, so it was not read.
    status = file.stat()
    before = await source.find("new")
    clock.advance(1)
    after = await source.find("new")
    assert before[0] is after[0]
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    clock.advance(1)
    assert (await source.find("new"))[0] is not after[0]


@pytest.mark.rule("TO29")
async def test_a_broken_file(tmp_path: Path, clock: ManualClock) -> None:
    """While a file is gone or half written the old keys stay, and each reason is told once."""
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("old"))
    source = JwksFile(file, clock)
    await source.find("old")
    with capture_logs() as lines:
        file.write_bytes(jwks("new")[:-5])
        for _ in range(3):
            clock.advance(1)
            assert kids(await source.find("old")) == ["old"]
        file.unlink()
        for _ in range(3):
            clock.advance(1)
            assert kids(await source.find("old")) == ["old"]
        file.write_bytes(jwks("new"))
        clock.advance(1)
        assert kids(await source.find("new")) == ["new"]
    assert [line.get("reason") for line in lines] == ["not JSON", "the file cannot be read: No such file or directory", None]
    assert {line["source"] for line in lines} == {str(file)}


@pytest.mark.rule("TO29")
async def test_no_file(tmp_path: Path, clock: ManualClock) -> None:
    """Without keys nothing is decided; a file that appears is taken."""
    file = tmp_path / "keys.json"
    source = JwksFile(file, clock)
    with pytest.raises(KeysUnavailable, match=r"keys\.json cannot be had: the file cannot be read: No such file"):
        await source.find("old")
    file.write_bytes(jwks("old"))
    clock.advance(1)
    assert kids(await source.find("old")) == ["old"]


@pytest.mark.rule("TO28", "TO29")
async def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path, clock: ManualClock) -> None:
    """A device that never ends is no key set either."""
    source = JwksFile(Path("/dev/zero"), clock)
    with pytest.raises(KeysUnavailable, match="more than 256 KB"):
        await source.find("old")
