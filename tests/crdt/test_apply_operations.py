"""Operations of a client without Yjs become the update that a Yjs replica would have made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.apply_operations import Replica, apply_operations
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft, OperationInvalid, OperationType
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.model import Model
from cowrite.testing.yjs_writer import block, shared_type, values, write_update


def base() -> LogDocument:
    """A document with something of every sort, and a root that is mixed."""
    doc = utf16_document(1)
    text = doc.get("text", type=Text)
    text.insert(0, "a😀", {"bold": True})
    text.insert(3, "c", {})
    text.insert_embed(4, {"image": 1}, {"w": 1})
    text.insert_embed(5, Map({"k": 1}), {})
    tree = doc.get("xml", type=XmlFragment)
    tree.children.append(XmlElement("p", {"level": "1"}, [rich := XmlText("hi")]))
    rich.format(0, 1, {"em": True})
    rich.insert_embed(2, XmlElement("img", {"src": "x"}))
    tree.children.append(XmlText("plain"))
    entries = doc.get("map", type=Map)
    entries["k"] = 1
    entries["m"] = Map({"t": Text("in")})
    entries["f"] = XmlFragment([XmlElement("q")])
    items = doc.get("array", type=Array)
    items.extend([1, Map({}), XmlFragment([XmlElement("li")])])
    document = LogDocument.empty()
    for update in (
        doc.get_update(),
        write_update([block(2, 0, shared_type("xmlelement", "p", root="mixed"))]),
        write_update([block(3, 0, values(1, root="mixed"))]),
        write_update([block(4, 0, values("ltr", root="xml", key="dir"), shared_type("map", root="xml", key="meta"))]),
    ):
        document.commit([update], [inspect(update)])
    assert document.roots["mixed"] is RootKind.MIXED
    return document


def drafts(*operations: dict[str, Any]) -> list[OperationDraft]:
    return [OperationDraft.from_json(operation) for operation in operations]


def insert(*position: str | int, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "insert", "position": list(position), "content": content, **more}


def delete(*position: str | int, length: int | None = None) -> dict[str, Any]:
    operation = {"type": "delete", "position": list(position)}
    return operation if length is None else {**operation, "length": length}


def form(*position: str | int, length: int = 1, **attributes: Any) -> dict[str, Any]:
    return {"type": "format", "position": list(position), "length": length, "attributes": attributes}


FULL_TEXT = [{"insert": "x", "attributes": {"bold": True}}, {"embed": {"$map": {"q": 1}}}, {"insert": "😀"}, {"embed": [1]}]
NODE = {"$xml": "p", "attrs": {"a": {"$$b": 1}}, "children": [{"$xmltext": FULL_TEXT, "attrs": {"x": 1}}]}

VALID: dict[str, list[dict[str, Any]]] = {
    "text inherits": [insert("text", 3, content="X"), insert("text", 0, content="Y")],
    "text with attributes": [insert("text", 3, content="X", attributes={"em": 1, "bold": None})],
    "text with none": [insert("text", 1, content="X", attributes={})],
    "xml text inherits": [insert("xml", 0, 0, 1, content="X")],
    "U+0000": [insert("text", 0, content="\0")],
    "an embed inherits": [insert("text", 1, content={"embed": {"image": 2}})],
    "an embed with attributes": [insert("text", 6, content={"embed": None}, attributes={"w": {"$$": 1}})],
    "types in a text": [
        insert("text", 6, content={"embed": {"$text": FULL_TEXT}}),
        insert("text", 0, content={"embed": {"$array": [1]}}, attributes={}),
        insert("text", 0, 0, content=["into it"]),
    ],
    "types in an xml text": [
        insert("xml", 0, 0, 0, content={"embed": NODE}),
        insert("xml", 0, 0, 0, content={"embed": {"$xmltext": FULL_TEXT, "attrs": {"x": 2}}}, attributes={}),
        insert("xml", 0, 0, 0, "x", content=3),
        insert("xml", 0, 0, 1, 0, 0, content="deep"),
    ],
    "below a type in a text": [insert("text", 5, "k2", content={"$map": {}}), delete("text", 5, "k")],
    "delete text": [delete("text", 1, length=3), delete("text", 0, length=3)],
    "format text": [form("text", 0, length=6, bold=None, link={"href": "x"}), form("text", 1, length=2, link=None)],
    "nodes": [insert("xml", 2, content=[NODE, {"$xmltext": [], "attrs": {}}]), insert("xml", 0, content=[{"$xml": "p"}])],
    "delete nodes": [delete("xml", 0, 0, length=1), delete("xml", 0, length=2)],
    "attributes": [form("xml", 0, level=2, new=[1]), form("xml", 0, level=None, gone=None), form("xml", 1, lang="de")],
    "attributes as entries": [
        insert("xml", 0, 0, 2, "alt", content="y"),
        insert("xml", 0, 0, 2, "src", content=None),
        delete("xml", 0, 0, 2, "alt"),
        insert("xml", 0, "level", content=3),
    ],
    "attributes of the root": [form("xml", dir="rtl", lang=1), form("xml", dir=None, nothing=None)],
    "below an attribute of the root": [insert("xml", "meta", "k", content=1)],
    "entries": [insert("map", "k", content={"$$x": [None]}), insert("map", "n", content=NODE["attrs"]), delete("map", "k")],
    "types in entries": [
        insert("map", "a", content={"$array": [{"$map": {"$b": {"$bin": "AA=="}}}, {"$text": FULL_TEXT}]}),
        insert("map", "a", 0, "$b", content={"$xml": None, "attrs": {}, "children": [NODE]}),
        insert("map", "a", 0, "$b", 0, 0, 1, content="X", attributes={}),
    ],
    "attributes below an entry": [form("map", "f", 0, a=1)],
    "items": [insert("array", 3, content=["e", {"$number": "-Infinity"}]), insert("array", 0, content=[{"$array": []}])],
    "delete items": [delete("array", 0, length=2), delete("array", 0, 0, length=1)],
    "new text": [insert("new", 0, content="abc"), insert("new", 3, content="d")],
    "new text with an embed": [insert("new", 0, content={"embed": {"image": 1}})],
    "new map": [insert("new", "k", content="v")],
    "new array": [insert("new", 0, content=[{"$xml": None, "attrs": {}, "children": []}])],
    "new tree": [insert("new", 0, content=[NODE])],
    "new tree by its attributes": [form("new", dir="ltr"), insert("new", 0, content=[{"$xml": "p"}])],
}


@pytest.mark.rule("OP7", "OP8", "OP9", "OP10", "OP11", "OP12", "OP13", "OP16", "OP24", "OP25", "OP27")
@pytest.mark.parametrize("name", VALID)
def test_operations_do_what_they_say(name: str) -> None:
    """The document is afterwards what the plain model says; one update was made, under the client's id."""
    document = base()
    model = Model(json.loads(json.dumps(get_state(document))))
    for operation in json.loads(json.dumps(VALID[name])):
        model.apply(operation)
    update = apply_operations(document.encode(), document.roots, drafts(*VALID[name]), client_id=77)
    assert update is not None
    outline = inspect(update)
    assert {brought.client for brought in outline.brings} <= {77}
    change = document.commit([update], [outline])
    assert change is not None
    assert json.loads(json.dumps(get_state(document))) == model.state


