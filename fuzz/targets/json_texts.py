"""JSON from outside: a reason for people, or a value that can be written again and read as the same."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cowrite.protocol.strict_json import read_json

MAX_BYTES = 1024


def check(data: bytes) -> None:
    try:
        value = read_json(data)
    except ValueError as error:
        assert str(error), "the reason is told"
        return
    written = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    assert json.dumps(read_json(written)) == json.dumps(value)


def seeds() -> Iterable[bytes]:
    return [
        b'{"type":"hello","n":[1,-2.5e3,true,null],"s":"a\\n\\u00e9\\ud83d\\ude00"}',
        '"é😀"'.encode(),
        b'"\\ud800"',
        b"1e999",
        b"[NaN]",
        b"[" * 102 + b"]" * 102,
        b"9" * 4400,
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '"\\ud800"'.encode("utf-16-le"),
    ]
