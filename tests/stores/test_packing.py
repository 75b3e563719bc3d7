"""What each entry has, in few bytes."""

from __future__ import annotations

import pytest

from cowrite.core.records import Cause, CauseKind
from cowrite.crdt.operations import OperationType
from cowrite.crdt.outline import ClockRange
from cowrite.stores.packing import (
    MAX_PACKED_ID,
    decode_cause,
    encode_cause,
    pack_copies,
    pack_id,
    pack_ranges,
    units,
    unpack_copies,
    unpack_id,
    unpack_ranges,
)
from cowrite.testing.records import make_operation, new_id

IDS = [
    "a",
    "15 characters..",
    "14 characters.",
    "16 characters...",
    "é" * 36,
    "😀" * 36,
    "0191d2f8-5a3c-7e21-9b44-6d2f0c8a1E57",
    "0191d2f85a3c-7e21-9b44-6d2f0c8a1e57-",
    "0191d2f8-5a3c-7e21-9b44-6d2f0c8a1e5z",
    "0191d2f85a3c7e219b446d2f0c8a1e57",
]


@pytest.mark.rule("HS1")
@pytest.mark.parametrize("text", IDS)
def test_other_ids(text: str) -> None:
    """Ids that are no UUID, or one in another spelling, come back as they were."""
    packed = pack_id(text)
    assert unpack_id(packed) == text
    assert 16 != len(packed) <= MAX_PACKED_ID


@pytest.mark.rule("HS1")
def test_uuids() -> None:
    """A UUID takes 16 bytes; no two ids have the same bytes."""
    ids = [*IDS, *(new_id() for _ in range(100))]
    assert all(len(pack_id(text)) == 16 for text in ids[len(IDS) :])
    assert [unpack_id(pack_id(text)) for text in ids] == ids
    assert len({pack_id(text) for text in ids}) == len(ids)


@pytest.mark.rule("HS1")
@pytest.mark.parametrize("ranges", [(), (ClockRange(1, 2, 3),), (ClockRange(2**53 - 1, 0, 2**31), ClockRange(0, 127, 255))])
def test_ranges(ranges: tuple[ClockRange, ...]) -> None:
    """Ranges come back equal; what ends within one is damaged."""
    packed = pack_ranges(ranges)
    assert unpack_ranges(packed) == ranges
    for end in range(len(packed)):
        if unpack := [known for known in (0, 1) if pack_ranges(ranges[:known]) == packed[:end]]:
            assert unpack_ranges(packed[:end]) == ranges[: unpack[0]]
        else:
            with pytest.raises(ValueError, match="within a range"):
                unpack_ranges(packed[:end])


@pytest.mark.rule("HS1")
@pytest.mark.parametrize(
    "cause",
    [
        None,
        Cause(CauseKind.RESTORE, 0),
        Cause(CauseKind.RESTORE, 7, root="a\0\ud800", copies=((2**53 - 1, 0, 5, 1, 2**31), (1, 2, 3, 4, 5))),
        Cause(CauseKind.UNDO, 9, after=0, author="ána"),
    ],
)
def test_causes(cause: Cause | None) -> None:
    """Causes come back equal in every field."""
    assert decode_cause(encode_cause(cause), pack_copies(cause)) == cause


@pytest.mark.rule("HS1")
def test_damaged_copies() -> None:
    """Copies that end within one are damaged; those of no cause take nothing."""
    packed = pack_copies(Cause(CauseKind.UNDO, 9, copies=((1, 2, 3, 4, 5),)))
    assert packed == bytes([1, 2, 3, 4, 5])
    for damaged in (packed[:-1], packed + b"\x80"):
        with pytest.raises(ValueError, match="within a copy"):
            unpack_copies(damaged)
    assert pack_copies(None) is pack_copies(Cause(CauseKind.UNDO, 9)) is None


@pytest.mark.rule("HS2")
def test_units() -> None:
    """Text counts in UTF-16, everything else one by one, formats not at all."""

    def insert(content: object, last: str | int = 0) -> tuple[int, int]:
        return units([make_operation(content=content, position=("body", last))])

    assert insert("abc") == (3, 0)
    assert insert("aé😀") == (4, 0)
    assert insert({"embed": {"src": "x"}}) == (1, 0)
    assert insert(["a", {"$xml": "p", "children": ["text"]}]) == (2, 0)
    assert insert("a long value", "key") == insert([1, 2, 3], "key") == insert(None, "key") == (1, 0)
    deletes = [make_operation(type=OperationType.DELETE, length=length) for length in (7, 0, None)]
    assert units(deletes) == (0, 8)
    assert units([make_operation(type=OperationType.FORMAT, length=50)]) == (0, 0)
    assert units([*deletes, make_operation(content="ab"), make_operation(content="c")]) == (3, 8)
    assert units([make_operation(position=())]) == (4, 0)
