"""Positions in characters, and the engine's deltas in its units."""

from __future__ import annotations

from typing import Any

import pytest

from cowrite.crdt.editing.positions import EMBEDDED, Edit, characters, read_delta, units_before


@pytest.mark.rule("PY1")
@pytest.mark.parametrize(
    ("text", "units"), [("abc", [0, 1, 2, 3]), ("aé漢", [0, 1, 2, 3]), ("a😀e\u0301b", [0, 1, 3, 4, 5, 6]), ("", [0])]
)
def test_units_before_a_character(text: str, units: list[int]) -> None:
    """Only what is beyond U+FFFF takes two."""
    assert [units_before(text, index) for index in range(len(text) + 1)] == units


@pytest.mark.rule("PY1")
def test_what_is_embedded_is_one_character() -> None:
    assert characters([("a", None), ({"image": "x"}, {"b": 1}), ("😀", None)]) == f"a{EMBEDDED}😀"


@pytest.mark.rule("PY1")
def test_a_delta_in_units_is_edits_in_characters() -> None:
    """Each edit's index counts what the edits before it did."""
    delta: list[dict[str, Any]] = [
        {"retain": 3},
        {"insert": "é"},
        {"delete": 2},
        {"insert": {"image": "x"}},
        {"retain": 1, "attributes": {"b": 1}},
    ]
    after, edits = read_delta("a😀x漢yz", delta)
    assert after == f"a😀é{EMBEDDED}yz"
    assert edits == [Edit(2, "", "é"), Edit(3, "x漢", ""), Edit(3, "", EMBEDDED)]