@pytest.mark.rule("OP24")
def test_concurrent_edits_are_left_where_they_are() -> None:
    """The update was made at an older base: it merges, and the client's own later edits are under it."""
    document = base()
    state, roots = document.encode(), document.roots
    first = apply_operations(state, roots, drafts(insert("text", 3, content="1", attributes={})), client_id=77)
    edits = drafts(delete("text", 0, length=4), insert("text", 0, content="other "))
    other = apply_operations(state, roots, edits, client_id=78)
    assert first is not None
    assert other is not None
    second = apply_operations(state, roots, drafts(insert("text", 4, content="2")), client_id=77, own_updates=[first])
    assert second is not None
    for update in (other, first, second):
        document.commit([update], [inspect(update)])
    assert get_state(document)["text"]["$text"][0] in ({"insert": "other 12"}, {"insert": "12other "})
    assert document.state[77] == 2


@pytest.mark.rule("OP24")
def test_a_replica_that_is_kept() -> None:
    """It goes on from edits of its own and of others, and learns roots with them."""
    document = base()
    replica = Replica(document.encode(), document.roots, 77)
    first = replica.apply(drafts(insert("text", 0, content="1", attributes={})))
    assert first is not None
    other = apply_operations(document.encode(), document.roots, drafts(insert("news", "k", content=1)), client_id=78)
    assert other is not None
    for update in (first, other):
        document.commit([update], [inspect(update)])
    replica.advance([other], document.roots)
    second = replica.apply(drafts(delete("news", "k"), delete("text", 0, length=1)))
    assert second is not None
    document.commit([second], [inspect(second)])
    assert get_state(document)["news"] == {"$map": {}}


