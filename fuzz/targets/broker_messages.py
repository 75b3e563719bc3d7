"""Messages of other processes, from Redis: undecodable, or news and signals that mean the same when they are written again."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.brokers.encoding import SENDER_BYTES, Undecodable, decode, encode, sender_of
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
from cowrite.core.records import Cause, CauseKind
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.testing.records import make_entry, make_operation

MAX_BYTES = 2048
_SENDER = bytes(range(SENDER_BYTES))


def check(data: bytes) -> None:
    sender_of(data)
    try:
        told = decode("doc", data)
    except Undecodable as error:
        assert str(error), "the reason is told"
        return
    assert told.document_id == "doc"
    written = encode(_SENDER, told)
    assert encode(_SENDER, decode("doc", written)) == written


def seeds() -> Iterable[bytes]:
    ids = {"id": "e", "group": "g"}
    restored = Cause(CauseKind.RESTORE, 3, after=1, root="body", author="a", copies=((1, 2, 3, 4, 5),))
    operation = make_operation(id="o", content=["\ud83d", {"$bin": "AP8="}])
    record = PresenceRecord("s", "u", "doc", 1_790_000_000_000, "p", 1_790_000_060_000, {"name": "Ana", "n": 1.5})
    some: list[News | Signal] = [
        News(
            "doc",
            "epoch",
            2,
            (make_entry(1, **ids, operations=(operation,)), make_entry(2, **ids, operations=(), cause=restored)),
            "a",
        ),
        AwarenessNews("doc", "p", (AwarenessEntry(1, 2, '{"a":1}'), AwarenessEntry(3, 4, None)), ("u", None), "q"),
        AwarenessLost("doc", "p", (1, 2)),
        AwarenessQuery("doc", "p"),
        PresenceNews("doc", "p", (record,), ("s",), ("t",)),
        ProcessLeft("doc", "p"),
        StatelessNews("doc", "p", "payload"),
    ]
    return [encode(_SENDER, told) for told in some]
