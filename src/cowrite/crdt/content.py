"""The contents of structs: where each ends, how many clocks it takes, and whether the engine and browsers read it alike.

Everything here is linear in the bytes and does not recurse. Reading behind the end raises IndexError, text that is not UTF-8
UnicodeDecodeError; the guard turns both into a refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn

from cowrite.crdt.errors import HostileUpdate

MAX_CLOCK = 2**31 - 1
MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 100
"""Levels of arrays and maps inside one value. The engine recurses: 30 000 levels overflow its stack."""
MAX_KEY_BYTES = 32_768
MAX_ELEMENT_BYTES = 1_024
MAX_ROOT_BYTES = 1_024

_PLAIN_JSON = re.compile(rb'true|false|null|"[ !#-\[\]-~]*+"|-?(?:0|[1-9][0-9]{0,14})|\{\}|\[\]')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_TOO_DEEP = re.compile(rb"[\[{]{%d}" % (MAX_DEPTH + 1))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_long(data: bytes, at: int, first: int) -> tuple[int, int]:
    """Read on in a variable-length integer whose first byte, ``first``, was above 127. Returns it and the place behind it."""
    byte = data[at]
    if byte < 128:
        if byte == 0:
            _refuse("varint", "an integer is not in its shortest form")
        return first & 127 | byte << 7, at + 1
    value = first & 127 | (byte & 127) << 7
    at += 1
    shift = 14
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 49:
            _refuse("varint", "an integer is longer than 8 bytes")
    if byte == 0:
        _refuse("varint", "an integer is not in its shortest form")
    if value > MAX_SAFE_INTEGER:
        _refuse("varint", "an integer is beyond 2^53 - 1")
    return value, at


def read_varuint(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length unsigned integer. Returns it and the place behind it."""
    value = data[at]
    return read_long(data, at + 1, value) if value > 127 else (value, at + 1)


def read_sized(data: bytes, at: int) -> tuple[int, int]:
    """Read a length-prefixed run of bytes: where it begins and ends."""
    size, at = read_varuint(data, at)
    end = at + size
    if end > len(data):
        _refuse("truncated", f"a string or buffer of {size} bytes begins {len(data) - at} bytes before the end")
    return at, end


def read_text(data: bytes, at: int, limit: int, what: str) -> tuple[str, int]:
    """Read a length-prefixed string of at most ``limit`` bytes. Returns it and the place behind it."""
    at, end = read_sized(data, at)
    if end - at > limit:
        _refuse("long_name", f"{what} of {end - at} bytes, at most {limit} are taken")
    return str(data[at:end], "utf-8"), end


def _count(data: bytes, at: int, bytes_each: int) -> tuple[int, int]:
    count, at = read_varuint(data, at)
    if count * bytes_each > len(data) - at:
        _refuse("count", f"{count} elements are announced where {len(data) - at} bytes are left")
    return count, at


def _signed_end(data: bytes, at: int) -> int:
    start = at
    while data[at] > 127:
        at += 1
        if at - start > 7:
            _refuse("varint", "an integer is longer than 8 bytes")
    if at > start and data[at] == 0:
        _refuse("varint", "an integer is not in its shortest form")
    # The first byte carries 6 bits and each further one 7: of the eighth only 5 are left below 2^53.
    if at - start == 7 and data[at] > 31:
        _refuse("varint", "an integer is beyond 2^53 - 1")
    return at + 1


def skip_any(data: bytes, at: int) -> int:
    """Return the place behind a value in lib0's "any" form."""
    left = [1]  # for each open array or map, how many values are still to come
    maps = [False]
    while left:
        if left[-1] == 0:
            left.pop()
            maps.pop()
            continue
        left[-1] -= 1
        if maps[-1]:
            _, at = read_text(data, at, MAX_KEY_BYTES, "a key")
        kind = data[at]
        at += 1
        if kind == 119:
            start, at = read_sized(data, at)
            str(data[start:at], "utf-8")
        elif kind == 125:
            at = _signed_end(data, at)
        elif kind in (117, 118):
            count, at = _count(data, at, 1 if kind == 117 else 2)
            if len(left) > MAX_DEPTH:
                _refuse("depth", f"a value is nested more than {MAX_DEPTH} levels deep")
            left.append(count)
            maps.append(kind == 118)
        elif kind == 116:
            _, at = read_sized(data, at)
        else:
            width = _ANY_WIDTHS.get(kind)
            if width is None:
                _refuse("any", f"{kind} is no kind of value")
            at += width
    if at > len(data):
        raise IndexError
    return at