@pytest.mark.rule("OP24")
def test_a_replica_that_is_made_again() -> None:
    """From the document at its base and what was made under its name since; what builds on something unseen is left out."""
    document = base()
    state, roots = document.encode(), document.roots
    replica = Replica(state, roots, 77)
    assert replica.clock == 0
    first = replica.apply(drafts(insert("text", 0, content="12", attributes={})))
    other = apply_operations(state, roots, drafts(insert("text", 0, content="other", attributes={})), client_id=78)
    assert first is not None
    assert other is not None
    replica.advance([other])
    later = replica.apply(drafts(insert("text", 3, content="x", attributes={})))
    assert later is not None
    assert replica.clock == 3
    again = Replica(state, roots, 77)
    again.advance_own([first, later])
    assert again.clock == 2, "the later one stands in what was not there at the base"
    again.advance([other])
    again.advance_own([later])
    assert again.clock == 3


@pytest.mark.rule("OP25")
@pytest.mark.parametrize(
    "operations",
    [[], [form("xml", 0, gone=None)], [insert("xml", 0, "gone", content=None)]],
    ids=["no operations", "removing what is not there", "setting it to null"],
)
def test_what_changes_nothing_makes_no_update(operations: list[dict[str, Any]]) -> None:
    """None instead of an update."""
    document = base()
    assert apply_operations(document.encode(), document.roots, drafts(*operations), client_id=77) is None


