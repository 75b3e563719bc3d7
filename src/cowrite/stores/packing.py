"""What each entry has, in few bytes: there is a row for every keystroke, so that each byte here is one for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cowrite.core.records import Cause, CauseKind
from cowrite.crdt.operations import ContentOperation, OperationType
from cowrite.crdt.outline import ClockRange
from cowrite.stores.encoding import as_stored, decode_json, encode_json

MAX_PACKED_ID = 146
"""Bytes of the longest packed id: 36 characters of four bytes each, and the end."""
_UUID_BYTES = 16
_GOES_ON = bytes(range(0x80, 0x100))  # a byte with which no number ends
_new = tuple.__new__  # makes a named tuple in a third of the time


def pack_id(text: str) -> bytes:
    """An id in few bytes: a UUID in 16, any other text as UTF-8 and U+0000, which no id contains; twice, where that were 16."""
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        digits = text.replace("-", "")
        try:
            packed = bytes.fromhex(digits)
        except ValueError:
            packed = b""
        if len(packed) == _UUID_BYTES and packed.hex() == digits:
            return packed
    packed = text.encode() + b"\0"
    return packed if len(packed) != _UUID_BYTES else packed + b"\0"


def unpack_id(packed: bytes) -> str:
    """The id of :func:`pack_id`. Raises ValueError."""
    if not isinstance(packed, bytes):
        raise ValueError("an id is no bytes")
    if len(packed) == _UUID_BYTES:
        digits = packed.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return packed.rstrip(b"\0").decode()


_RELAYED: Final = b"\0\0\0"
"""Behind the ranges, as one of no clocks: who brought them has not shown the Yjs client to be their own."""


_CARRIED: Final = _RELAYED * 2
"""The same twice: they came as a SyncStep2, and what is bound to nobody is not theirs. (Entries of before this was known have
it once, and count as their author's.)"""


def pack_brought(ranges: Sequence[ClockRange], claims: Sequence[int], *, carries: bool = False) -> bytes:
    """The ranges of an entry as :func:`pack_ranges`, and whether others may have written them; see :func:`is_relayed` and
    :func:`is_carried`.
    """
    if not ranges:
        return b""
    return pack_ranges(ranges) + (_CARRIED if carries else b"" if claims else _RELAYED)


def is_relayed(packed: bytes) -> bool:
    """Whether others may have written these ranges of :func:`pack_brought`: their author has claimed none by them."""
    return packed.endswith(_RELAYED)  # a range ends with its length


def is_carried(packed: bytes) -> bool:
    """Whether these ranges of :func:`pack_brought` came as a SyncStep2."""
    return packed.endswith(_CARRIED)


def pack_ranges(ranges: Iterable[ClockRange]) -> bytes:
    """For each range its client, its start and its length, as variable-length integers (lib0)."""
    return _pack_numbers([number for client, start, end in ranges for number in (client, start, end - start)])


def unpack_ranges(packed: bytes) -> tuple[ClockRange, ...]:
    """The ranges of :func:`pack_brought`. Raises ValueError."""
    numbers = _numbers(packed.removesuffix(_RELAYED).removesuffix(_RELAYED), 3, "a range")
    if len(numbers) == 3:  # as nearly always
        client, start, length = numbers
        return (_new(ClockRange, (client, start, start + length)),)
    return tuple(ClockRange(client, start, start + length) for client, start, length in _rows(numbers, 3))


def _pack_numbers(numbers: Iterable[int]) -> bytes:
    packed = bytearray()
    for number in numbers:
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return bytes(packed)


def _numbers(packed: bytes, width: int, what: str) -> Sequence[int]:
    """The numbers of rows of that width. Raises ValueError."""
    numbers = []
    number = shift = 0
    for byte in packed:
        if byte < 0x80:  # the last byte of a number
            numbers.append(number | byte << shift)
            number = shift = 0
        else:
            number |= (byte & 0x7F) << shift
            shift += 7
    if shift or len(numbers) % width:
        raise ValueError(f"it ends within {what}")
    return numbers


def _rows(numbers: Sequence[int], width: int) -> Iterator[tuple[int, ...]]:
    return zip(*(numbers[column::width] for column in range(width)), strict=True)


def has_several(packed: bytes) -> bool:
    """Whether there is more than one range in these of :func:`pack_brought`, or they are relayed; sooner than unpacking them
    tells.
    """
    return len(packed.translate(None, _GOES_ON)) > 3


def encode_cause(cause: Cause | None) -> str | None:
    """JSON: an object with those fields that say something, but the copies. Raises :class:`StoreRefused`."""
    if cause is None:
        return None
    fields = {
        "kind": cause.kind.value,
        "until": cause.until,
        "after": cause.after,
        "root": cause.root,
        "author": cause.author,
    }
    return encode_json({name: value for name, value in fields.items() if value is not None})


def decode_cause(text: str | None, copies: bytes | None = None) -> Cause | None:
    """The cause of :func:`encode_cause`, with the copies of :func:`pack_copies`. Raises ValueError, TypeError, LookupError."""
    if text is None:
        return None
    fields = decode_json(as_stored(text))
    return Cause(
        kind=CauseKind(fields["kind"]),
        until=fields["until"],
        after=fields.get("after"),
        root=fields.get("root"),
        author=fields.get("author"),
        copies=() if copies is None else unpack_copies(copies),
    )


def pack_copies(cause: Cause | None) -> bytes | None:
    """What a cause says was brought back, five numbers for each piece, as variable-length integers (lib0); None: nothing."""
    if cause is None or not cause.copies:
        return None
    return _pack_numbers(number for copy in cause.copies for number in copy)


def unpack_copies(packed: bytes) -> tuple[tuple[int, int, int, int, int], ...]:
    """The copies of :func:`pack_copies`. Raises ValueError."""
    return tuple((a, b, c, d, e) for a, b, c, d, e in _rows(_numbers(packed, 5, "a copy"), 5))


def units(operations: Sequence[ContentOperation]) -> tuple[int, int]:
    """How much operations insert and delete: one for each UTF-16 code unit of text, embedded value, item, node and entry."""
    inserted = deleted = 0
    for operation in operations:
        if operation.type is OperationType.INSERT:
            inserted += _inserted(operation)
        elif operation.type is OperationType.DELETE:
            deleted += 1 if operation.length is None else operation.length
    return inserted, deleted


def _inserted(operation: ContentOperation) -> int:
    content = operation.content
    if not isinstance(content, str | list) or (operation.position and isinstance(operation.position[-1], str)):
        return 1
    if isinstance(content, str) and not content.isascii():
        return len(content.encode("utf-16-le", "surrogatepass")) // 2
    return len(content)