_ANY_WIDTHS = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}


def _read_integer(text: str) -> int | float:
    if len(text) < 19:
        return int(text)
    number = _read_number(text)
    if 2.0**63 <= number <= 2.0**64 and 2**63 <= int(text) < 2**64:
        raise ValueError("the engine takes no integer from 2^63 to 2^64 - 1")
    return number


def _read_number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _check_depth(raw: bytes) -> None:
    """Refuse JSON that is nested too deep, or whose brackets do not match, without reading it level by level."""
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    if _TOO_DEEP.search(brackets) is not None:
        _refuse("depth", f"a JSON value is nested more than {MAX_DEPTH} levels deep")
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    if b"[]" in brackets or b"{}" in brackets:
        _refuse("depth", f"a JSON value is nested more than {MAX_DEPTH} levels deep")
    if brackets:
        _refuse("json", "the brackets of a JSON value do not match")


def read_json(raw: bytes) -> object:
    """Parse a JSON text. Refuses what the engine refuses, and deep nesting before it parses."""
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(raw)
    try:
        text = str(raw, "utf-8")
        value: object = json.loads(text, parse_int=_read_integer, parse_float=_read_number, parse_constant=_no_constant)
        if b"\\u" in raw:  # an escape may have made half a surrogate pair, which the engine refuses
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        _refuse("utf8", "a JSON value is not valid Unicode")
    except ValueError as error:
        _refuse("json", f"a value is not JSON that the engine takes: {error}")
    return value


def _skip_json(data: bytes, at: int) -> int:
    at, end = read_sized(data, at)
    raw = data[at:end]
    if _PLAIN_JSON.fullmatch(raw) is None:
        read_json(raw)
    return end


def _deleted(data: bytes, at: int) -> tuple[int, int]:
    length, at = read_varuint(data, at)
    return at, length


def _binary(data: bytes, at: int) -> tuple[int, int]:
    return read_sized(data, at)[1], 1


def _embed(data: bytes, at: int) -> tuple[int, int]:
    return _skip_json(data, at), 1


def _format(data: bytes, at: int) -> tuple[int, int]:
    _, at = read_text(data, at, MAX_KEY_BYTES, "a format's name")
    return _skip_json(data, at), 1


def _type(data: bytes, at: int) -> tuple[int, int]:
    kind = data[at]
    if kind == 3:
        return read_text(data, at + 1, MAX_ELEMENT_BYTES, "an element's name")[1], 1
    if kind in (0, 1, 2, 4, 6):
        return at + 1, 1
    # 5 would be an XML hook: the engine does not read its name, and so would read the rest differently from what was checked.
    raise HostileUpdate("type", f"a shared type of kind {kind}, which the engine or browsers cannot read")


def _any(data: bytes, at: int) -> tuple[int, int]:
    count, at = _count(data, at, 1)
    for _ in range(count):
        at = skip_any(data, at)
    return at, count


def _document(data: bytes, at: int) -> tuple[int, int]:
    _, at = read_text(data, at, MAX_KEY_BYTES, "a subdocument's id")
    return skip_any(data, at), 1


def _legacy_json(data: bytes, at: int) -> tuple[int, int]:
    # The engine reads one string more than Yjs writes, and so would read the rest differently from what was checked.
    _refuse("legacy_json", "content of the obsolete JSON kind (Yjs wrote it before version 13), which the engine cannot read")


def _unknown(data: bytes, at: int) -> tuple[int, int]:
    _refuse("content", "a struct has content of an unknown kind")


CONTENT_READERS: tuple[Callable[[bytes, int], tuple[int, int]], ...] = (
    *(_unknown, _deleted, _legacy_json, _binary, _unknown, _embed, _format, _type, _any, _document),
    *([_unknown] * 22),
)
"""By the low five bits of a struct's first byte: takes where the content begins, returns the place behind it and its length.

Lengths are in clocks. GC (0), skip (10) and strings (4) are read by the callers themselves."""


def _refuse(code: str, reason: str) -> NoReturn:
    raise HostileUpdate(code, reason)
