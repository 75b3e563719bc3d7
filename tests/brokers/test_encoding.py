"""News and signals as bytes: every field comes back exactly, and nothing that is read breaks the reader."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cowrite.brokers.encoding import SENDER_BYTES, VERSION, Undecodable, decode, encode, sender_of
from cowrite.core.ports import (
    AwarenessLost,
    AwarenessNews,
    AwarenessQuery,
    News,
    PresenceNews,
    PresenceRecord,
    ProcessLeft,
    Signal,
    StatelessNews,
)
from cowrite.core.records import Cause, CauseKind, Entry
from cowrite.crdt.operations import ContentOperation, OperationType
from cowrite.crdt.outline import ClockRange
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.lib0 import write_varuint
from cowrite.testing.broker_contract import make_signals
from cowrite.testing.records import make_entry, make_operation

MANY = 100 * int(os.environ.get("COWRITE_FUZZ", "1"))
ME = bytes(range(SENDER_BYTES))
CHARACTERS = 'a"\\\0\n\u0301é漢😀\ud800\udfff \u2028\x7f{}[]'
JUNK: list[Any] = [None, True, -1, 0, 1.5, 2**70, "", "n", "text", [], [[]], [None] * 10, {}, {"a": 1}, float("nan")]


def text(rng: random.Random) -> str:
    return "".join(rng.choices(CHARACTERS, k=rng.choice((0, 1, 3, 40))))


def number(rng: random.Random) -> int:
    return rng.choice((0, 1, rng.randrange(2**31), 2**53 - 1, 2**64))


def some(rng: random.Random, make: Callable[[random.Random], Any], most: int = 4) -> tuple[Any, ...]:
    return tuple(make(rng) for _ in range(rng.randrange(most)))


def perhaps(rng: random.Random, make: Callable[[random.Random], Any]) -> Any:
    return make(rng) if rng.random() < 0.5 else None


def value(rng: random.Random, depth: int = 0) -> Any:
    leaf = [None, True, False, -number(rng), 1.5, -0.0, 1e300, text(rng)]
    if depth > 2 or rng.random() < 0.5:
        return rng.choice(leaf)
    return rng.choice((list(some(rng, lambda r: value(r, depth + 1))), things(rng, depth)))


def things(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    return {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(3))}


def operation(rng: random.Random) -> ContentOperation:
    position = some(rng, lambda r: r.choice((text(r), number(r))))
    clock = {text(rng): number(rng) for _ in range(2)}
    kind = rng.choice(list(OperationType))
    return ContentOperation(
        text(rng), kind, position, text(rng), number(rng), clock, value(rng), perhaps(rng, number), perhaps(rng, things)
    )


def cause(rng: random.Random) -> Cause:
    copies = some(rng, lambda r: tuple(number(r) for _ in range(5)))
    kind = rng.choice(list(CauseKind))
    return Cause(kind, number(rng), perhaps(rng, number), perhaps(rng, text), perhaps(rng, text), copies)


def entry(rng: random.Random) -> Entry:
    ranges = some(rng, lambda r: ClockRange(number(r), number(r), number(r)))
    return Entry(
        text(rng), text(rng), number(rng), text(rng), number(rng), rng.randbytes(rng.choice((0, 1, 200))), ranges,
        some(rng, operation), some(rng, number), perhaps(rng, cause),
    )  # fmt: skip


def record(rng: random.Random) -> PresenceRecord:
    return PresenceRecord(
        text(rng), text(rng), "doc", number(rng), perhaps(rng, text), perhaps(rng, number), things(rng)
    )  # fmt: skip


def awareness(rng: random.Random) -> AwarenessNews:
    entries = some(rng, lambda r: AwarenessEntry(number(r), number(r), perhaps(r, text)))
    users = tuple(perhaps(rng, text) for _ in entries)
    return AwarenessNews("doc", text(rng), entries, users, perhaps(rng, text))


def told(rng: random.Random) -> News | Signal:
    makers: list[Callable[[], News | Signal]] = [
        lambda: News("doc", text(rng), number(rng), some(rng, entry), text(rng)),
        lambda: awareness(rng),
        lambda: AwarenessLost("doc", text(rng), some(rng, number)),
        lambda: AwarenessQuery("doc", text(rng)),
        lambda: PresenceNews("doc", text(rng), some(rng, record), some(rng, text), some(rng, text)),
        lambda: ProcessLeft("doc", text(rng)),
        lambda: StatelessNews("doc", text(rng), text(rng)),
    ]
    return rng.choice(makers)()


def exactly(one: Any) -> str:
    """With the types of all values: 1, 1.0 and True are equal, and not the same."""
    return repr(one)


def raw(header: Any, rest: bytes = b"", version: int = VERSION) -> bytes:
    written = json.dumps(header).encode()
    return bytes((version,)) + ME + write_varuint(len(written)) + written + rest


@pytest.mark.rule("BR14")
@pytest.mark.parametrize("seed", range(4))
def test_everything_comes_back_exactly(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(MANY):
        sent = told(rng)
        message = encode(ME, sent)
        assert sender_of(message) == ME
        assert exactly(decode("doc", message)) == exactly(sent)


@pytest.mark.rule("BR14")
def test_the_updates_of_news_stand_as_they_are() -> None:
    """Not as text: they are most of a message."""
    update = bytes(range(256)) * 10
    message = encode(ME, News("doc", "e", 2, (make_entry(1, update=b""), make_entry(2, update=update))))
    assert message.endswith(update)
    assert len(message) < len(update) + 1000


@pytest.mark.rule("BR15")
@pytest.mark.parametrize("seed", range(4))
def test_bytes_that_were_changed_do_no_harm(seed: int) -> None:
    """Cut, lengthened, with other bytes in them, and anything at all: read, or refused with the one error."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(MANY):
        message = bytearray(encode(ME, told(rng)))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(message) + 1)
            match rng.randrange(4):
                case 0:
                    del message[at:]
                case 1:
                    message[at:at] = rng.randbytes(rng.randrange(1, 5))
                case 2:
                    message[at : at + 1] = rng.randbytes(1)
                case _:
                    message = bytearray(rng.randbytes(rng.randrange(60)))
        try:
            decode("doc", bytes(message))
        except Undecodable:
            refused += 1
    assert refused > MANY // 2


