"""JSON that comes from outside."""

from __future__ import annotations

import json

import pytest

from cowrite.protocol.strict_json import MAX_DEPTH, read_json


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + "0" + closing * depth).encode()


@pytest.mark.rule("HT23", "JS13")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"NaN", "not finite"),
        (b"[-Infinity]", "not finite"),
        (b'{"a": 1e999}', "not finite"),
        (nested(MAX_DEPTH + 1), "too deep"),
        (nested(MAX_DEPTH + 1, '{"a":', "}"), "too deep"),
        (nested(100_000), "too deep"),
        (rb'["\ud800"]', "surrogate"),
        (rb'{"\uDC00": 1}', "surrogate"),
        (b"{", "property name"),
        (b"\xff", "decode"),
        (b'"\xed\xa0\x80"', "decode"),  # half a pair without an escape
        (rb'"\ud800"'.decode().encode("utf-16-le"), "control character"),
        ('{"a": 1}'.encode("utf-16"), "decode"),
    ],
)
def test_what_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_json(text)


@pytest.mark.rule("HT23", "JS13")
@pytest.mark.parametrize(
    "text",
    [
        nested(MAX_DEPTH),
        b"\xef\xbb\xbf[1]",
        nested(MAX_DEPTH, '{"a":', "}"),
        rb'"\ud83d\ude00"',
        b'"' + b"[" * 500 + b'"',
        b"[" + b"[]," * 500 + b"1.5]",
    ],
)
def test_what_is_read(text: bytes) -> None:
    assert read_json(text) == json.loads(text)
