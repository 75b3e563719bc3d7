"""What a commit tells: the update, its ranges, and every change as operations; and what the roots are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, shared_type, subdocument, text, values, write_update
from crdt.log_editor import Editor, form, insert


def delete(*position: str | int, length: int | None = None) -> dict[str, Any]:
    operation = {"type": "delete", "position": list(position)}
    return operation if length is None else {**operation, "length": length}


# -- shapes -------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OP5", "OP7", "OP11", "OP12")
def test_text_is_told_in_utf16_with_its_attributes() -> None:
    """Inserts say their attributes, also when they have none; deletes and formats say how far they go."""
    editor = Editor()
    body = editor.doc.get("body", type=Text)
    body.insert(0, "a😀c")
    assert editor.told() == [insert("body", 0, content="a😀c", attributes={})]
    body.insert(3, "bold", {"bold": True, "a": None})
    assert editor.told() == [insert("body", 3, content="bold", attributes={"bold": True})]
    body.format(1, 4, {"bold": None, "link": {"$ref": 1}})
    assert editor.told() == [form("body", 1, length=2, link={"$$ref": 1}), form("body", 3, bold=None, link={"$$ref": 1})]
    del body[1:5]
    assert editor.told() == [delete("body", 1, length=4)]
    body.insert(1, "\0e\u0301👩‍👩‍👧")
    assert editor.told() == [insert("body", 1, content="\0e\u0301👩‍👩‍👧", attributes={})]


@pytest.mark.rule("OP5", "OP8", "OP15")
def test_what_is_embedded_in_a_text() -> None:
    """Values and shared types count one unit; what changes below a type has its path through it."""
    editor = Editor()
    body = editor.doc.get("body", type=Text)
    body.insert(0, "a😀")
    body.insert_embed(3, {"image": 1}, {"w": 2})
    body.insert_embed(4, None, {})
    nested: Map[Any] = Map({"k": 1})
    body.insert_embed(5, nested, {})
    assert editor.told() == [
        insert("body", 0, content="a😀", attributes={}),
        insert("body", 3, content={"embed": {"image": 1}}, attributes={"w": 2}),
        insert("body", 4, content={"embed": None}, attributes={}),
        insert("body", 5, content={"embed": {"$map": {"k": 1}}}, attributes={}),
    ]
    nested["list"] = Array([1])
    body.insert(0, "zz")
    assert editor.told() == [insert("body", 0, content="zz", attributes={}), insert("body", 7, "list", content={"$array": [1]})]
    nested["list"].append("x")
    assert editor.told() == [insert("body", 7, "list", 1, content=["x"])]


@pytest.mark.rule("OP9", "OP11", "OP13", "OP14", "OP15")
def test_xml() -> None:
    """Nodes are told whole; attributes by a format of the node; null removes."""
    editor = Editor()
    tree = editor.doc.get("tree", type=XmlFragment)
    attributes: dict[str, Any] = {"level": "1", "gone": None}
    tree.children.append(XmlElement("p", attributes, [XmlText("hi")]))
    paragraph = {"$xml": "p", "attrs": {"level": "1"}, "children": [{"$xmltext": [{"insert": "hi"}], "attrs": {}}]}
    assert editor.told() == [insert("tree", 0, content=[paragraph])]
    tree.children[0].attributes["level"] = {"$a": 2}
    tree.children[0].attributes["b"] = None
    assert editor.told() == [form("tree", 0, level={"$$a": 2}, b=None)]
    del tree.children[0].attributes["level"]
    tree.children[0].children[0].insert(2, "!", {"em": True})
    tree.children[0].children[0].attributes["x"] = 1
    assert editor.told() == [
        form("tree", 0, level=None),
        insert("tree", 0, 0, 2, content="!", attributes={"em": True}),
        form("tree", 0, 0, x=1),
    ]
    tree.children.insert(0, XmlText(""))
    tree.children[1].children.append(XmlElement("br"))
    assert editor.told() == [
        insert("tree", 0, content=[{"$xmltext": [], "attrs": {}}]),
        insert("tree", 1, 1, content=[{"$xml": "br", "attrs": {}, "children": []}]),
    ]
    del tree.children[0]
    del tree.children[0].children[1]
    assert editor.told() == [delete("tree", 0, length=1), delete("tree", 0, 1, length=1)]


@pytest.mark.rule("OP13", "OP14")
def test_attributes_of_a_node_in_a_text_are_entries() -> None:
    """Its own path means formatting there."""
    editor = Editor()
    tree = editor.doc.get("tree", type=XmlFragment)
    tree.children.append(outer := XmlText("ab"))
    outer.insert_embed(1, inner := XmlText("in"))
    inner.attributes["a"] = 1
    editor.told()
    outer.format(1, 2, {"bold": True})
    inner.attributes["a"] = None
    inner.attributes["b"] = {"$c": 1}
    assert editor.told() == [
        form("tree", 0, 1, bold=True),
        delete("tree", 0, 1, "a"),
        insert("tree", 0, 1, "b", content={"$$c": 1}),
    ]


@pytest.mark.rule("OP9", "OP10", "OP11", "OP15")
def test_maps_and_arrays() -> None:
    """Entries by key, items as lists, nested types whole; what came and went in one commit is not told."""
    editor = Editor()
    entries = editor.doc.get("map", type=Map)
    items = editor.doc.get("array", type=Array)
    entries["b"] = Map({"t": Text("x")})
    entries["$a"] = b"\xff"
    items.extend([1, Array([2.5]), None])
    assert editor.told() == [
        insert("array", 0, content=[1, {"$array": [2.5]}, None]),
        insert("map", "$a", content={"$bin": "/w=="}),
        insert("map", "b", content={"$map": {"t": {"$text": [{"insert": "x"}]}}}),
    ]
    entries["b"]["t"].insert(1, "y")
    entries["c"] = 1
    del entries["c"]
    entries["$a"] = None
    del items[0:2]
    items.append(XmlFragment([XmlElement("p")]))
    assert editor.told() == [
        delete("array", 0, length=2),
        insert("array", 1, content=[{"$xml": None, "attrs": {}, "children": [{"$xml": "p", "attrs": {}, "children": []}]}]),
        insert("map", "$a", content=None),
        insert("map", "b", "t", 1, content="y", attributes={}),
    ]
    items[1].children[0].attributes["k"] = "v"
    items[1].children.append(XmlText("t"))
    del entries["b"]
    assert editor.told() == [
        insert("array", 1, 1, content=[{"$xmltext": [{"insert": "t"}], "attrs": {}}]),
        form("array", 1, 0, k="v"),
        delete("map", "b"),
    ]


@pytest.mark.rule("OP15", "OP17")
def test_what_only_other_clients_write() -> None:
    """undefined, BigInt, subdocuments, and types of XML in maps, as Yjs in a browser writes them."""
    editor = Editor()
    keyed: Callable[[str], Any] = lambda key: {"root": "map", "key": key}  # noqa: E731
    update = write_update(
        [
            block(
                1,
                0,
                values(..., **keyed("undefined")),
                b"\x28\x01\x03map\x03big\x01\x7a\x10\x00\x00\x00\x00\x00\x00\x01",
                subdocument("guid", {"autoLoad": True}, **keyed("doc")),
                shared_type("xmltext", **keyed("xml")),
                text("é", parent=(1, 3)),
                values(1, parent=(1, 3), key="lang"),
            )
        ]
    )
    change = editor.commit(update)
    assert change is not None
    assert [draft.to_json() for draft in change.operations] == [
        insert("map", "big", content=float(2**60)),
        insert("map", "doc", content={"$doc": "guid"}),
        insert("map", "undefined", content=None),
        insert("map", "xml", content={"$xmltext": [{"insert": "é"}], "attrs": {"lang": 1}}),
    ]
    change = editor.commit(write_update([block(2, 0, values("de", parent=(1, 3), key="lang2"))]))
    assert change is not None
    assert [draft.to_json() for draft in change.operations] == [form("map", "xml", lang2="de")]


@pytest.mark.rule("OP13")
def test_shared_types_in_attributes() -> None:
    """Attributes of an element and of an XML root may hold types; what changes below is told, and only what can be seen."""
    editor = Editor()
    editor.commit(
        write_update(
            [
                block(
                    1,
                    0,
                    shared_type("xmlelement", "p", root="tree"),
                    shared_type("map", parent=(1, 0), key="data"),
                    shared_type("map", root="tree", key="meta"),
                    shared_type("xmlfragment", root="tree", key="side"),
                )
            ]
        )
    )
    assert get_state(editor.log)["tree"]["attrs"] == {
        "meta": {"$map": {}},
        "side": {"$xml": None, "attrs": {}, "children": []},
    }
    updates = {
        write_update([block(2, 0, values(1, parent=(1, 1), key="k"))]): [insert("tree", 0, "data", "k", content=1)],
        write_update([block(3, 0, values(2, parent=(1, 2), key="k"))]): [insert("tree", "meta", "k", content=2)],
        write_update([block(4, 0, values(3, root="tree", key="plain"))]): [form("tree", plain=3)],
        write_update([block(5, 0, values(4, parent=(1, 3), key="hidden"))]): [],
        write_update([block(6, 0, shared_type("map", parent=(1, 3), key="hidden2"))]): [],
        write_update([block(7, 0, values(5, parent=(6, 0), key="k"))]): [],
        write_update([block(8, 0, shared_type("map", parent=(6, 0), key="deeper"))]): [],
        write_update([block(9, 0, values(5, parent=(8, 0), key="k"))]): [],
        write_update([block(10, 0, shared_type("map", parent=(1, 1), key="m"))]): [
            insert("tree", 0, "data", "m", content={"$map": {}})
        ],
        write_update([block(11, 0, values(6, parent=(10, 0), key="k"))]): [insert("tree", 0, "data", "m", "k", content=6)],
    }
    for update, operations in updates.items():
        change = editor.commit(update)
        assert change is not None
        assert [draft.to_json() for draft in change.operations] == operations


# -- commits ------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OP3")
def test_many_updates_are_one_change() -> None:
    """One update, one list of operations, the ranges that are new; a repeat is no change, nor is nothing."""
    editor = Editor()
    body = editor.doc.get("body", type=Text)
    for character in "abc":
        body.insert(len(body), character)
    first = list(editor._updates)
    change = editor.change()
    assert change is not None
    assert [draft.to_json() for draft in change.operations] == [insert("body", 0, content="abc", attributes={})]
    assert change.ranges == (ClockRange(editor.doc.client_id, 0, 3),)
    assert change.ranges == inspect(change.update).brings
    assert editor.commit(*first) is None
    assert editor.commit(change.update) is None
    assert editor.log.commit([], []) is None
    assert editor.log.commit([b"\0\0"], [inspect(b"\0\0")]) is None
    body.insert(3, "d")
    again = editor.commit(editor.doc.get_update())
    assert again is not None
    assert again.ranges == (ClockRange(editor.doc.client_id, 3, 4),)
    assert editor.log.state == {editor.doc.client_id: 4}


@pytest.mark.rule("OP3")
def test_a_deletion_alone_is_a_change_without_ranges() -> None:
    """It brings no structs; and repeated it is none."""
    editor = Editor()
    body = editor.doc.get("body", type=Text)
    body.insert(0, "abc")
    editor.change()
    del body[0:1]
    update = editor._updates[0]
    change = editor.change()
    assert change is not None
    assert change.ranges == ()
    assert [draft.to_json() for draft in change.operations] == [delete("body", 0, length=1)]
    assert editor.commit(update) is None


@pytest.mark.rule("OP6")
def test_operations_come_in_one_order() -> None:
    """Roots by name; in a root parents before children, siblings from left to right, list and text before attributes."""
    editor = Editor()
    for name in ("b", "a"):
        tree = editor.doc.get(name, type=XmlFragment)
        for _ in range(12):
            tree.children.append(XmlElement("p", {}, [XmlText("x")]))
    editor.change()
    with editor.doc.transaction():
        for name in ("b", "a"):
            children = editor.doc.get(name, type=XmlFragment).children
            for index in reversed(range(12)):
                children[index].attributes["z"] = children[index].attributes["a"] = 1
                children[index].children[0].insert(0, "y")
    expected = []
    for name in ("a", "b"):
        expected += [form(name, index, a=1, z=1) for index in range(12)]
        expected += [insert(name, index, 0, 0, content="y", attributes={}) for index in range(12)]
    told = editor.told()
    assert told == expected
    assert [list(operation.get("attributes", {})) for operation in told[:2]] == [["a", "z"]] * 2


@pytest.mark.rule("OP4")
def test_what_the_engine_cannot_take_is_a_fault() -> None:
    """The document is unusable, and says so every time."""
    log = LogDocument.empty()
    with pytest.raises(EngineFault):
        log.commit([b"\x01\x02\x03"], [inspect(b"\0\0")])
    assert not log.usable
    with pytest.raises(EngineFault, match="unusable"):
        log.commit([b"\0\0"], [inspect(b"\0\0")])
    with pytest.raises(EngineFault, match="unusable"):
        get_state(log)
