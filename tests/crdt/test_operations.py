"""Operations in their JSON form: read strictly, written so that they are read as the same."""

from __future__ import annotations

from typing import Any

import pytest

from cowrite.crdt.operations import ContentOperation, OperationDraft, OperationInvalid, OperationType, check_id

INSERT: dict[str, Any] = {"type": "insert", "position": ["body", 0], "content": "abc"}
DELETE: dict[str, Any] = {"type": "delete", "position": ["body", 0], "length": 1}
FORMAT: dict[str, Any] = {"type": "format", "position": ["body", 0], "length": 1, "attributes": {"bold": True}}
COMMITTED: dict[str, Any] = {
    "id": "op1",
    "author": "ana",
    "created_at": 1790000000000,
    "vector_clock": {"81": 41, "offset": 17},
}

SHAPES: dict[str, dict[str, Any]] = {
    "text": INSERT,
    "text with attributes": {**INSERT, "attributes": {"bold": None, "link": {"href": "x"}}},
    "text with no attributes": {**INSERT, "attributes": {}},
    "U+0000": {**INSERT, "content": "\0"},
    "embed": {**INSERT, "content": {"embed": {"image": 1}}},
    "items": {**INSERT, "content": [1, {"$map": {}}]},
    "entry": {"type": "insert", "position": ["meta", "title"], "content": None},
    "empty text in an entry": {"type": "insert", "position": ["meta", "title"], "content": ""},
    "deep entry": {"type": "insert", "position": ["meta", "a", 3, "b"], "content": {"any": ["thing"]}},
    "delete of a range": DELETE,
    "delete of an entry": {"type": "delete", "position": ["meta", "title"]},
    "delete of a root": {"type": "delete", "position": ["meta"]},
    "format": FORMAT,
    "format of a root": {**FORMAT, "position": ["xml"]},
}


@pytest.mark.rule("OP5", "OP18")
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_is_read_as_the_same(shape: str) -> None:
    """Each shape, as a client sends it and as it is committed."""
    json = SHAPES[shape]
    draft = OperationDraft.from_json(json)
    assert draft.to_json() == json
    assert draft.position == tuple(json["position"])
    committed = ContentOperation.from_json({**json, **COMMITTED})
    assert committed.to_json() == {**json, **COMMITTED}
    assert OperationDraft.from_json(committed.to_json()) == draft
    assert (committed.type, committed.content, committed.length) == (draft.type, draft.content, draft.length)


@pytest.mark.rule("OP18")
def test_an_integer_may_have_a_fraction_of_zero() -> None:
    """JSON has one kind of number, and some languages write all of them so; it is the same operation."""
    written = OperationDraft.from_json({"type": "delete", "position": ["body", 3.0], "length": 2.0})
    assert written.to_json() == {"type": "delete", "position": ["body", 3], "length": 2}
    assert all(isinstance(number, int) for number in (written.position[1], written.length))


@pytest.mark.rule("OP18")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        (None, []),
        ("type", None),
        ("type", "move"),
        ("type", 1),
        ("position", None),
        ("position", []),
        ("position", "body"),
        ("position[0]", [1, 2]),
        ("position[1]", ["body", -1]),
        ("position[1]", ["body", True]),
        ("position[1]", ["body", 1.5]),
        ("position[1]", ["body", 2**53]),
        ("position[1]", ["body", None]),
        ("position[1]", ["body", "\ud800"]),
        ("position", ["body", *[0] * 102]),
        ("position", ["body"]),
        ("content", ...),
        ("content", ""),
        ("content", []),
        ("content", 3),
        ("content", {"embed": 1, "more": 2}),
        ("content", "\udc00"),
        ("length", 3),
        ("attributes", []),
        ("attributes", {"\ud800": 1}),
        ("colour", "red"),
    ],
)
def test_a_malformed_insert_is_refused(field: str | None, value: Any) -> None:
    """The error names the field and says what is wrong with it."""
    name = field.partition("[")[0] if field else None
    json = value if name is None else {**INSERT, name: value}
    if value is ... and isinstance(json, dict):
        del json["content"]
    with pytest.raises(OperationInvalid) as caught:
        OperationDraft.from_json(json)
    assert (caught.value.code, caught.value.field) == ("field", field)
    assert caught.value.reason in str(caught.value)


