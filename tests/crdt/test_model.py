"""The plain model of a document refuses what does not fit it, so that nothing goes unnoticed that is measured by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cowrite.testing.model import Model, ModelError

STATE: dict[str, Any] = {
    "text": {"$text": [{"insert": "a😀"}, {"embed": {"$map": {"k": 1}}, "attributes": {"b": 1}}]},
    "xml": {
        "$xml": None,
        "attrs": {"dir": "ltr"},
        "children": [{"$xml": "p", "attrs": {"level": 1}, "children": [{"$xmltext": [{"insert": "x"}], "attrs": {"a": [1]}}]}],
    },
    "array": {"$array": [1, {"$doc": "guid"}, {"$$map": 1}]},
    "map": {"$map": {"k": {"$bin": ""}}},
}


@pytest.mark.rule("OP1")
def test_a_state_goes_in_and_comes_out() -> None:
    """The model keeps every value as it is."""
    assert Model(json.loads(json.dumps(STATE))).state == STATE
    assert Model().state == {}


@pytest.mark.rule("OP1", "OP5")
@pytest.mark.parametrize(
    "operation",
    [
        {"type": "insert", "position": ["text", 2], "content": "x"},
        {"type": "insert", "position": ["text", 5], "content": "x"},
        {"type": "insert", "position": ["text", 0], "content": [1]},
        {"type": "insert", "position": ["text", "k"], "content": 1},
        {"type": "delete", "position": ["text", 0], "length": 2},
        {"type": "delete", "position": ["text", 3], "length": 2},
        {"type": "format", "position": ["text", "k"], "length": 1, "attributes": {"a": 1}},
        {"type": "insert", "position": ["text", 0, "k"], "content": 1},
        {"type": "insert", "position": ["text", 9, "k"], "content": 1},
        {"type": "insert", "position": ["array", 4], "content": [1]},
        {"type": "insert", "position": ["array", 0], "content": "x"},
        {"type": "delete", "position": ["array", 2], "length": 2},
        {"type": "format", "position": ["array", 0], "length": 1, "attributes": {"a": 1}},
        {"type": "insert", "position": ["map", 0], "content": [1]},
        {"type": "delete", "position": ["map", "none"]},
        {"type": "insert", "position": ["map", "none", 0], "content": [1]},
        {"type": "insert", "position": ["xml", 0, "none", 0], "content": [1]},
        {"type": "delete", "position": ["none"]},
        {"type": "delete", "position": ["none", 0], "length": 1},
    ],
)
def test_what_does_not_fit_is_an_error(operation: dict[str, Any]) -> None:
    """A place that is not there, inside of a character, or of another kind."""
    with pytest.raises(ModelError):
        Model(json.loads(json.dumps(STATE))).apply(operation)


@pytest.mark.rule("OP13", "OP14")
def test_attributes_that_are_not_there_can_be_removed() -> None:
    """Attributes that are null are told as removed, whether they were there or not."""
    model = Model(json.loads(json.dumps(STATE)))
    model.apply({"type": "format", "position": ["xml", 0], "length": 1, "attributes": {"level": None, "none": None}})
    model.apply({"type": "format", "position": ["xml"], "length": 1, "attributes": {"dir": None}})
    model.apply({"type": "delete", "position": ["xml", 0, 0, "none"]})
    model.apply({"type": "delete", "position": ["array"]})
    assert model.state["xml"] == {
        "$xml": None,
        "attrs": {},
        "children": [{"$xml": "p", "attrs": {}, "children": [{"$xmltext": [{"insert": "x"}], "attrs": {"a": [1]}}]}],
    }
    assert "array" not in model.state
