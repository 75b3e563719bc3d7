"""Records at rest: what the contract suite cannot reach through a store."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from cowrite.core.ports import StoreRefused
from cowrite.core.records import Checkpoint
from cowrite.crdt.roots import RootKind
from cowrite.stores.encoding import (
    decode_json,
    encode_json,
    pack_checkpoint,
    printable,
    unpack_checkpoint,
)


@pytest.mark.rule("ST3")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\0ü", '"a\\u0000ü"'),
        ("ü\ud800", '"\\u00fc\\ud800"'),
        ({"b": 1, "a": [None, True, 1.0]}, '{"b":1,"a":[null,true,1.0]}'),
        (("body", 1), '["body",1]'),
    ],
)
def test_json_text(value: object, text: str) -> None:
    """JSON text is compact and keeps the order of keys; U+0000 is always escaped, other characters only where they must be."""
    assert encode_json(value) == text
    assert "\0" not in text
    text.encode()
    assert encode_json(decode_json(text)) == text


@pytest.mark.rule("ST6")
def test_not_json() -> None:
    """The message says that the value is the problem."""
    with pytest.raises(StoreRefused, match="not JSON"):
        encode_json({"a": float("nan")})


@pytest.mark.rule("ST17")
def test_damaged_checkpoints() -> None:
    """A checkpoint whose checksum, compression or roots are not what was stored is found out."""
    packed = pack_checkpoint(Checkpoint(7, "id", b"state" * 1000, {"body": RootKind.TEXT}))
    assert len(packed.state) < 100
    assert unpack_checkpoint(packed).state == b"state" * 1000
    with pytest.raises(ValueError, match="checksum"):
        unpack_checkpoint(replace(packed, checksum=packed.checksum ^ 1))
    cut = packed.state[:-8]
    with pytest.raises(ValueError, match="decompress"):
        unpack_checkpoint(replace(packed, state=cut, checksum=zlib.crc32(cut)))
    for roots in ('{"body": "table"}', "{", '["body"]', '":"', "[" * 100_000):
        with pytest.raises(ValueError, match=r"table|Expecting|no JSON object|nested too deep"):
            unpack_checkpoint(replace(packed, roots=roots))


@pytest.mark.rule("ST22")
def test_printable() -> None:
    """What is only for people loses what databases cannot keep."""
    assert printable("a\0b\ud83dü😀") == "a?b?ü😀"
