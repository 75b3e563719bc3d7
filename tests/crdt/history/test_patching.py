"""Making a root hold what it should: each kind of difference, with what has to be written and deleted for it."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

import psutil
import pytest

from cowrite.crdt.guard import inspect
from cowrite.crdt.history.patching import EMPTY, Held, Kept, Unpatchable, same
from cowrite.crdt.history.restoring import RestoreFailed, restore
from cowrite.crdt.history.scratch import Scratch
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.values import Json
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update
from crdt.history.recorded import record
from crdt.random_edits import seeds

TEXT, MAP, ARRAY, XML = RootKind.TEXT, RootKind.MAP, RootKind.ARRAY, RootKind.XML


def delta(*pieces: Any) -> Json:
    """Each piece is a string, an embedded value, or one of these with its attributes."""
    found = []
    for piece in pieces:
        content, attributes = piece if isinstance(piece, tuple) else (piece, None)
        shown = {"insert": content} if isinstance(content, str) else {"embed": content}
        found.append({**shown, **({"attributes": attributes} if attributes else {})})
    return found


def node(tag: str | None, *children: Json, **attributes: Json) -> Json:
    return {"$xml": tag, "attrs": attributes, "children": list(children)}


def xml_text(*pieces: Any, **attributes: Json) -> Json:
    return {"$xmltext": delta(*pieces), "attrs": attributes}


def patched(kind: RootKind, have: Json, want: Json) -> tuple[int, int]:
    """Patch; returns how many units had to be written and deleted."""
    first = Scratch(b"\0\0", {"r": kind})
    first.patch(["r"], {"r": have})
    assert same(first.content()["r"], have)
    scratch = Scratch(first.encode(), {"r": kind})
    updates = scratch.patch(["r"], {"r": want})
    for document in (scratch, scratch.replica()):
        assert json.dumps(document.content()["r"]) == json.dumps(want)
    if not updates:
        return 0, 0
    outline = inspect(updates[0])
    brought, deleted = (sum(end - start for _, start, end in ranges) for ranges in (outline.brings, outline.deletes))
    return brought, deleted


CASES: dict[str, tuple[RootKind, Json, Json, tuple[int, int]]] = {
    "the same": (TEXT, {"$text": delta("abc")}, {"$text": delta("abc")}, (0, 0)),
    "text in the middle": (TEXT, {"$text": delta("hello world")}, {"$text": delta("hello, 😀 world")}, (4, 0)),
    "text that goes": (TEXT, {"$text": delta("hello, world")}, {"$text": delta("hello world")}, (0, 1)),
    "other text": (TEXT, {"$text": delta("a😀b")}, {"$text": delta("a😁b")}, (2, 2)),
    "bold comes": (TEXT, {"$text": delta("abc")}, {"$text": delta("a", ("b", {"b": True}), "c")}, (2, 0)),
    "bold goes": (TEXT, {"$text": delta("a", ("b", {"b": True, "c": 1}))}, {"$text": delta("a", ("b", {"c": 1}))}, (0, 2)),
    "another link": (TEXT, {"$text": delta(("ab", {"l": 1}))}, {"$text": delta(("ab", {"l": True}))}, (2, 2)),
    "bold text": (TEXT, {"$text": delta("ad")}, {"$text": delta("a", ("bc", {"b": True}), {"i": 1}, "d")}, (5, 0)),
    "in an embedded map": (
        TEXT,
        {"$text": delta("a", {"$map": {"k": 1}}, "b")},
        {"$text": delta("a", {"$map": {"k": 2, "l": 3}}, "b")},
        (2, 1),
    ),
    "another embedded type": (TEXT, {"$text": delta("a", {"$map": {}})}, {"$text": delta("a", {"$array": []})}, (1, 1)),
    "text for an embedded value": (TEXT, {"$text": delta({"i": 1})}, {"$text": delta("i")}, (1, 1)),
    "entries": (MAP, {"$map": {"a": 1, "b": 2, "c": 3}}, {"$map": {"a": True, "c": 3, "d": None}}, (2, 2)),
    "an entry of an entry": (MAP, {"$map": {"a": {"$map": {"b": [1]}}}}, {"$map": {"a": {"$map": {"b": [2]}}}}, (1, 1)),
    "another type under a key": (MAP, {"$map": {"a": {"$map": {}}}}, {"$map": {"a": {"$text": delta("x")}}}, (2, 1)),
    "items": (ARRAY, {"$array": [1, 2, 3, 4]}, {"$array": [1, 5, 3, 6, 7, 4]}, (3, 1)),
    "fewer items": (ARRAY, {"$array": [1, 2, 3, 4, 5]}, {"$array": [1, 9, 5]}, (1, 3)),
    "more items": (ARRAY, {"$array": [1, 2]}, {"$array": [1, {"$map": {}}, 8, 2]}, (2, 0)),
    "in items": (
        ARRAY,
        {"$array": [{"$array": [1]}, 2, {"$text": delta("a")}, {"$$map": 1}]},
        {"$array": [{"$array": [1, 3]}, 2, {"$text": delta("ab")}, {"$$map": 2}]},
        (3, 1),
    ),
    "nodes": (
        XML,
        node(None, node("p", xml_text("ab"), a="1", b="2"), node("h"), gone="2", own="1"),
        node(None, node("p", xml_text("axb", ("c", {"b": True})), a="1", b=3), node("q"), own="2"),
        (8, 5),
    ),
    "in an embedded node": (
        XML,
        node(None, xml_text("a", node("p", xml_text("b"), k=1))),
        node(None, xml_text("a", node("p", xml_text("c")), t=1)),
        (2, 2),
    ),
}


@pytest.mark.rule("RS10")
@pytest.mark.parametrize(("kind", "have", "want", "cost"), CASES.values(), ids=CASES)
def test_what_is_right_stays(kind: RootKind, have: Json, want: Json, cost: tuple[int, int]) -> None:
    assert patched(kind, have, want) == cost
    patched(kind, want, have)
    patched(kind, EMPTY[kind], want)
    patched(kind, want, EMPTY[kind])


@pytest.mark.rule("RS10")
def test_a_shared_type_in_an_attribute() -> None:
    """The engine cannot write one there, but mend it."""
    structs = [shared_type("xmlelement", "p", root="r"), shared_type("array", parent=(1, 0), key="k"), values(1, parent=(1, 1))]
    state = write_update([block(1, 0, *structs)])
    target = {"r": node(None, node("p", k={"$array": [1, 2]}))}
    result = restore(state, {"r": XML}, state, None, target)
    assert result.update is not None
    scratch = Scratch(state, {"r": XML})
    scratch.apply([result.update], tracked=False)
    assert scratch.content() == target


@pytest.mark.fuzz
@pytest.mark.rule("RS10")
@pytest.mark.parametrize("root", ["text", "xml", "map", "array"])
def test_any_state_can_be_patched_to_any_other(root: str) -> None:
    """As far as the engine can write it."""
    done = 0
    for seed in seeds(25):
        log, other = record(seed, [root]).document, record(seed + 1000, [root]).document
        if root in log.roots.keys() & other.roots.keys():
            have, want = get_state(log), get_state(other)
            with suppress(RestoreFailed) if "$xml" in json.dumps(want) else nullcontext():
                result = restore(log.encode(), log.roots, log.encode(), None, want)
                assert result.patched is (json.dumps(have) != json.dumps(want)), seed
                done += 1
    assert done > 5


@pytest.mark.rule("RS3")
@pytest.mark.parametrize(
    ("kind", "structs", "want"),
    [
        (TEXT, [values(1, 2, root="r"), text("ab", origin=(1, 1))], {"$text": delta("b")}),
        (MAP, [values(1, root="r", key="k")], {"$map": {"l": 1}}),
        (XML, [values("v", root="r", key="k")], node(None, node("p"), l=1)),
    ],
    ids=["hidden values", "map", "xml"],
)
def test_the_last_resort_replaces_a_root(kind: RootKind, structs: list[bytes], want: Json) -> None:
    """In a text with values that cannot be seen, positions mean nothing: an edit would hit something else."""
    state = write_update([block(1, 0, *structs)])
    result = restore(state, {"r": kind}, state, None, {"r": want})
    assert result.patched
    assert result.update is not None
    scratch = Scratch(state, {"r": kind})
    scratch.apply([result.update], tracked=False)
    assert scratch.content() == {"r": want}
    scratch.replace(["r"], {"r": want})
    assert scratch.replica().content() == {"r": want}


@pytest.mark.rule("RS11")
def test_scratch_documents_leave_nothing_behind() -> None:
    """Each takes some ten times its encoded size while it is there."""
    rng = random.Random(1)
    first = Scratch(b"\0\0", {"r": TEXT})
    first.patch(["r"], {"r": {"$text": delta(*(("x", {"b": rng.random()}) for _ in range(300)))}})
    state = first.encode()
    process = psutil.Process()

    def work() -> None:
        scratch = Scratch(state, {"r": TEXT})
        scratch.track()
        scratch.undo()
        scratch.patch(["r"], {"r": {"$text": []}})

    for _ in range(30):
        work()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(100):
        work()
    gc.collect()
    assert (process.memory_info().rss - before) / 100 < len(state)


class Stays:
    """What stays of a list, told by hand."""

    def __init__(self, *kept: tuple[int, int, int, None]) -> None:
        self._kept = kept

    def kept(self, _: Held) -> Sequence[Kept]:
        return self._kept

    def stays(self, _: str) -> bool:
        return False

    def entry(self, _: str) -> None:
        return None


@pytest.mark.rule("RS10", "RS13")
@pytest.mark.parametrize(
    ("kind", "have", "want", "kept", "cost"),
    [
        (TEXT, {"$text": delta("a😀bc")}, {"$text": delta("bcx")}, (3, 0, 2), (1, 3)),
        (TEXT, {"$text": delta("a😀bc")}, {"$text": delta("😀x")}, (1, 0, 2), (1, 3)),
        (TEXT, {"$text": delta("a😀bc")}, {"$text": delta("a😀bc!")}, (0, 0, 2), (5, 4)),
        (TEXT, {"$text": delta("abcd")}, {"$text": delta("axcd")}, (0, 0, 4), (1, 1)),
        (TEXT, {"$text": delta("abc")}, {"$text": delta("abc!")}, (2, 1, 1), (4, 3)),
        (ARRAY, {"$array": [1, 2, 3]}, {"$array": [2, 4]}, (1, 0, 2), (1, 2)),
        (MAP, {"$map": {"a": 1, "b": {"$map": {}}}}, {"$map": {"a": 1, "b": {"$map": {}}}}, (0, 0, 0), (2, 2)),
    ],
)
def test_what_is_told_to_stay(
    kind: RootKind, have: Json, want: Json, kept: tuple[int, int, int], cost: tuple[int, int]
) -> None:
    """All else is written anew, though it may look the same: it is somebody else's. What would not be right does not stay."""
    first = Scratch(b"\0\0", {"r": kind})
    first.patch(["r"], {"r": have})
    scratch = Scratch(first.encode(), {"r": kind})
    updates = scratch.patch(["r"], {"r": want}, lambda _: Stays((*kept, None)))
    assert json.dumps(scratch.replica().content()["r"]) == json.dumps(want)
    outline = inspect(updates[0])
    assert tuple(sum(end - start for _, start, end in ranges) for ranges in (outline.brings, outline.deletes)) == cost


@pytest.mark.rule("RS13")
def test_what_does_not_fit_cannot_be_told_to_stay() -> None:
    scratch = Scratch(write_update([block(1, 0, text("ab", root="r"))]), {"r": TEXT})
    with pytest.raises(Unpatchable):
        scratch.patch(["r"], {"r": {"$text": delta("abc")}}, lambda _: Stays((0, 0, 3, None)))
