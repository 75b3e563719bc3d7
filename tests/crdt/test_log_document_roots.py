"""What the roots of a log's document are, as they show themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.roots import RootKind, Seen, infer_kind, shows_xml
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, deleted, embed, mark, shared_type, subdocument, text, values, write_update
from crdt.log_editor import Editor, form, insert

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
SHARED_TYPES = ("element", "xml text", "fragment", "map", "array", "nested text")


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
        formatted = first == "mark" and then in SHARED_TYPES
        assert editor.log.roots.get("r") == (RootKind.TEXT if formatted else FIRST[then][1])
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
def test_a_shared_type_with_a_format_is_in_a_text() -> None:
    """It is all that can be seen at first; taken for an array, the text would be mixed as soon as somebody typed."""
    editor = Editor()
    typed = editor.doc.get("t", type=Text)
    typed.insert_embed(0, Map({"k": 1}), {"bold": True})
    editor.told()
    typed.insert(1, "a")
    assert editor.told() == [insert("t", 1, content="a", attributes={"bold": True})]
    assert editor.log.roots == {"t": RootKind.TEXT}


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


@pytest.mark.rule("OP22")
def test_text_typed_in_one_root_is_not_taken_for_text_hidden_in_another_ones_array() -> None:
    """Found by an attack on the design of history: both became mixed for ever."""
    editor = Editor()
    body, meta = editor.doc.get("body", type=Text), editor.doc.get("meta", type=Map)
    body.insert(0, "hello")
    meta["title"] = "x"
    editor.change()
    with editor.doc.transaction():
        body.insert(0, "c")
        meta["tags"] = Array(["a"])
    assert editor.told() == [
        insert("body", 0, content="c", attributes={}),
        insert("meta", "tags", content={"$array": ["a"]}),
    ]
    assert editor.log.roots == {"body": RootKind.TEXT, "meta": RootKind.MAP}
