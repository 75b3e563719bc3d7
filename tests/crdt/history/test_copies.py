"""What comes back stays credited to who wrote it: each kind of content, and where nobody is given credit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.history.attribution import Authored
from cowrite.crdt.history.copies import Copy, copies_of_undo
from cowrite.crdt.history.restoring import restore, undo_of
from cowrite.crdt.history.scratch import Scratch
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.yjs_writer import binary, block, embed, shared_type, subdocument, text, values, write_update
from crdt.history.recorded import RecordedLog
from crdt.history.test_restoring import credits_of
from crdt.random_edits import commit

pytestmark = pytest.mark.rule("RS7")

Edit = Callable[[Doc[Any]], None]


def recorded(*edits: Edit) -> RecordedLog:
    """Each edit is an entry, made by a Yjs client of its own that has seen all before."""
    log = RecordedLog()
    for number, edit in enumerate(edits, 1):
        doc = utf16_document(number)
        doc.apply_update(log.document.encode())
        with doc.transaction():
            edit(doc)
        log.commit([doc.get_update(rebuild_at(None, {}, log.updates)._engine.get_state())])
    return log


def write_text(doc: Doc[Any]) -> None:
    typed = doc.get("t", type=Text)
    typed.insert(0, "hello 😀 world")
    typed.insert_embed(3, {"image": 1})
    typed.insert(6, "bold", {"b": True})


def delete_text(doc: Doc[Any]) -> None:
    del doc.get("t", type=Text)[2:13]


def write_nodes(doc: Doc[Any]) -> None:
    inner = XmlElement("em", {}, [XmlText("c")])
    doc.get("x", type=XmlFragment).children.append(XmlElement("p", {"a": "1"}, [XmlText("ab"), inner]))


def type_in_nodes(doc: Doc[Any]) -> None:
    node = doc.get("x", type=XmlFragment).children[0]
    node.children[0].insert(1, "typed")
    node.attributes["b"] = "2"


def delete_nodes(doc: Doc[Any]) -> None:
    del doc.get("x", type=XmlFragment).children[0]


def write_entries(doc: Doc[Any]) -> None:
    entries = doc.get("m", type=Map)
    entries["plain"] = 1
    entries["nested"] = Map({"k": 1, "list": Array([1, 2, b"x"]), "text": Text("abc")})


def change_entries(doc: Doc[Any]) -> None:
    entries = doc.get("m", type=Map)
    entries["plain"] = 2
    entries["plain"] = 3
    del entries["nested"]


def write_items(doc: Doc[Any]) -> None:
    doc.get("a", type=Array).extend([1, 2, b"bytes", Map({"k": Text("t")}), 3, "four"])


def delete_items(doc: Doc[Any]) -> None:
    del doc.get("a", type=Array)[1:5]


def write_nested(doc: Doc[Any]) -> None:
    doc.get("t", type=Text).insert_embed(0, Map({"in": Array(["a", "b"])}))
    doc.get("m", type=Map).update({"k": Array([1, 2, 3]), "plain": 1})
    doc.get("x", type=XmlFragment).children.append(XmlElement("p", {"a": "1"}, [XmlText("ab")]))


def delete_nested(doc: Doc[Any]) -> None:
    del doc.get("t", type=Text).diff()[0][0]["in"][0]
    del doc.get("m", type=Map)["k"][1]
    node = doc.get("x", type=XmlFragment).children[0]
    node.attributes["a"] = "2"
    del node.children[0][1:2]


def delete_words(doc: Doc[Any]) -> None:
    del doc.get("t", type=Text)[0:2]
    del doc.get("t", type=Text)[3:5]


HISTORIES = {
    "words": (write_text, delete_words),
    "nested": (write_nested, delete_nested),
    "text": (write_text, delete_text),
    "nodes": (write_nodes, type_in_nodes, delete_nodes),
    "entries": (write_entries, change_entries),
    "items": (write_items, delete_items),
}


@pytest.mark.parametrize("edits", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("way", ["restore", "undo"])
def test_all_of_it_is_theirs_again(edits: Sequence[Edit], way: str) -> None:
    log = recorded(*edits)
    before = rebuild_at(None, {}, log.updates[:-1])
    head = log.document
    if way == "restore":
        update = (result := restore(before.encode(), head.roots, head.encode(), None, get_state(before))).update
    else:
        update = (result := undo_of(before.encode(), head.roots, [(log.updates[-1], True)], head.encode())).update  # type: ignore[assignment]
    assert update is not None
    attribution = log.attribution
    change = commit(head, [update])
    assert change is not None
    attribution.append([Authored(len(log.updates) + 1, "r", 0, change.ranges, result.copies)])
    assert get_state(head) == get_state(before)
    assert credits_of(head, attribution) == credits_of(before, log.attribution)


def test_what_a_person_wrote_themselves_does_not_come_back() -> None:
    """In a paragraph that they deleted they had typed before: the rest of it comes back, and is credited."""
    log = recorded(write_nodes, type_in_nodes, delete_nodes)
    first = rebuild_at(None, {}, log.updates[:1])
    result = undo_of(first.encode(), log.document.roots, [(update, True) for update in log.updates[1:]], log.document.encode())
    assert result.update is not None
    attribution = log.attribution
    change = commit(log.document, [result.update])
    assert change is not None
    attribution.append([Authored(4, "r", 0, change.ranges, result.copies)])
    assert get_state(log.document) == get_state(first)
    assert credits_of(log.document, attribution) == credits_of(first, log.attribution)


# -- where nobody is given credit: written by hand, 9 is who brought something back --------------------------------------------

ALL_OF_1 = [ClockRange(1, 0, 100)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (text("abc", root="r"), text("abc", root="r", right=(1, 0))),
        (values(1, 2, root="r"), values(1, 2, root="r", right=(1, 0))),
        (binary(b"x", root="r"), binary(b"x", root="r", right=(1, 0))),
        (embed({"e": 1}, root="r"), embed({"e": 1}, root="r", right=(1, 0))),
        (subdocument("g", {}, root="r"), subdocument("g", {}, root="r", right=(1, 0))),
        (shared_type("xmlelement", "p", root="r"), shared_type("xmlelement", "p", root="r", right=(1, 0))),
    ],
    ids=["text", "values", "bytes", "embed", "subdocument", "type"],
)
def test_each_kind_of_content(old: bytes, new: bytes) -> None:
    length = 3 if old[0] & 31 == 4 else 2 if old[0] & 31 == 8 else 1
    gone = [(0, length)]
    kept = Scratch(write_update([block(1, 0, old)]), {"r": RootKind.TEXT}, client_id=9)
    kept.apply([write_update([], {1: gone}), write_update([block(9, 0, new)])], tracked=False)
    assert copies_of_undo(kept, [], ALL_OF_1) == ((9, 0, length, 1, 0),)
    assert copies_of_undo(kept, [], []) == ()
    assert copies_of_undo(kept, ALL_OF_1, ALL_OF_1) == ()


@pytest.mark.parametrize(
    ("new", "deleted", "found"),
    [
        (text("abd", root="r", right=(1, 0)), ALL_OF_1, ()),
        (text("abcdefg", root="r", right=(1, 0)), ALL_OF_1, ()),
        (text("ab", root="r", right=(1, 0)), ALL_OF_1, ((9, 0, 2, 1, 0),)),
        (text("abcXY", root="r", right=(1, 0)), [ClockRange(1, 0, 3)], ()),
        (text("bc", root="r", right=(1, 0)), [ClockRange(1, 1, 3)], ()),
        (values(1, root="r", right=(1, 0)), ALL_OF_1, ()),
        (text("ef", origin=(1, 5)), ALL_OF_1, ()),
        (text("de", origin=(1, 2), right=(1, 3)), [ClockRange(1, 3, 4), ClockRange(1, 4, 5)], ((9, 0, 2, 1, 3),)),
        (text("bcde", origin=(1, 0), right=(1, 1)), [ClockRange(1, 1, 3), ClockRange(1, 4, 6)], ()),
        (text("cd", origin=(1, 1), right=(1, 2)), [ClockRange(1, 0, 3), ClockRange(1, 3, 4)], ((9, 0, 2, 1, 2),)),
    ],
    ids=["other", "longer", "shorter", "partly theirs", "beside", "kind", "behind", "two", "with a gap", "two deletions"],
)
def test_what_stands_before_a_deleted_run(new: bytes, deleted: list[ClockRange], found: Sequence[Copy]) -> None:
    scratch = Scratch(write_update([block(1, 0, text("abcdef", root="r"))]), {"r": RootKind.TEXT}, client_id=9)
    scratch.apply([write_update([], {1: [(0, 6)]}), write_update([block(9, 0, new)])], tracked=False)
    assert copies_of_undo(scratch, [], deleted) == found


def test_a_run_that_was_written_at_two_times() -> None:
    state = [block(2, 0, text("z", root="r")), block(1, 0, text("abc", root="r", right=(2, 0)), text("de", origin=(1, 2)))]
    scratch = Scratch(write_update(state), {"r": RootKind.TEXT}, client_id=9)
    again = write_update([block(9, 0, text("abcde", root="r", right=(1, 0)))])
    scratch.apply([write_update([], {1: [(0, 5)]}), again], tracked=False)
    assert copies_of_undo(scratch, [], ALL_OF_1) == ((9, 0, 5, 1, 0),)


def test_runs_of_two_people_are_not_one() -> None:
    """Also when the same stands before them as they hold together: which part of it is whose is not told."""
    state = [block(2, 0, text("cd", root="r")), block(1, 0, text("ab", root="r", right=(2, 0)))]
    scratch = Scratch(write_update(state), {"r": RootKind.TEXT}, client_id=9)
    again = write_update([block(9, 0, text("abcd", root="r", right=(1, 0)))])
    scratch.apply([write_update([], {1: [(0, 2)], 2: [(0, 2)]}), again], tracked=False)
    assert copies_of_undo(scratch, [], [ClockRange(1, 0, 2), ClockRange(2, 0, 2)]) == ()


def test_a_type_that_came_back_with_something_else_in_it() -> None:
    """The type itself is theirs, as it stands where it stood; what is in it is nobody's."""
    scratch = Scratch(write_update([block(1, 0, shared_type("map", root="r"), text("ab", root="q"))]), {}, client_id=9)
    structs = [values(1, parent=(1, 0), key="k"), values(2, parent=(1, 0), key="gone")]
    again = [values(7, parent=(9, 0), key="k"), values(3, parent=(9, 0), key="new"), values(2, parent=(9, 0), key="gone")]
    scratch.apply(
        [
            write_update([block(1, 3, *structs)]),
            write_update([], {1: [(0, 1), (3, 2)]}),
            write_update([block(9, 0, shared_type("map", root="r", right=(1, 0)), *again)], {9: [(3, 1)]}),
        ],
        tracked=False,
    )
    assert copies_of_undo(scratch, [], ALL_OF_1) == ((9, 0, 1, 1, 0),)
