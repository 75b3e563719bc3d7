"""News and signals as bytes, on their way to other processes.

A message is a version (one byte), the broker that sent it (:data:`SENDER_BYTES` bytes), the length of a header (varuint), the
header (JSON) and, for news, the updates of its entries as they are, one behind the other. The header is a list whose first
value says the kind; values stand in it by their place, so that nothing is spent on names. The document is not in it: each
document has a channel of its own.

Whoever reads does not have to trust what it reads: wrong bytes raise :class:`Undecodable` and nothing else. That a message is
*true* cannot be seen in it: who may write to the server that carries it is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

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
from cowrite.protocol.lib0 import MalformedFrame, read_varuint, write_varuint

T = TypeVar("T")

VERSION: Final = 1
"""Another version is not read: those who run another release read the store."""
SENDER_BYTES: Final = 16
_HEADER_AT: Final = 1 + SENDER_BYTES

# Texts go as they are, also with halves of characters in them (see _TEXT); circles would end in a RecursionError.
_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_SURROGATES: Final = "surrogatepass"


class Undecodable(ValueError):
    """Bytes that are no message of this version."""


def encode(sender: bytes, told: News | Signal) -> bytes:
    """The message. Raises ``ValueError``, ``TypeError`` or ``RecursionError`` when a value in it is no JSON."""
    updates: list[bytes] = []
    match told:
        case News():
            updates = [entry.update for entry in told.entries]
            header = ["n", told.epoch, told.offset, [_of_entry(entry) for entry in told.entries], told.after]
        case AwarenessNews():
            entries = [(one.client_id, one.clock, one.state) for one in told.entries]
            header = ["a", told.process, entries, told.users, told.to]
        case AwarenessLost():
            header = ["l", told.process, told.client_ids]
        case AwarenessQuery():
            header = ["q", told.process]
        case PresenceNews():
            header = ["p", told.process, [_of_record(record) for record in told.put], told.removed, told.ended]
        case ProcessLeft():
            header = ["g", told.process]
        case StatelessNews():
            header = ["s", told.process, told.payload]
    text = _encoder.encode(header).encode(errors=_SURROGATES)
    return b"".join((bytes((VERSION,)), sender, write_varuint(len(text)), text, *updates))


def sender_of(message: bytes) -> bytes:
    """Who sent it. Of what is no message: some bytes, or none."""
    return message[1:_HEADER_AT]


def decode(document_id: str, message: bytes) -> News | Signal:
    """What was told of a document. Raises :class:`Undecodable`."""
    if message[:1] != _VERSION_BYTE:
        raise Undecodable("it is of another version")
    try:
        length, start = read_varuint(message, _HEADER_AT)
        end = start + length
        header = json.loads(message[start:end].decode(errors=_SURROGATES))
        return _read(document_id, header, message[end:])
    except (MalformedFrame, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Undecodable(f"it cannot be read: {error}") from None


_VERSION_BYTE: Final = bytes((VERSION,))


# ---- writing ---------------------------------------------------------------------------------------------------------


def _of_entry(entry: Entry) -> list[Any]:
    operations = [_of_operation(operation) for operation in entry.operations]
    cause = _of_cause(entry.cause) if entry.cause is not None else None
    head = [entry.id, entry.group, entry.offset, entry.author, entry.created_at]
    return [*head, len(entry.update), entry.ranges, operations, entry.claims, cause]


def _of_operation(one: ContentOperation) -> list[Any]:
    attributes = dict(one.attributes) if one.attributes is not None else None
    head = [one.id, one.type.value, one.position, one.author, one.created_at]
    return [*head, dict(one.vector_clock), one.content, one.length, attributes]


def _of_cause(cause: Cause) -> list[Any]:
    return [cause.kind.value, cause.until, cause.after, cause.root, cause.author, cause.copies]


def _of_record(one: PresenceRecord) -> list[Any]:
    return [one.session_id, one.user_id, one.last_active, one.process, one.expires_at, dict(one.metadata)]


# ---- reading: everything is looked at, since a wrong type would be found far from here, or never --------------------------


def _read(document_id: str, header: Any, rest: bytes) -> News | Signal:
    kind, *values = _list(header)
    read = _READERS[_text(kind)]
    if kind != "n" and rest:
        raise ValueError(f"{len(rest)} bytes stand behind it")
    return read(document_id, values, rest)


def _news(document_id: str, values: list[Any], rest: bytes) -> News:
    epoch, offset, entries, after = values
    read, at = [], 0
    for value in _list(entries):
        entry, at = _entry(_list(value), rest, at)
        read.append(entry)
    if at != len(rest):
        raise ValueError(f"its updates are {at} bytes, and there are {len(rest)}")
    return News(document_id, _text(epoch), _whole(offset), tuple(read), _text(after))


def _entry(values: list[Any], rest: bytes, at: int) -> tuple[Entry, int]:
    id_, group, offset, author, created_at, size, ranges, operations, claims, cause = values
    end = at + _whole(size)
    if not at <= end <= len(rest):
        raise ValueError("an update is longer than what is there")
    entry = Entry(
        _text(id_),
        _text(group),
        _whole(offset),
        _text(author),
        _whole(created_at),
        rest[at:end],
        tuple(ClockRange(*_wholes(one, 3)) for one in _list(ranges)),
        tuple(_operation(_list(one)) for one in _list(operations)),
        _wholes(claims),
        None if cause is None else _cause(_list(cause)),
    )
    return entry, end


def _operation(values: list[Any]) -> ContentOperation:
    id_, kind, position, author, created_at, vector_clock, content, length, attributes = values
    return ContentOperation(
        _text(id_),
        OperationType(_text(kind)),
        tuple(_step(step) for step in _list(position)),
        _text(author),
        _whole(created_at),
        {client: _whole(clock) for client, clock in _object(vector_clock).items()},
        content,
        _or_none(_whole, length),
        _or_none(_object, attributes),
    )


def _cause(values: list[Any]) -> Cause:
    kind, until, after, root, author, copies = values
    copied = []
    for one in _list(copies):
        client, clock, length, before, clock_before = _wholes(one, 5)
        copied.append((client, clock, length, before, clock_before))
    return Cause(
        CauseKind(_text(kind)),
        _whole(until),
        _or_none(_whole, after),
        _or_none(_text, root),
        _or_none(_text, author),
        tuple(copied),
    )


def _awareness(document_id: str, values: list[Any], _: bytes) -> AwarenessNews:
    process, entries, users, to = values
    read = []
    for one in _list(entries):
        client_id, clock, state = _list(one)
        read.append(AwarenessEntry(_whole(client_id), _whole(clock), _or_none(_text, state)))
    named = tuple(_or_none(_text, user) for user in _list(users))
    if len(named) != len(read):
        raise ValueError(f"{len(named)} users for {len(read)} entries")
    return AwarenessNews(document_id, _text(process), tuple(read), named, _or_none(_text, to))


def _lost(document_id: str, values: list[Any], _: bytes) -> AwarenessLost:
    process, client_ids = values
    return AwarenessLost(document_id, _text(process), _wholes(client_ids))


def _query(document_id: str, values: list[Any], _: bytes) -> AwarenessQuery:
    (process,) = values
    return AwarenessQuery(document_id, _text(process))


def _presence(document_id: str, values: list[Any], _: bytes) -> PresenceNews:
    process, put, removed, ended = values
    records = tuple(_record(document_id, _list(one)) for one in _list(put))
    return PresenceNews(document_id, _text(process), records, _texts(removed), _texts(ended))


def _record(document_id: str, values: list[Any]) -> PresenceRecord:
    session_id, user_id, last_active, process, expires_at, metadata = values
    return PresenceRecord(
        _text(session_id),
        _text(user_id),
        document_id,
        _whole(last_active),
        _or_none(_text, process),
        _or_none(_whole, expires_at),
        _object(metadata),
    )


def _left(document_id: str, values: list[Any], _: bytes) -> ProcessLeft:
    (process,) = values
    return ProcessLeft(document_id, _text(process))


def _stateless(document_id: str, values: list[Any], _: bytes) -> StatelessNews:
    process, payload = values
    return StatelessNews(document_id, _text(process), _text(payload))


_READERS: Final[Mapping[str, Callable[[str, list[Any], bytes], News | Signal]]] = {
    "n": _news,
    "a": _awareness,
    "l": _lost,
    "q": _query,
    "p": _presence,
    "g": _left,
    "s": _stateless,
}


def _list(value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise TypeError("something else stands where a list belongs")


def _object(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise TypeError("something else stands where an object belongs")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise TypeError("something else stands where a text belongs")


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    raise TypeError("something else stands where a whole number belongs")


def _step(value: Any) -> str | int:
    return value if type(value) is str else _whole(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value))


def _wholes(value: Any, count: int | None = None) -> tuple[int, ...]:
    found = tuple(_whole(one) for one in _list(value))
    if count is not None and len(found) != count:
        raise ValueError(f"{len(found)} numbers stand where {count} belong")
    return found


def _or_none(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)
