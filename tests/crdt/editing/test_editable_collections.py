"""Maps and arrays that are edited here and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text

from cowrite.crdt.editing.collections import EditableArray, EditableMap
from cowrite.crdt.values import InvalidValue
from crdt_editors import Editor


def a_map(editor: Editor, name: str = "map") -> EditableMap:
    document = editor.document
    return EditableMap(document, document.root(name, "map"), lambda keys: document.tell(name, keys=keys))


def an_array(editor: Editor, name: str = "array") -> EditableArray:
    document = editor.document
    return EditableArray(document, document.root(name, "array"), lambda: document.tell(name))


@pytest.mark.rule("PY6")
def test_a_map_is_a_mapping() -> None:
    """Numbers come back as they went, and what is read is a copy."""
    ana, bo = Editor(), Editor()
    ours, theirs = a_map(ana), a_map(bo)
    ours["title"] = "Notes 😀"
    ours.update(count=3, part=1.5, tags=["a", {"b": None}], done=True)
    bo.hear(ana)
    assert dict(theirs) == {"count": 3, "done": True, "part": 1.5, "tags": ["a", {"b": None}], "title": "Notes 😀"}
    assert isinstance(theirs["count"], int)
    theirs["tags"].append("x")
    assert theirs["tags"] == ["a", {"b": None}]
    del theirs["done"]
    assert theirs.pop("count") == 3
    ana.hear(bo)
    assert (sorted(ours), len(ours), "done" in ours, ours.get("done", 7)) == (["part", "tags", "title"], 3, False, 7)
    assert repr(ours).startswith("<EditableMap {'part': 1.5, ")
    for read in (lambda: ours["done"], lambda: ours.__delitem__("done")):
        with pytest.raises(KeyError, match="done"):
            read()


@pytest.mark.rule("PY6")
def test_an_array_is_a_sequence() -> None:
    ana, bo = Editor(), Editor()
    ours, theirs = an_array(ana), an_array(bo)
    ours.append(1, "two", {"three": 3})
    ours.insert(1, 1.5)
    ours.insert(0)
    bo.hear(ana)
    assert (list(theirs), theirs[-1], theirs[1:3], len(theirs)) == (
        [1, 1.5, "two", {"three": 3}],
        {"three": 3},
        [1.5, "two"],
        4,
    )
    assert "two" in theirs
    assert repr(theirs) == "<EditableArray [1, 1.5, 'two', {'three': 3}]>"
    theirs.replace(1, "one and a half")
    del theirs[0]
    del theirs[-1:]
    theirs.delete(0, 0)
    ana.hear(bo)
    assert list(ours) == ["one and a half", "two"]
    assert len(bo.updates) == 3


@pytest.mark.rule("PY6")
def test_shared_types_within() -> None:
    """They are seen as in operations, and can be put in so."""
    ana = Editor()
    ours, items = a_map(ana), an_array(ana)
    ours["list"] = {"$array": [1, {"$map": {"k": "v"}}]}
    items.append({"$text": [{"insert": "hi", "attributes": {"bold": True}}]}, {"$$ref": 1})
    assert ours["list"] == {"$array": [1, {"$map": {"k": "v"}}]}
    assert list(items) == [{"$text": [{"insert": "hi", "attributes": {"bold": True}}]}, {"$$ref": 1}]
    other: Doc[Any] = Doc()
    other.apply_update(ana.document.encode())
    theirs = other.get("map", type=Map)
    nested = theirs["list"]
    assert isinstance(nested, Array)
    assert isinstance(other.get("array", type=Array)[0], Text)
    ana.changes.clear()
    nested.append(2)
    ana.document.apply(other.get_update())
    assert ours["list"] == {"$array": [1, {"$map": {"k": "v"}}, 2]}
    assert [(change.name, change.local, change.keys) for change in ana.changes] == [("map", False, frozenset({"list"}))]


@pytest.mark.rule("PY3", "PY6")
@pytest.mark.parametrize(
    "value",
    [
        2**53,
        [{"deep": [-(2**53)]}],
        object(),
        math.nan,
        "\ud83d",
        {"$doc": "x"},
        {"$map": {"k": {"$foo": 1}}},
        {"$array": 1},
        b"x",
    ],
)
def test_what_cannot_be_a_value(value: Any) -> None:
    """An integer beyond 2^53 would come out as another one: it is refused, and not rounded."""
    ana = Editor()
    ours, items = a_map(ana), an_array(ana)
    items.append(0)
    ana.updates.clear()
    edits: list[Callable[[], None]] = [
        lambda: ours.__setitem__("k", value),
        lambda: items.append(value),
        lambda: items.append(1, value),
        lambda: items.replace(0, value),
    ]
    for edit in edits:
        with pytest.raises(InvalidValue):
            edit()
    assert (dict(ours), list(items), ana.updates) == ({}, [0], [])


@pytest.mark.rule("PY3", "PY6")
def test_places_and_keys_that_cannot_be() -> None:
    ana = Editor()
    ours, items = a_map(ana), an_array(ana)
    items.append(0, 1)
    edits: list[Callable[[], object]] = [
        lambda: items.insert(3, 1),
        lambda: items.insert(-1, 1),
        lambda: items.delete(0, 3),
        lambda: items.replace(2, 1),
        lambda: items.__delitem__(2),
        lambda: items[2],
    ]
    for edit in edits:
        with pytest.raises(IndexError):
            edit()
    with pytest.raises(ValueError, match="without a step"):
        del items[::2]
    with pytest.raises(InvalidValue, match="longer than"):
        ours["x" * 1_000_000] = 1
    with pytest.raises(InvalidValue):
        ours[1] = 1  # type: ignore[index]
    assert (dict(ours), list(items)) == ({}, [0, 1])
