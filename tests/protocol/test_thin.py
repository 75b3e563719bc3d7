"""The messages of ``cowrite.v2.json``."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest

from cowrite.protocol.thin import (
    Heartbeat,
    Hello,
    MalformedMessage,
    Renew,
    Tell,
    Write,
    decode,
    encode,
    encode_operations,
    encode_with,
    json_list,
)


def read(**message: Any) -> object:
    return decode(json.dumps(message).encode())


@pytest.mark.rule("JS13")
def test_messages_of_clients() -> None:
    assert read(type="hello") == Hello(None, None, False, None)
    assert read(type="hello", access_token="t", document_id="d", last_operation=None) == Hello("t", "d", True, None)
    write = read(type="operations", request="r1", base=None, operations="anything", after="x")
    assert write == Write("r1", "anything", None, "x", 93)
    assert read(type="presence", data={"a": 1}) == Tell({"data": {"a": 1}})
    assert read(type="presence", state="away", cursor=None) == Tell({"state": "away", "cursor": None})
    assert read(type="presence") == Tell({})
    assert read(type="heartbeat", echo=7) == Heartbeat(7)
    assert read(type="refresh", access_token="t") == Renew("t")


@pytest.mark.rule("JS13")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[{}]",
        b'{"type": ["hello"]}',
        b'{"type": "Hello"}',
        b'{"type": "hello", "more": 1}',
        b'{"type": "hello", "document_id": 1}',
        b'{"type": "hello", "access_token": "' + b"x" * 8193 + b'"}',
        b'{"type": "operations", "base": null}',
        b'{"type": "operations", "operations": []}',
        b'{"type": "refresh", "access_token": null}',
        b'{"type": "presence", "state": "gone"}',
        b'{"type": "presence", "colour": "red"}',
        b'{"type": "presence", "state": []}',
        b'{"type": "presence", "data": []}',
        b'{"type": "heartbeat", "echo": [1]}',
        b'{"type": "heartbeat", "echo": true}',
        b'{"type": "heartbeat", "echo": 9007199254740992}',
        b'{"type": "heartbeat", "echo": "' + b"x" * 256 + b'"}',
        b"\xff\xfe",
        b'{"a":' * 5000,
    ],
)
def test_what_is_no_message(text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(text)


@pytest.mark.fuzz
@pytest.mark.rule("JS13")
def test_nothing_else_is_raised_whatever_comes() -> None:
    rng = random.Random(1)
    good = json.dumps({"type": "operations", "base": None, "operations": [{"type": "insert"}], "after": "x"}).encode()
    for _ in range(3000):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with suppress(MalformedMessage):
            decode(bytes(broken[: rng.randrange(len(broken) + 1)]))


@pytest.mark.rule("JS13")
def test_messages_of_the_server() -> None:
    assert json.loads(encode("heartbeat", link="ok")) == {"type": "heartbeat", "link": "ok"}
    assert encode("x", text="\0\ud800é").isascii()
    assert json.loads(encode_with("reset", {"state": b'{"a":1}'}, head=None)) == {
        "type": "reset",
        "head": None,
        "state": {"a": 1},
    }
    assert json.loads(encode_operations([b'{"id":"a"}', b"", b'{"id":"b"},{"id":"c"}'], head="c", offset=3)) == {
        "type": "operations",
        "head": "c",
        "offset": 3,
        "operations": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
    }
    assert json_list([]) == b"[]"
