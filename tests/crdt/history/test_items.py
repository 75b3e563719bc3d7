"""Pieces in document order, against the engine: what they show is exactly what the engine shows."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.history.items import read_items
from cowrite.crdt.history.showing import Now, Showing
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import (
    binary,
    block,
    embed,
    mark,
    shared_type,
    subdocument,
    text,
    values,
    write_update,
)
from crdt.random_edits import RandomReplica, commit, seeds

pytestmark = pytest.mark.rule("HI2")


def shown(document: LogDocument) -> dict[str, Any]:
    return Showing(read_items(document.encode()), Now()).content(document.roots)


def same(value: Any) -> str:
    return json.dumps(value)


def play(seed: int, roots: list[str]) -> None:
    """Let people edit at random who seldom know of one another; compare after each commit."""
    rng = random.Random(seed)
    log = LogDocument.empty()
    replicas = [RandomReplica(rng, roots, rng.choice((2**20, 2**45)) + number) for number in range(3)]
    for _ in range(rng.randrange(5, 30)):
        replica = rng.choice(replicas)
        replica.edit(rng.choice((1, 1, 4)))
        if rng.random() < 0.6:
            commit(log, replica.take())
            assert same(shown(log)) == same(get_state(log))
        if rng.random() < 0.4:
            replica.receive(log.encode())


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("roots", "count"),
    [(["text"], 20), (["xml"], 20), (["map"], 12), (["array"], 12), (["text", "xml", "map", "array"], 20)],
    ids=["text", "xml", "map", "array", "all"],
)
def test_items_show_what_the_engine_shows(roots: list[str], count: int) -> None:
    for seed in seeds(count):
        try:
            play(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


def test_two_random_histories() -> None:
    """Some of the above, so that it is counted."""
    for seed in (3, 4):
        play(seed, ["text", "xml", "map", "array"])


@pytest.mark.parametrize(
    "structs",
    [
        [text("a", root="r"), shared_type("array", origin=(1, 0)), embed([1], origin=(1, 1)), values(1, parent=(1, 1))],
        [values(1, -64, 2.5, 2**40, -(2**52), True, None, ..., "é", [1, {"$a": []}], {"b": {"c": b"x"}}, root="r")],
        [binary(b"\0\1", root="r"), subdocument("guid", {}, root="r"), shared_type("text", root="r")],
        [values(1, 2, root="r", key="k"), binary(b"x", root="r", key="b"), embed({"e": 1}, root="r", key="e")],
        [text("a😀b", root="r"), embed("x", origin=(1, 3)), mark("bold", True, origin=(1, 4)), text("c", origin=(1, 5))],
        [text("ab", root="r", key="k"), shared_type("xmlfragment", root="r", key="f"), subdocument("g", {}, root="r", key="d")],
        [shared_type("xmlelement", "p", root="r"), values("v", root="r", key="own"), values(None, parent=(1, 0), key="no")],
    ],
    ids=["nested", "values", "items", "entries", "text", "odd entries", "xml"],
)
def test_every_kind_of_content(structs: list[bytes]) -> None:
    log = LogDocument.empty()
    commit(log, [write_update([block(1, 0, *structs)])])
    assert log.roots
    assert same(shown(log)) == same(get_state(log))


def test_structs_that_are_cut_and_deleted_in_parts() -> None:
    """A state that no document has encoded: the update that made it is whole, what was put into it stands beside."""
    update = write_update(
        [block(1, 0, text("abcdefgh", root="r")), block(2, 0, text("XY", origin=(1, 2), right=(1, 3)))],
        {1: [(1, 1), (4, 2)], 2: [(1, 1)]},
    )
    log = rebuild_at(None, {}, [update])
    items = read_items(update)
    assert Showing(items, Now()).content(log.roots) == get_state(log) == {"r": {"$text": [{"insert": "acXdgh"}]}}
    pieces = items.root("r").pieces
    assert [(*piece[:3], piece.deleted) for piece in pieces] == [
        (1, 0, 1, False),
        (1, 1, 1, True),
        (1, 2, 1, False),
        (2, 0, 1, False),
        (2, 1, 1, True),
        (1, 3, 1, False),
        (1, 4, 2, True),
        (1, 6, 2, False),
    ]


def test_what_was_deleted_and_kept() -> None:
    """A document that keeps what is deleted shows the same; a struct that another one was put into is two pieces."""
    update = write_update(
        [block(1, 0, text("abc", root="r"), text("d", origin=(1, 2)), text("X", origin=(1, 0), right=(1, 1)))], {1: [(3, 1)]}
    )
    items = read_items(update)
    assert [piece[1:3] for piece in items.root("r").pieces] == [(0, 1), (4, 1), (1, 2), (3, 1)]
    assert Showing(items, Now()).content({"r": RootKind.TEXT}) == {"r": {"$text": [{"insert": "aXbc"}]}}
    assert items.root("other") == ((), {})


def test_what_cannot_be_seen_is_left_out() -> None:
    """Values in a text's list, text in an array's; roots that are mixed. An embedded string of an entry is itself."""
    structs = [values(1, root="t"), text("ab", origin=(1, 0)), embed("e", root="m", key="k"), text("x", root="a")]
    items = read_items(write_update([block(1, 0, *structs)]))
    roots = {"a": RootKind.ARRAY, "m": RootKind.MAP, "t": RootKind.TEXT, "z": RootKind.MIXED}
    assert Showing(items, Now()).content(roots) == {
        "a": {"$array": []},
        "m": {"$map": {"k": "e"}},
        "t": {"$text": [{"insert": "ab"}]},
    }


@pytest.mark.parametrize("length", [127, 128, 20_000])
def test_strings_of_every_length(length: int) -> None:
    items = read_items(write_update([block(1, 0, text("a" * (length - 1) + "b", root="r"))]))
    (piece,) = items.root("r").pieces
    assert items.text(piece) == "a" * (length - 1) + "b"


def test_a_part_of_a_string_is_cut_by_utf16() -> None:
    piece = read_items(write_update([block(1, 0, text("a😀b漢", root="r"))])).root("r").pieces[0]
    items = read_items(write_update([block(1, 0, text("a😀b漢", root="r"))]))
    assert items.text(piece.cut(1, 3, deleted=False)) == "😀"
    assert items.text(piece.cut(0, 4, deleted=False)) == "a😀b"
    assert items.text(piece.cut(3, 5, deleted=False).cut(4, 5, deleted=True)) == "漢"


@pytest.mark.parametrize("state", [b"\1", write_update([block(1, 1, text("a", origin=(1, 0)))])], ids=["cut off", "not whole"])
def test_what_is_no_state_is_a_fault(state: bytes) -> None:
    with pytest.raises(EngineFault, match="cannot be read"):
        read_items(state)


@pytest.mark.rule("HI14")
def test_reading_takes_a_bounded_number_of_steps() -> None:
    structs = [text("a", root="t"), *(text("b", origin=(1, at)) for at in range(9)), text("x", right=(1, 9))]
    state = write_update([block(1, 0, *structs)])
    assert len(read_items(state).root("t").pieces) == 11
    with pytest.raises(HostileUpdate, match="too long") as caught:
        read_items(state, max_steps=5)
    assert caught.value.code == "conflicts"
