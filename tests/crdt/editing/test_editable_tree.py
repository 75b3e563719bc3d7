"""The tree of a rich text editor, edited here and elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, XmlElement, XmlFragment, XmlText

from cowrite.crdt.editing.text import EditableText, Gone
from cowrite.crdt.editing.tree import EditableTree
from cowrite.crdt.values import InvalidValue
from crdt_editors import Editor

LIST = {
    "$xml": "bulletList",
    "children": [{"$xml": "listItem", "children": [{"$xml": "paragraph", "children": [{"$xmltext": [{"insert": "deep"}]}]}]}],
}


EMPTY = {"$xml": "paragraph", "attrs": {}, "children": []}


def a_tree(editor: Editor) -> EditableTree:
    document = editor.document
    return EditableTree(document, document.root("doc", "xml_fragment"), lambda: document.tell("doc"))


def remove_first(editor: Editor, node: Any) -> None:
    editor.document.write(lambda txn: node.remove_range(txn, 0, 1))


def paragraph(text: str) -> dict[str, Any]:
    return {"$xml": "paragraph", "attrs": {}, "children": [{"$xmltext": [{"insert": text}] if text else [], "attrs": {}}]}


@pytest.mark.rule("PY7")
def test_paragraphs() -> None:
    """What is inserted is what editors write; its text can be gone on with."""
    ana, bo = Editor(), Editor()
    ours, theirs = a_tree(ana), a_tree(bo)
    text = ours.insert_text(EditableText, 0, "paragraph", "Hello", None)
    text.append(" 😀!")
    text.format(0, 5, {"bold": {}})
    empty = ours.insert_text(EditableText, 0, "heading", "", {"level": 1})
    empty.insert(0, "Title")
    ours.insert_node(2, LIST)
    bo.hear(ana)
    assert theirs.nodes() == ours.nodes()
    assert [node["$xml"] for node in theirs.nodes()] == ["heading", "paragraph", "bulletList"]
    assert theirs.nodes()[0] == {
        "$xml": "heading",
        "attrs": {"level": 1},
        "children": [{"$xmltext": [{"insert": "Title"}], "attrs": {}}],
    }
    assert [str(theirs.text_in(EditableText, index)) for index in range(3)] == ["Title", "Hello 😀!", "deep"]
    assert [(index, str(text)) for index, text in theirs.texts_in(EditableText)] == [
        (0, "Title"),
        (1, "Hello 😀!"),
        (2, "deep"),
    ]
    theirs.delete(0, 1)
    theirs.delete(1, 1)
    assert len(theirs) == 2
    assert [change.name for change in ana.changes] == ["doc"] * 6


@pytest.mark.rule("PY7")
def test_a_text_whose_paragraph_is_deleted() -> None:
    """It is empty from then on, its anchors are at its beginning, and writing into it says so."""
    ana, bo = Editor(), Editor()
    ours, theirs = a_tree(ana), a_tree(bo)
    for deep, only_the_text in ((paragraph("one two"), False), (LIST, False), (paragraph("one two"), True)):
        ours.insert_node(0, deep)
        text = ours.text_in(EditableText, 0)
        anchor = text.anchor(3)
        bo.hear(ana)
        if only_the_text:
            parent = theirs.text_in(EditableText, 0)._handle.parent()
            remove_first(bo, parent)
        else:
            theirs.delete(0, 1)
        ana.hear(bo)
        assert (str(text), len(text), anchor.index, text.delta()) == ("", 0, 0, [])
        for place in (0, anchor):
            with pytest.raises(Gone, match="deleted by somebody else"):
                text.insert(place, "x")
        with pytest.raises(IndexError):
            text.delete(0, 1)
        bo.hear(ana)
        assert theirs.nodes() == ours.nodes() == [EMPTY][:only_the_text]
    ours.insert_node(0, paragraph("still"))
    text = ours.text_in(EditableText, 0)
    ana.document.close()
    assert str(text) == "still"


@pytest.mark.rule("PY4", "PY7")
def test_a_replacement_in_a_tree() -> None:
    """One edit: nothing is read of the tree in the middle of it."""
    ana = Editor()
    text = a_tree(ana).insert_text(EditableText, 0, "paragraph", "one 😀 two", None)
    text.replace(4, 5, "and")
    assert str(text) == "one and two"


@pytest.mark.rule("PY7")
def test_what_others_wrote() -> None:
    """Texts are found at any depth, and text alone at the top."""
    other: Doc[Any] = Doc()
    fragment = other.get("doc", type=XmlFragment)
    fragment.children.append(XmlElement("rule"))
    fragment.children.append(XmlText("top"))
    ana = Editor()
    tree = a_tree(ana)
    ana.document.apply(other.get_update())
    assert str(tree.text_in(EditableText, 1)) == "top"
    with pytest.raises(LookupError, match="no text in node 0"):
        tree.text_in(EditableText, 0)


@pytest.mark.rule("PY3", "PY7")
def test_what_cannot_be_in_a_tree() -> None:
    ana = Editor()
    tree = a_tree(ana)
    tree.insert_node(0, paragraph("one"))
    ana.updates.clear()
    places: list[Callable[[], object]] = [
        lambda: tree.insert_node(2, LIST),
        lambda: tree.delete(0, 2),
        lambda: tree.delete(-1, 1),
        lambda: tree.text_in(EditableText, 1),
    ]
    for edit in places:
        with pytest.raises(IndexError):
            edit()
    half = {"$xml": "paragraph", "children": [{"$xmltext": [{"insert": "fine"}]}, {"$xml": "b", "attrs": {"n": 2**60}}]}
    nodes: list[Any] = ["text", 1, half]
    for node in (*nodes, {"$map": {}}, {"$xml": "p", "children": [1]}, {"$xml": None}, {"$xml": "p", "kids": []}):
        with pytest.raises(InvalidValue):
            tree.insert_node(0, node)
    assert (tree.nodes(), ana.updates) == ([paragraph("one")], [])


@pytest.mark.rule("PY2", "PY7")
def test_selections_in_a_tree() -> None:
    """A character is named by its id, whatever is formatted or deleted before it; the beginning, by the text."""
    ana, bo = Editor(), Editor()
    tree = a_tree(ana)
    tree.insert_node(0, LIST)
    first = tree.insert_text(EditableText, 0, "paragraph", "one", None)
    ((_, same), (_, deep)) = tree.texts_in(EditableText)
    here = ana.document.client_id
    empty = tree.insert_text(EditableText, 1, "paragraph", "", None)
    assert empty.selection(0, 0)["head"].keys() == {"type", "assoc"}
    start = first.selection(0, 0)["head"]["type"]["clock"]
    assert start < first.selection(3, 3)["head"]["item"]["clock"]
    assert same.selection(3, 3) == first.selection(first.anchor(3), 3)
    before = first.selection(0, 3)
    assert before["head"]["item"]["client"] == here
    bo.hear(ana)
    theirs = a_tree(bo).text_in(EditableText, 0)
    theirs.insert(0, "😀 ")
    theirs.format(0, 4, {"bold": {}})
    theirs.delete(2, 3)
    ana.hear(bo)
    assert str(first) == "😀 ne"
    assert first.selection(0, 4) == before, "the same characters, where they are now"
    assert first.selection(1, 1)["head"]["item"] == {"client": bo.document.client_id, "clock": 1}
    assert deep.selection(4, 4)["head"]["item"]["client"] == here
    tree.delete(2, 3)  # the list
    with pytest.raises(Gone):
        deep.selection(0, 0)
    with pytest.raises(IndexError):
        first.selection(0, 5)
    remove_first(ana, tree._handle)
    with pytest.raises(IndexError):
        first.selection(0, 4)  # it is empty
    with pytest.raises(Gone):
        first.selection(0, 0)
    assert not ana.document.closed


@pytest.mark.rule("PY2", "PY7")
def test_selections_are_those_of_editors() -> None:
    """Relative positions, as Yjs writes them."""
    ana = Editor()
    assert ana.text.selection(0, 0)["head"] == {"tname": "body", "assoc": -1}
    ana.text.append("a😀b")
    client = ana.document.client_id
    assert ana.text.selection(ana.text.anchor(2), 3) == {
        "anchor": {"item": {"client": client, "clock": 2}, "assoc": -1},
        "head": {"item": {"client": client, "clock": 3}, "assoc": -1},
    }
    with pytest.raises(IndexError):
        ana.text.selection(0, 4)