@pytest.mark.rule("OP18")
@pytest.mark.parametrize(
    ("json", "field"),
    [
        ({**DELETE, "length": 0}, "length"),
        ({**DELETE, "length": True}, "length"),
        ({"type": "delete", "position": ["body", 0]}, "length"),
        ({**DELETE, "content": "x"}, "content"),
        ({**DELETE, "attributes": {}}, "attributes"),
        ({"type": "delete", "position": ["meta", "k"], "length": 1}, "length"),
        ({**FORMAT, "attributes": {}}, "attributes"),
        ({**FORMAT, "content": "x"}, "content"),
        ({"type": "format", "position": ["body", 0], "length": 1}, "attributes"),
        ({"type": "format", "position": ["body", 0], "attributes": {"a": 1}}, "length"),
        ({"type": "insert", "position": ["meta", "k"], "content": 1, "attributes": {"a": 1}}, "attributes"),
        ({**INSERT, "content": [1], "attributes": {"a": 1}}, "attributes"),
        ({"type": "insert"}, "position"),
        ({"position": ["body", 0]}, "type"),
    ],
)
def test_fields_that_do_not_belong_together_are_refused(json: dict[str, Any], field: str) -> None:
    """Each type of operation has its fields, and no others."""
    with pytest.raises(OperationInvalid) as caught:
        OperationDraft.from_json(json)
    assert caught.value.field == field


@pytest.mark.rule("OP18")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 37),
        ("id", "a\0b"),
        ("id", "\ud800"),
        ("id", 7),
        ("author", ""),
        ("author", "x" * 256),
        ("author", None),
        ("created_at", -1),
        ("created_at", "now"),
        ("vector_clock", []),
        ("vector_clock.81", {"81": -1}),
    ],
)
def test_what_the_server_gives_is_checked_when_it_is_read(field: str, value: Any) -> None:
    """Ids, authors, times and clocks have bounds, and none of them may be missing."""
    name = field.partition(".")[0]
    with pytest.raises(OperationInvalid) as caught:
        ContentOperation.from_json({**INSERT, **COMMITTED, name: value})
    assert caught.value.field == field
    missing = {**INSERT, **COMMITTED}
    del missing[name]
    with pytest.raises(OperationInvalid, match="missing"):
        ContentOperation.from_json(missing)


@pytest.mark.rule("OP18")
def test_an_id_alone_is_checked_alike() -> None:
    """36 characters of any sort are an id, and are returned."""
    assert check_id("é" * 36) == "é" * 36
    with pytest.raises(OperationInvalid, match="id: "):
        check_id("x" * 37)


@pytest.mark.rule("OP26")
def test_an_invalid_operation_says_where_it_stands_in_its_batch() -> None:
    """The place in the batch is in the error and in its text."""
    invalid = OperationInvalid("range", "too far", field="position").at(3)
    assert (invalid.code, invalid.reason, invalid.field, invalid.index) == ("range", "too far", "position", 3)
    assert str(invalid) == "operation 3: position: too far"
    assert str(OperationInvalid("range", "too far")) == "too far"


@pytest.mark.rule("OP18")
def test_drafts_are_values() -> None:
    """Two that say the same are equal, and none can be changed."""
    draft = OperationDraft(OperationType.DELETE, ("body", 1), length=2)
    assert draft == OperationDraft.from_json({"type": "delete", "position": ["body", 1], "length": 2})
    with pytest.raises(AttributeError):
        draft.length = 3  # type: ignore[misc]  # that is the point