INVALID: dict[str, tuple[dict[str, Any], str, str]] = {
    "behind a text": (insert("text", 7, content="x"), "range", "position"),
    "delete behind a text": (delete("text", 5, length=2), "range", "position"),
    "format behind a text": (form("text", 7, b=1), "range", "position"),
    "inside a character": (insert("text", 2, content="x"), "surrogate", "position"),
    "half a character": (delete("text", 0, length=2), "surrogate", "position"),
    "behind an array": (insert("array", 4, content=[1]), "range", "position"),
    "delete behind nodes": (delete("xml", 1, length=2), "range", "position"),
    "attributes of two nodes": (form("xml", 0, length=2, a=1), "range", "length"),
    "attributes behind nodes": (form("xml", 2, a=1), "range", "position"),
    "no root": (delete("none", 0, length=1), "root", "position[0]"),
    "deep in no root": (insert("none", 0, 0, content="x"), "root", "position[0]"),
    "a mixed root": (insert("mixed", 0, content=[1]), "root", "position[0]"),
    "a whole root": (delete("text"), "kind", "position"),
    "attributes of a text root": (form("text", a=1), "kind", "position"),
    "delete of an xml root": (delete("xml"), "kind", "position"),
    "an entry that is not there": (delete("map", "none"), "path", "position[1]"),
    "an attribute that is not there": (delete("xml", 0, "none"), "path", "position[2]"),
    "below an entry that is not there": (insert("map", "none", "k", content=1), "path", "position[1]"),
    "below a plain entry": (insert("map", "k", "k", content=1), "path", "position[1]"),
    "below a character": (insert("text", 0, "k", content=1), "path", "position[1]"),
    "below an embedded value": (insert("text", 4, "k", content=1), "path", "position[1]"),
    "below a plain item": (insert("array", 0, "k", content=1), "path", "position[1]"),
    "below no item": (insert("array", 3, "k", content=1), "path", "position[1]"),
    "below a plain attribute": (insert("xml", 0, "level", "k", content=1), "path", "position[2]"),
    "below an entry of an array": (insert("array", "k", "k", content=1), "path", "position[1]"),
    "below an index of a map": (insert("map", 0, "k", content=1), "path", "position[1]"),
    "attributes of a plain entry": (form("map", "k", a=1), "path", "position"),
    "attributes of a map": (form("map", "m", a=1), "kind", "position"),
    "attributes of an item": (form("array", 1, a=1), "kind", "position"),
    "an entry of a text": (insert("text", "k", content=1), "kind", "position"),
    "an index of a map": (insert("map", 0, content="x"), "kind", "position"),
    "items into a text": (insert("text", 0, content=[1]), "kind", "content"),
    "text into an array": (insert("array", 0, content="x"), "kind", "content"),
    "a plain node": (insert("xml", 0, content=[1]), "value", "content[0]"),
    "an array as a node": (insert("xml", 0, content=[{"$array": []}]), "value", "content[0]"),
    "half a surrogate pair": (insert("array", 0, content=[["\ud800"]]), "value", "content[0][0]"),
    "an unknown tag": (insert("map", "k", content={"a": {"$ref": 1}}), "value", "content.a"),
    "an unknown field": (insert("map", "k", content={"$map": {}, "$more": 1}), "value", "content"),
    "a field too many": (insert("map", "k", content={"$map": {}, "more": 1}), "value", "content.more"),
    "a map that is none": (insert("map", "k", content={"$map": []}), "value", "content.$map"),
    "an array that is none": (insert("map", "k", content={"$array": 1}), "value", "content.$array"),
    "a delta that is none": (insert("map", "k", content={"$text": [{}]}), "value", "content.$text[0]"),
    "a field too many in a delta": (
        insert("map", "k", content={"$text": [{"insert": "a", "embed": 1}]}),
        "value",
        "content.$text[0].embed",
    ),
    "an element without a name": (insert("xml", 0, content=[{"$xml": 1}]), "value", "content[0].$xml"),
    "a name that is too long": (insert("xml", 0, content=[{"$xml": "p" * 1025}]), "value", "content[0].$xml"),
    "a key that is too long": (insert("map", "k" * 32_769, content=1), "value", "content"),
    "a root that is too long": (insert("r" * 1025, 0, content="x"), "value", "position[0]"),
    "attributes of a fragment": (
        insert("map", "k", content={"$xml": None, "attrs": {"a": 1}}),
        "value",
        "content.attrs",
    ),
    "bytes in a text": (insert("text", 0, content={"embed": {"$bin": ""}}), "value", "content.embed"),
    "infinity as a format": (form("text", 0, a={"$number": "Infinity"}), "value", "attributes.a"),
    "a string as an embed": (insert("text", 0, content={"embed": "abc"}), "unsupported", "content.embed"),
    "a type in an attribute": (form("xml", 0, a={"$map": {}}), "unsupported", "attributes.a"),
    "a type in an attribute of the root": (form("xml", a={"$map": {}}), "unsupported", "attributes.a"),
    "a subdocument": (insert("map", "k", content={"$doc": "g"}), "unsupported", "content"),
    "an element in an array": (insert("array", 0, content=[{"$xml": "p"}]), "unsupported", "content[0]"),
    "an element in a map": (insert("map", "k", content={"$xml": "p"}), "unsupported", "content"),
    "an xml text in a map": (insert("map", "k", content={"$xmltext": []}), "unsupported", "content"),
    "an xml text in a text": (insert("text", 0, content={"embed": {"$xmltext": []}}), "unsupported", "content.embed"),
    "an element in a text": (insert("text", 0, content={"embed": {"$xml": "p"}}), "unsupported", "content.embed"),
    "a fragment in an xml text": (insert("xml", 1, 0, content={"embed": {"$xml": None}}), "unsupported", "content.embed"),
    "a fragment as a node": (insert("xml", 0, content=[{"$xml": None}]), "unsupported", "content[0]"),
}


