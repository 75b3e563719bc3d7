"""The document as JSON, the engine's facade, and the model that both are measured by."""

from __future__ import annotations

from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.engine import apply_operation, get_state, rebuild_at, transform_operations
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft, OperationInvalid
from cowrite.crdt.state import text
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.yjs_writer import block, values, write_update


def logged(doc: Doc[Any]) -> LogDocument:
    document = LogDocument.empty()
    update = doc.get_update()
    document.commit([update], [inspect(update)])
    return document


@pytest.mark.rule("OP1", "OP14", "OP15", "OP16")
def test_the_state_is_what_can_be_seen() -> None:
    """Each root as a tagged value, by name; neighbours with the same formatting are one piece."""
    doc = utf16_document()
    body = doc.get("body", type=Text)
    body.insert(0, "plain")
    body.insert(5, " bold", {"bold": True})
    body.insert(10, "er", {"bold": True})
    body.insert_embed(12, {"image": "x"})
    body.insert_embed(13, {"image": "y"}, {})
    body.insert(14, "end", {})
    tree = doc.get("tree", type=XmlFragment)
    attributes: dict[str, Any] = {"b": 1, "a": {"$x": 1}, "null": None}
    tree.children.append(XmlElement("p", attributes, [XmlText("t")]))
    doc.get("map", type=Map).update({"$b": 1, "a": Array([Text("in")])})
    doc.get("list", type=Array).extend([True, 2.5])
    state = get_state(logged(doc))
    assert state == {
        "body": {
            "$text": [
                {"insert": "plain"},
                {"insert": " bolder", "attributes": {"bold": True}},
                {"embed": {"image": "x"}, "attributes": {"bold": True}},
                {"embed": {"image": "y"}},
                {"insert": "end"},
            ]
        },
        "list": {"$array": [True, 2.5]},
        "map": {"$map": {"$b": 1, "a": {"$array": [{"$text": [{"insert": "in"}]}]}}},
        "tree": {
            "$xml": None,
            "attrs": {},
            "children": [
                {"$xml": "p", "attrs": {"a": {"$$x": 1}, "b": 1}, "children": [{"$xmltext": [{"insert": "t"}], "attrs": {}}]}
            ],
        },
    }
    assert list(state) == ["body", "list", "map", "tree"]
    assert list(state["tree"]["children"][0]["attrs"]) == ["a", "b"]


@pytest.mark.rule("OP1")
def test_text_alone() -> None:
    """Without formatting and embedded values; "" for a root that is no text, or is not there."""
    doc = utf16_document()
    body = doc.get("body", type=Text)
    body.insert(0, "a😀\0b", {"bold": True})
    body.insert_embed(3, {"image": "x"})
    doc.get("map", type=Map)["k"] = "v"
    document = logged(doc)
    assert text(document, "body") == "a😀\0b"
    assert text(document, "map") == text(document, "none") == ""
    assert get_state(LogDocument.empty()) == {}


@pytest.mark.rule("OP24", "OP25", "OP26")
def test_one_operation_on_the_document_as_it_is() -> None:
    """It is applied and told; one that changes nothing is None; one that does not fit leaves the document as it was."""
    document = LogDocument.empty()
    insert = OperationDraft.from_json({"type": "insert", "position": ["body", 0], "content": "abc"})
    change = apply_operation(document, insert, client_id=7)
    assert change is not None
    assert [draft.position for draft in change.operations] == [("body", 0)]
    nothing = OperationDraft.from_json({"type": "format", "position": ["tree"], "length": 1, "attributes": {"a": None}})
    assert apply_operation(document, nothing, client_id=7) is None
    wrong = OperationDraft.from_json({"type": "delete", "position": ["body", 2], "length": 2})
    with pytest.raises(OperationInvalid):
        apply_operation(document, wrong, client_id=7)
    assert text(document, "body") == "abc"
    assert transform_operations([insert], change.operations)[0].position == ("body", 3)


@pytest.mark.rule("OP2", "OP4")
def test_the_document_at_any_point_of_its_log() -> None:
    """From the beginning or from a checkpoint; an entry that is none is a fault."""
    document = LogDocument.empty()
    updates = []
    for number in range(5):
        insert = OperationDraft.from_json({"type": "insert", "position": ["body", 0], "content": str(number)})
        change = apply_operation(document, insert, client_id=7)
        assert change is not None
        updates.append(change.update)
    assert text(rebuild_at(None, {}, updates[:3]), "body") == "210"
    middle = rebuild_at(None, {}, updates[:2])
    late = rebuild_at(middle.encode(), middle.roots, updates[2:])
    assert get_state(late) == get_state(document)
    assert late.encode() == document.encode()
    with pytest.raises(EngineFault, match="entry 2 of the log cannot be read"):
        rebuild_at(None, {}, [updates[0], b"\x01\x02"])
    with pytest.raises(EngineFault, match="cannot be read"):
        rebuild_at(None, {}, [updates[0][:-4]])
    with pytest.raises(EngineFault, match="entry 2 of the log builds on something"):
        rebuild_at(None, {}, [updates[0], updates[2]])


@pytest.mark.rule("OP2")
@pytest.mark.large
def test_a_log_is_not_limited() -> None:
    """One author's run is one entry: together its updates may be more than any peer may send at once."""
    update = write_update([block(5, 0, *(values(1, root=f"{number}") for number in range(SYNC_LIMITS.roots + 1)))])
    with pytest.raises(HostileUpdate):
        inspect(update, SYNC_LIMITS)
    assert len(rebuild_at(None, {}, [update]).roots) == SYNC_LIMITS.roots + 1
