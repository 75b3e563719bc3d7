"""What stands in columns of the database, and presence's records there and in Redis: a reason, or what was put there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from cowrite.core.ports import PresenceRecord
from cowrite.core.presence_records import checked, decode_with_lease, encode_with_lease
from cowrite.core.records import Cause, CauseKind, Checkpoint
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind
from cowrite.stores.encoding import (
    OperationText,
    PackedCheckpoint,
    decode_operation,
    encode_operation,
    pack_checkpoint,
    unpack_checkpoint,
)
from cowrite.stores.packing import (
    decode_cause,
    encode_cause,
    has_several,
    is_relayed,
    pack_copies,
    pack_id,
    pack_ranges,
    unpack_copies,
    unpack_id,
    unpack_ranges,
)
from cowrite.testing.records import make_operation

MAX_BYTES = 1024
_DAMAGED = (ValueError, TypeError, LookupError)
"""What readers of rows take for damage."""


def check(data: bytes) -> None:
    """The first byte chooses the column."""
    _CHECKS[data[0] % len(_CHECKS) if data else 0](data[1:])


def _id(data: bytes) -> None:
    with suppress(ValueError):
        text = unpack_id(data)
        assert unpack_id(pack_id(text)) == text


def _ranges(data: bytes) -> None:
    has_several(data)
    is_relayed(data)
    try:
        ranges = unpack_ranges(data)
    except ValueError:
        return
    if all(one.end > one.start for one in ranges):
        assert unpack_ranges(pack_ranges(ranges)) == ranges


def _cause(data: bytes) -> None:
    text, _, copies = data.partition(b"\0")
    try:
        cause = decode_cause(text.decode(), copies or None)
    except _DAMAGED:
        return
    assert cause is not None
    written = encode_cause(cause)
    assert decode_cause(written, pack_copies(cause)) == cause


def _copies(data: bytes) -> None:
    with suppress(ValueError):
        assert all(len(copy) == 5 for copy in unpack_copies(data))


def _operation(data: bytes) -> None:
    try:
        position, clocks, content, attributes = data.decode().split("\n")
    except ValueError:
        return
    stored = OperationText("o", "insert", position, content, "a", 1, clocks, None, attributes)
    try:
        operation = decode_operation(stored)
    except (ValueError, TypeError):
        return
    assert operation.to_json()["position"] == list(operation.position)


def _checkpoint(data: bytes) -> None:
    """With its checksum; the roots have none."""
    good = pack_checkpoint(Checkpoint(1, "e", b"state", {"body": RootKind.TEXT}))
    try:
        found = unpack_checkpoint(PackedCheckpoint(1, "e", good.state, good.checksum, data.decode()))
    except ValueError:
        return
    assert pack_checkpoint(found).state == good.state


def _presence(data: bytes) -> None:
    try:
        process, expires_at, metadata = decode_with_lease(data.decode())
        record = checked(PresenceRecord("s", "u", "d", 1, process, expires_at, metadata))
    except ValueError:
        return
    decode_with_lease(encode_with_lease(record))


_CHECKS: tuple[Callable[[bytes], None], ...] = (_id, _ranges, _cause, _copies, _operation, _checkpoint, _presence)


def seeds() -> Iterable[bytes]:
    cause = Cause(CauseKind.UNDO, 7, after=3, author="ana", copies=((1, 2, 3, 4, 5),))
    operation = encode_operation(make_operation(id="o"))
    parts = (operation.position, operation.vector_clock, operation.content, operation.attributes)
    roots = pack_checkpoint(Checkpoint(1, "e", b"", {"body": RootKind.TEXT, "meta": RootKind.MAP})).roots
    record = PresenceRecord("s", "u", "d", 1_790_000_000_000, "p", 1_790_000_060_000, {"name": "Ana"})
    yield b"\0" + pack_id("00000000-0000-7000-8000-000000000000")
    yield b"\0" + pack_id("an id")
    yield b"\1" + pack_ranges([ClockRange(812345678, 0, 5), ClockRange(7, 300, 70_000)])
    yield b"\2" + (encode_cause(cause) or "").encode() + b"\0" + (pack_copies(cause) or b"")
    yield b"\3" + (pack_copies(cause) or b"")
    yield b"\4" + "\n".join(part or "null" for part in parts).encode()
    yield b"\5" + roots.encode()
    yield b"\6" + encode_with_lease(record).encode()
