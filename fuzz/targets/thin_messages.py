"""Messages of clients without a CRDT library, to the operations in them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cowrite.crdt.operations import OperationDraft, OperationInvalid
from cowrite.protocol.thin import MalformedMessage, Tell, Write, decode, encode, encode_value

MAX_BYTES = 1024


def check(data: bytes) -> None:
    try:
        message = decode(data)
    except MalformedMessage as error:
        assert str(error), "the reason is told"
        str(error).encode()  # it is sent
        return
    if isinstance(message, Tell):
        encode("presence", **message.told)
    if isinstance(message, Write):
        assert message.size == len(data)
        encode("answer", request=message.request)
        for value in message.operations if isinstance(message.operations, list) else ():
            check_operation(value)


def check_operation(value: object) -> None:
    """One of a request's operations: refused with its field, or equal when it is written and read again."""
    try:
        draft = OperationDraft.from_json(value)
    except OperationInvalid as invalid:
        assert invalid.code
        encode("refused", reason=invalid.reason, field=invalid.field)
        return
    written = json.loads(encode_value(draft.to_json()))
    assert OperationDraft.from_json(written) == draft


def seeds() -> Iterable[bytes]:
    messages: list[dict[str, object]] = [
        {"type": "hello", "access_token": "t", "document_id": "d", "last_operation": None},
        {"type": "presence", "state": "idle", "cursor": {"a": 1}, "data": {"k": None}},
        {"type": "heartbeat", "echo": "x"},
        {"type": "refresh", "access_token": "t"},
        {"type": "operations", "request": 7, "base": None, "after": None, "operations": OPERATIONS},
    ]
    return [json.dumps(message, ensure_ascii=False).encode() for message in messages]


OPERATIONS = [
    {"type": "insert", "position": ["text", 0], "content": "hello", "attributes": {"bold": True}, "id": "one"},
    {"type": "insert", "position": ["text", 1], "content": {"embed": {"image": 1}}},
    {"type": "delete", "position": ["text", 1], "length": 2},
    {"type": "format", "position": ["text", 0], "length": 1, "attributes": {"bold": None}},
    {"type": "insert", "position": ["map", "k"], "content": {"$map": {"t": {"$text": [{"insert": "q"}]}}}},
    {"type": "delete", "position": ["map", "k"]},
    {"type": "insert", "position": ["list", 0], "content": [1, {"$array": [2]}, {"$bin": "AP8="}]},
    {"type": "insert", "position": ["xml", 0], "content": [{"$xml": "p", "attrs": {"a": "1"}, "children": []}]},
    {"type": "format", "position": ["xml", 0], "length": 1, "attributes": {"a": "2"}},
]
"""One of each kind."""
