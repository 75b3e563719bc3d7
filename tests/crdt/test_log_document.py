"""What a commit tells: the update, its ranges, and every change as operations; and what the roots are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind, Seen, infer_kind, shows_xml
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.model import Model
from cowrite.testing.yjs_writer import block, deleted, embed, mark, shared_type, subdocument, text, values, write_update


class Editor:
    """A Yjs client whose edits go into a log; a model follows."""

    def __init__(self) -> None:
        self.doc = utf16_document()
        self.log = LogDocument.empty()
        self.model = Model()
        self._updates: list[bytes] = []
        updates = self._updates
        self.doc.observe(lambda event: updates.append(event.update))

    def change(self) -> Change | None:
        """Commit what was edited since the last time."""
        updates = list(self._updates)
        self._updates.clear()
        return self.commit(*updates)

    def commit(self, *updates: bytes) -> Change | None:
        change = self.log.commit(updates, [inspect(update) for update in updates])
        for draft in change.operations if change is not None else ():
            self.model.apply(draft.to_json())
        assert self.model.state == get_state(self.log)
        return change

    def told(self) -> list[dict[str, Any]]:
        """The operations of what was edited since the last time."""
        change = self.change()
        return [draft.to_json() for draft in change.operations] if change is not None else []


def insert(*position: str | int, content: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": "insert", "position": list(position), "content": content, **attributes}


def delete(*position: str | int, length: int | None = None) -> dict[str, Any]:
    operation = {"type": "delete", "position": list(position)}
    return operation if length is None else {**operation, "length": length}


def form(*position: str | int, length: int = 1, **attributes: Any) -> dict[str, Any]:
    return {"type": "format", "position": list(position), "length": length, "attributes": attributes}


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


# -- roots --------------------------------------------------------------------------------------------------------------------

FIRST = {
    "text": (text("a", root="r"), RootKind.TEXT),
    "embed": (embed({"i": 1}, root="r"), RootKind.TEXT),
    "element": (shared_type("xmlelement", "p", root="r"), RootKind.XML),
    "xml text": (shared_type("xmltext", root="r"), RootKind.XML),
    "fragment": (shared_type("xmlfragment", root="r"), RootKind.ARRAY),
    "map": (shared_type("map", root="r"), RootKind.ARRAY),
    "array": (shared_type("array", root="r"), RootKind.ARRAY),
    "nested text": (shared_type("text", root="r"), RootKind.ARRAY),
    "value": (values(None, root="r"), RootKind.ARRAY),
    "subdocument": (subdocument("g", {}, root="r"), RootKind.ARRAY),
    "entry": (values(1, root="r", key="k"), RootKind.MAP),
    "mark": (mark("b", True, root="r"), None),
    "deleted": (deleted(2, root="r"), None),
    "deleted entry": (deleted(1, root="r", key="k"), None),
}


@pytest.mark.rule("OP19", "OP20")
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("then", FIRST)
def test_the_kind_is_what_shows_first(first: str, then: str) -> None:
    """Whatever comes first, and whatever comes then while nothing shows yet; the operations tell all that is there."""
    editor = Editor()
    editor.commit(write_update([block(1, 0, FIRST[first][0])]))
    kind = FIRST[first][1]
    assert editor.log.roots.get("r") == kind
    if kind is None:
        again = LogDocument.from_state(editor.log.encode(), editor.log.roots)
        assert again.roots == {}
        editor.commit(write_update([block(2, 0, FIRST[then][0])]))
        assert editor.log.roots.get("r") == FIRST[then][1]
        copy = LogDocument.from_state(editor.log.encode())
        assert copy.roots == editor.log.roots
        assert get_state(copy) == get_state(editor.log)


@pytest.mark.rule("OP19", "OP20")
@pytest.mark.parametrize("kind", ["text", "map", "array", "xml"])
def test_a_root_that_shows_something_only_later_goes_on_as_every_other(kind: str) -> None:
    """Its first content was gone before it was committed; what came later has only an origin, and is told none the less."""
    editor = Editor()
    edits: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "text": (Text, lambda root: root.insert(len(root), "😀")),
        "map": (Map, lambda root: root.update({"k": len(root)})),
        "array": (Array, lambda root: root.append(1)),
        "xml": (XmlFragment, lambda root: root.children.append(XmlElement("p", {}, [XmlText("t")]))),
    }
    cls, edit = edits[kind]
    root = editor.doc.get("root", type=cls)
    edit(root)
    if kind == "map":
        del root["k"]
    elif kind == "xml":
        del root.children[0]
    else:
        del root[0 : len(root)]
    assert editor.told() == []
    assert editor.log.roots == {}
    for _ in range(2):
        edit(root)
        assert editor.told()
    assert editor.log.roots == {"root": kind}


@pytest.mark.rule("OP19")
def test_text_decides_before_all_else() -> None:
    """A text may begin with a type, and have entries: when text shows in the same commit it is a text."""
    editor = Editor()
    first = [values(1, root="r", key="k"), shared_type("map", root="r")]
    update = write_update([block(1, 0, *first, text("a", origin=(1, 1)), mark("b", 1, origin=(1, 2)))])
    change = editor.commit(update)
    assert change is not None
    assert [draft.to_json() for draft in change.operations] == [
        insert("r", 0, content={"embed": {"$map": {}}}, attributes={}),
        insert("r", 1, content="a", attributes={}),
    ]
    assert inspect(update).roots == {"r": RootKind.ARRAY}, "the guess was another one"
    assert editor.commit(write_update([block(2, 0, text("b", origin=(1, 2)))])) is not None


@pytest.mark.rule("OP19")
def test_an_xml_root_with_attributes() -> None:
    """Its attributes are told by a format on its name."""
    editor = Editor()
    update = write_update([block(1, 0, values("ltr", root="r", key="dir"), shared_type("xmltext", root="r"))])
    change = editor.commit(update)
    assert change is not None
    assert [draft.to_json() for draft in change.operations] == [
        insert("r", 0, content=[{"$xmltext": [], "attrs": {}}]),
        form("r", dir="ltr"),
    ]
    assert editor.log.roots == {"r": RootKind.XML}


@pytest.mark.rule("OP19")
def test_inference() -> None:
    """The kind of every mixture, and the same answer for the JSON of its items."""
    assert infer_kind([Seen.ITEM, Seen.NODE, Seen.TEXT], keyed=True) is RootKind.TEXT
    assert infer_kind([Seen.NODE, Seen.ITEM], keyed=False) is RootKind.ARRAY
    assert infer_kind([Seen.FRAGMENT, Seen.NODE], keyed=True) is RootKind.XML
    assert infer_kind([Seen.FRAGMENT], keyed=False) is RootKind.ARRAY
    assert infer_kind([], keyed=True) is RootKind.MAP
    assert infer_kind([], keyed=False) is None
    fragment, element, string = ({"$xml": None}, {"$xml": "p"}, {"$xmltext": "delta"})
    items: list[Any]
    for items in ([element], [string], [fragment, string]):
        assert shows_xml(items)
    for items in ([fragment], [element, 1], [element, {"$map": {}}]):
        assert not shows_xml(items)


@pytest.mark.rule("OP2")
def test_many_roots_and_replicas_of_the_log() -> None:
    """A log that is replayed entry by entry, and one that goes on from a checkpoint, tell the same."""
    doc: Doc[Any] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    for number in range(8):
        doc.get(f"text {number}", type=Text).insert(0, "é😀")
        doc.get(f"map {number}", type=Map)["k"] = Array([number])
        doc.get(f"map {number}", type=Map)["k"].append(1)
    log, whole = LogDocument.empty(), LogDocument.empty()
    for update in updates:
        log = LogDocument.from_state(log.encode(), log.roots)
        told = log.commit([update], [inspect(update)])
        assert told == whole.commit([update], [inspect(update)])
    assert (log.roots, get_state(log)) == (whole.roots, get_state(whole))
    assert len(log.roots) == 16