@pytest.mark.rule("OP18", "OP26")
@pytest.mark.parametrize("name", INVALID)
def test_what_does_not_fit_is_refused(name: str) -> None:
    """With its place in the batch, a code, the field, and a reason in words; nothing of the batch happens."""
    operation, code, field = INVALID[name]
    document = base()
    good = insert("text", 0, content="good", attributes={})
    first = insert("other", 0, content="good") if operation["position"][0] == "text" else good
    with pytest.raises(OperationInvalid) as caught:
        apply_operations(document.encode(), document.roots, drafts(first, operation, good), client_id=77)
    assert (caught.value.code, caught.value.field, caught.value.index) == (code, field, 1)
    assert caught.value.reason


@pytest.mark.rule("OP26")
def test_nesting_has_a_limit_with_its_path() -> None:
    """What is inserted counts from the place where it goes; the guard would refuse more."""
    document = LogDocument.empty()
    content: Any = {"$array": []}
    for _ in range(98):
        content = {"$array": [content]}
    update = apply_operations(document.encode(), {}, drafts(insert("r", 0, content=[content])), client_id=77)
    assert update is not None
    inspect(update)
    document.check_places(inspect(update))
    with pytest.raises(OperationInvalid, match="100 levels"):
        apply_operations(document.encode(), {}, drafts(insert("r", 0, content=[{"$array": [content]}])), client_id=77)


@pytest.mark.rule("OP26")
def test_a_text_that_counts_more_than_it_shows_takes_no_operations() -> None:
    """Its positions mean nothing: others have put values into its list."""
    document = base()
    update = write_update([block(9, 0, values(1, root="text"))])
    document.commit([update], [inspect(update)])
    for operation in (insert("text", 0, content="x"), insert("text", 5, "k", content=1)):
        with pytest.raises(OperationInvalid) as caught:
            apply_operations(document.encode(), document.roots, drafts(operation), client_id=77)
        assert caught.value.code == "kind"


@pytest.mark.rule("OP4")
def test_a_state_that_is_none_is_a_fault() -> None:
    """So is anything else that the engine cannot take."""
    with pytest.raises(EngineFault):
        apply_operations(b"\x01\x02\x03", {}, [], client_id=77)
    with pytest.raises(EngineFault, match="KeyError"):
        apply_operations(b"\0\0", {}, [OperationDraft(OperationType.INSERT, ("r", 0), {"no": "embed"})], client_id=7)


PAIR = {"$xml": "p", "children": [{"$xmltext": [{"insert": "😀"}]}]}


@pytest.mark.rule("OP24")
@pytest.mark.parametrize("moved", ["by itself", "by others", "by a pair of its own", "in another text"])
def test_a_nested_text_that_was_read_is_read_again_after_other_changes(moved: str) -> None:
    """An index inside of a character is refused though the text that was at this place before had none there."""
    document = base()
    replica = Replica(document.encode(), document.roots, 77)
    place = insert("xml", 0, 0, 1, content="bc")
    assert replica.apply(drafts(place, place, form("xml", 0, 0, 0, length=3, em=True), delete("xml", 0, 0, 1, length=1)))
    before = drafts(insert("xml", 0, content=[PAIR]))
    if moved == "by itself":
        assert replica.apply(before)
    elif moved == "by others":
        update = apply_operations(document.encode(), document.roots, before, client_id=78)
        assert update is not None
        replica.advance([update])
    elif moved == "by a pair of its own":
        assert replica.apply(drafts(insert("xml", 0, 0, 0, content="😀")))
    else:
        assert replica.apply(drafts(insert("xml", 0, content=[PAIR]), insert("xml", 1, 0, 0, content="x")))
    with pytest.raises(OperationInvalid) as invalid:
        replica.apply(drafts(insert("xml", 0, 0, 1, content="x")))
    assert (invalid.value.code, invalid.value.field) == ("surrogate", "position")


@pytest.mark.rule("OP24")
def test_a_nested_text_that_was_read_has_its_end() -> None:
    document = base()
    replica = Replica(document.encode(), document.roots, 77)
    assert replica.apply(drafts(insert("xml", 1, 5, content="12"), insert("xml", 1, 7, content="3")))
    with pytest.raises(OperationInvalid, match="index 9 is beyond the end of the text, 8"):
        replica.apply(drafts(insert("xml", 1, 9, content="x")))
