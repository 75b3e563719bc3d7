"""Plain values as JSON and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pycrdt import Doc, Map

from cowrite.crdt.values import InvalidValue, from_json, to_json

PAIRS: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    ("a\0😀", "a\0😀"),
    (1.0, 1),
    (-0.0, 0),
    (2.5, 2.5),
    (float(2**53 - 1), 2**53 - 1),
    (float(2**53), float(2**53)),
    (1e300, 1e300),
    (math.inf, {"$number": "Infinity"}),
    (-math.inf, {"$number": "-Infinity"}),
    (bytearray(b"\x00\xff"), {"$bin": "AP8="}),
    ([1.0, [None]], [1, [None]]),
    ({"b": 1.0, "a": {"c": []}}, {"a": {"c": []}, "b": 1}),
    ({"$ref": 1.0, "$$": {"$bin": "x"}, "": 1.0}, {"$$ref": 1, "$$$": {"$$bin": "x"}, "": 1}),
]


@pytest.mark.rule("OP15", "OP16", "OP17")
@pytest.mark.parametrize(("value", "written"), PAIRS)
def test_values_are_written_and_read_back(value: Any, written: Any) -> None:
    """What the engine holds is written as JSON that means it, and nothing else."""
    assert to_json(value) == written
    assert type(to_json(value)) is type(written)
    assert from_json(json.loads(json.dumps(written))) == value


@pytest.mark.rule("OP17")
def test_numbers_that_cannot_be_compared() -> None:
    """NaN is tagged and comes back; big integers become the nearest double, as the engine makes of them itself."""
    assert to_json(math.nan) == {"$number": "NaN"}
    assert math.isnan(from_json({"$number": "NaN"}))
    assert to_json(2**60 + 1) == float(2**60)
    assert to_json(7) == 7
    document: Doc[Map[Any]] = Doc()
    shared = document.get("map", type=Map)
    shared["big"] = 2**60 + 1
    copy: Doc[Map[Any]] = Doc()
    copy.apply_update(document.get_update())
    assert to_json(copy.get("map", type=Map)["big"]) == to_json(shared["big"])


@pytest.mark.rule("OP16")
def test_objects_are_written_with_their_keys_in_order() -> None:
    """The engine gives them in another order each time."""
    assert list(to_json({"b": None, "$": None, "a": None})) == ["$$", "a", "b"]


@pytest.mark.rule("OP16", "OP17", "OP18")
@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ("\ud800", "", "surrogate"),
        ({"a": ["x", "\udfff"]}, ".a[1]", "surrogate"),
        ({"\ud800": 1}, "", "surrogate"),
        ({1: 2}, "", "where a string belongs"),
        (10**400, "", "out of range"),
        (math.inf, "", "out of range"),
        (math.nan, "", "out of range"),
        ({"$bin": "?"}, "", "base64"),
        ({"$bin": "é"}, "", "base64"),
        ({"$bin": 1}, "", "no plain value"),
        ({"$bin": "", "more": 1}, "", "no plain value"),
        ({"$number": "1"}, "", "no plain value"),
        ({"a": {"$ref": 1}}, ".a", "no plain value"),
        ({"$map": {}}, "", "no plain value"),
        ({"$a": 1, "$b": 2}, "", "two tags"),
        (object(), "", "no JSON value"),
    ],
)
def test_what_has_no_meaning_is_refused(value: Any, place: str, reason: str) -> None:
    """The error says where in the value, and what is wrong."""
    with pytest.raises(InvalidValue, match=reason) as caught:
        from_json(value)
    assert caught.value.place == place


@pytest.mark.rule("OP15")
def test_where_yjs_keeps_json_tagged_values_are_refused() -> None:
    """Bytes and infinities would not come back; plain values do."""
    assert from_json({"$$a": [1, {"b": None}]}, tags=False) == {"$a": [1.0, {"b": None}]}
    for value in ({"$bin": ""}, [{"$number": "NaN"}], {"a": {"$bin": ""}}):
        with pytest.raises(InvalidValue, match="JSON alone"):
            from_json(value, tags=False)


@pytest.mark.rule("OP18")
def test_nesting_has_a_limit() -> None:
    """100 levels are taken, 101 are not; nothing recurses further."""
    value: Any = 1
    for _ in range(100):
        value = [value]
    assert from_json(value)
    with pytest.raises(InvalidValue, match="100 levels"):
        from_json([value])


@pytest.mark.rule("OP4")
def test_shared_types_are_no_plain_values() -> None:
    """Whoever passes one has made a mistake."""
    with pytest.raises(TypeError, match="Map"):
        to_json(Map())