@pytest.mark.rule("BR15")
@pytest.mark.parametrize("seed", range(4))
def test_values_of_wrong_types_are_refused_or_what_they_say(seed: int) -> None:
    """One value somewhere in the header is another one. What is read then has only values of the right types: it can be
    encoded again, and comes back.
    """
    rng = random.Random(seed)
    refused = 0
    for _ in range(MANY):
        message = encode(ME, rng.choice((told(rng), *make_signals())))
        length = message.index(b"[")
        header, _ = json.JSONDecoder().raw_decode(message[length:].decode(errors="replace"))
        changed = raw(exchange(rng, header))
        try:
            read = decode("doc", changed)
        except Undecodable:
            refused += 1
        else:
            assert exactly(decode("doc", encode(ME, read))) == exactly(read)
    assert refused > MANY // 4


def exchange(rng: random.Random, header: list[Any]) -> list[Any]:
    """The header with another value in a random place of it."""
    inside: Any = header
    while True:
        at = rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if isinstance(inside[at], list | dict) and inside[at] and rng.random() < 0.7:
            inside = inside[at]
            continue
        inside[at] = rng.choice(JUNK)
        return header


@pytest.mark.rule("BR15")
@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes((VERSION,)),
        bytes((VERSION,)) + ME,
        raw(["q", "p"], version=VERSION + 1),
        raw(["q", "p"], b"more"),
        raw(["z", "p"]),
        raw([]),
        raw({}),
        raw(["q"]),
        raw(["q", "p", "more"]),
        raw(["n", "e", 1, [["id", "g", 1, "a", 0, 5, [], [], [], None]]], b"four"),
        raw(["n", "e", 1, [["id", "g", 1, "a", 0, -1, [], [], [], None]]], b"four"),
        raw(["n", "e", 1, []], b"four"),
        raw(["n", "e", 1, [["id", "g", 1, "a", 0, 0, [[1, 2]], [], [], None]]]),
        raw(["n", "e", True, []]),
        raw(["a", "p", [[1, 1, None]], [], None]),
        bytes((VERSION,)) + ME + write_varuint(200_000) + b"[" * 200_000,
        bytes((VERSION,)) + ME + write_varuint(5003) + b'["l"' + b",1" * 2499 + b"]",
        bytes((VERSION,)) + ME + write_varuint(9) + b'["q","\xff"]',
        bytes((VERSION,)) + ME + write_varuint(2**53 - 1) + b'["q","p"]'[:-1],
        bytes((VERSION,)) + ME + b"\xff" * 20,
        bytes((VERSION,)) + ME + write_varuint(6009) + b'["l","p",[' + b"9" * 6000 + b"]]",
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(Undecodable):
        decode("doc", message)


@pytest.mark.rule("BR15")
def test_who_sent_it_can_be_asked_of_anything() -> None:
    assert [sender_of(message) for message in (b"", b"\1", b"\1abc")] == [b"", b"", b"abc"]


@pytest.mark.rule("BR14")
def test_what_is_no_json_cannot_be_told() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for content in ({1, 2}, b"bytes", circle):
        told_of = make_entry(1, operations=(replace(make_operation(), content=content),))
        with pytest.raises((TypeError, ValueError, RecursionError)):
            encode(ME, News("doc", "e", 1, (told_of,)))
