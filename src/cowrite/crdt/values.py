r"""Plain values as JSON, and back.

Yjs stores more than JSON has, and uses more than one way to nest. In operations and states a JSON object with a key that begins
with one ``$`` is therefore a *tagged* value: ``{"$bin": base64}``, ``{"$number": "NaN"}``, or a shared type (see
:mod:`cowrite.crdt.shared_types`). A user's own object may have such keys too: they get one more ``$`` in front, and lose it
again on the way back (``{"$ref": 1}`` is written ``{"$$ref": 1}``). So every JSON value has exactly one meaning.

Every number is a double, as in JavaScript: 1.0 is written 1, a big integer (BigInt) becomes the nearest double, because that is
what the engine itself makes of it when it encodes it again. ``undefined`` is written null.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from cowrite.crdt.text_index import is_unicode

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

MAX_DEPTH = 100
"""Levels of lists and objects in one value; alike for values and for nested shared types."""
MAX_SAFE_INTEGER = 2**53 - 1
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class InvalidValue(ValueError):
    """A JSON value that has no meaning here. ``place`` says where in it (``".a[2]"``), ``reason`` what is wrong."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place or 'the value'}: {reason}")
        self.place = place
        self.reason = reason


def to_json(value: object) -> Json:
    """Write a plain value of the engine as JSON. Objects are written with their keys in order, because the engine has none."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if isinstance(value, float):
        return number_to_json(value)
    if isinstance(value, dict):
        return {escape(key): to_json(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return {"$bin": b64encode(value).decode()}
    if isinstance(value, int):
        return number_to_json(float(value))
    raise TypeError(f"the engine holds a {kind.__name__}, which is no plain value")


def number_to_json(number: float) -> Json:
    """Write a double: an integer where it is one and is exact, else as it is; tagged when JSON has no such number."""
    if number.is_integer() and -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
        return int(number)
    if math.isfinite(number):
        return number
    return {"$number": "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"}


def escape(key: str) -> str:
    """Write the key of a user's object."""
    return "$" + key if key.startswith("$") else key


def from_json(value: Json, place: str = "", depth: int = 0, *, tags: bool = True) -> Any:
    """Read a plain value as the engine takes it. Raises :class:`InvalidValue`; shared types are no plain values.

    ``tags`` False: bytes and numbers that JSON lacks are refused, because Yjs keeps the value as JSON (what is embedded in a
    text, and formatting).
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return checked_text(value, place)
    if isinstance(value, (int, float)):
        return _number(value, place)
    if depth >= MAX_DEPTH:
        _refuse(place, f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, list):
        return [from_json(item, f"{place}[{index}]", depth + 1, tags=tags) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            checked_text(key, place)
        if tag := tag_of(value, place):
            if not tags:
                _refuse(place, f"{tag} cannot be kept here, where Yjs keeps JSON alone")
            return _tagged(tag, value, place)
        return {_unescape(key): from_json(item, f"{place}.{key}", depth + 1, tags=tags) for key, item in value.items()}
    raise InvalidValue(place, f"a {type(value).__name__} is no JSON value")


def tag_of(value: Mapping[str, Json], place: str) -> str | None:
    """Return the key that makes an object a tagged value, None for a user's object. Raises :class:`InvalidValue`."""
    tags = [key for key in value if key.startswith("$") and not key.startswith("$$")]
    if not tags:
        return None
    if len(tags) > 1:
        _refuse(place, f"it has two tags, {tags[0]} and {tags[1]}; keys of one's own that begin with $ are written with $$")
    return tags[0]


def checked_text(text: object, place: str) -> str:
    """Return ``text`` when it is a string that can be stored. Raises :class:`InvalidValue`."""
    if not isinstance(text, str):
        _refuse(place, f"a {type(text).__name__} stands where a string belongs")
    if not is_unicode(text):
        _refuse(place, "it holds half of a surrogate pair, which is no Unicode text")
    return text


def _unescape(key: str) -> str:
    return key[1:] if key.startswith("$") else key


def _number(value: int | float, place: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(place, "the number is out of range")
    return number


def _tagged(tag: str, value: Mapping[str, Json], place: str) -> Any:
    if tag == "$number" and len(value) == 1 and isinstance(value[tag], str) and value[tag] in _NUMBERS:
        return _NUMBERS[value[tag]]
    if tag == "$bin" and len(value) == 1 and isinstance(value[tag], str):
        try:
            return b64decode(value[tag], validate=True)
        except (Base64Error, ValueError):
            _refuse(place, "$bin holds no base64")
    raise InvalidValue(place, f"{tag} is no plain value here; keys of one's own that begin with $ are written with $$")


def _refuse(place: str, reason: str) -> NoReturn:
    raise InvalidValue(place, reason)
