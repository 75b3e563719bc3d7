"""Reading JSON that comes from outside, so that whatever has been read can be written again, and cheaply."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn, TypeAlias

Json: TypeAlias = Any

MAX_DEPTH: Final = 100
"""Lists and objects within one another."""

_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(text: bytes) -> Json:
    """Read a JSON text (RFC 8259).

    Refused beyond what the RFC refuses: NaN and infinite numbers, also as ``1e999``; nesting deeper than :data:`MAX_DEPTH`,
    which would break whoever writes it from deep in the stack; half surrogate pairs, which are no characters. Raises
    ``ValueError``, with a reason for people, and nothing else.
    """
    try:
        # Decoded here: of bytes the library takes UTF-16 and UTF-32, too, and in all of them half surrogate pairs.
        value = json.loads(text.decode("utf-8-sig"), parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _HALF_PAIR.search(text) is not None:
        _check_characters(value)
    return value


def _refuse_number(_name: str) -> NoReturn:
    raise ValueError("a number is not finite")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        _refuse_number(digits)
    return value


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return
    raise ValueError("it is nested too deep")


def _parts(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_characters(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no character") from None
