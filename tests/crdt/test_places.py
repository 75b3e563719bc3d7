"""Levels, kinds and halves of characters: what a document remembers of its structs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pycrdt import Doc, Text, merge_updates

from cowrite.crdt.document import Document
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect, outline_of_state
from cowrite.crdt.outline import missing
from cowrite.crdt.places import Places, may_hold_halves
from cowrite.testing.yjs_writer import Block, block, deleted, gc, mark, shared_type, skip, text, values, write_update
from yjs_replicas import FUZZ, play


def noted(*updates: bytes) -> Places:
    places = Places()
    for update in updates:
        places.note(inspect(update))
    return places


def refusal(places: Places, *blocks: Block, deletes: dict[int, list[tuple[int, int]]] | None = None) -> str | None:
    try:
        places.check(inspect(write_update(blocks, deletes)))
    except HostileUpdate as refused:
        return refused.code
    return None


def tower(levels: int) -> bytes:
    """A pile of elements by client 1, clocks 0 to levels - 1."""
    above = [shared_type("xmlelement", "p", parent=(1, level)) for level in range(levels - 1)]
    return write_update([block(1, 0, shared_type("xmlelement", "p", root="t"), *above)])


TOP = noted(tower(100))


@pytest.mark.rule("GU23")
@pytest.mark.parametrize(
    ("structs", "code"),
    [
        ([shared_type("map", parent=(1, 99))], "levels"),
        ([shared_type("map", parent=(1, 98))], None),
        ([shared_type("map", origin=(1, 99))], None),
        ([text("a", parent=(1, 99))], None),
        ([text("a", parent=(1, 99)), shared_type("map", origin=(2, 0))], "levels"),
        ([text("a", parent=(1, 99)), shared_type("map", right=(2, 0))], "levels"),
        ([text("a", parent=(1, 99)), text("b", origin=(2, 0)), shared_type("map", origin=(1, 0), right=(2, 1))], "levels"),
        ([text("a", parent=(1, 99), key="k"), shared_type("map", origin=(2, 0))], "levels"),
        ([deleted(2, parent=(1, 99)), shared_type("map", origin=(2, 1))], "levels"),
        ([shared_type("map", root="t"), shared_type("map", parent=(2, 0))], None),
        ([gc(1), shared_type("map", origin=(2, 0)), shared_type("map", parent=(2, 0))], None),
    ],
)
def test_levels_are_known_however_a_place_is_named(structs: list[bytes], code: str | None) -> None:
    assert refusal(TOP, block(2, 0, *structs)) == code


@pytest.mark.rule("GU24")
@pytest.mark.parametrize(
    ("structs", "code"),
    [
        ([text("a", root="t"), text("b", parent=(2, 0))], "parent"),
        ([deleted(1, root="t"), text("b", parent=(2, 0))], None),
        ([gc(1), text("b", parent=(2, 0))], None),
        ([text("b", parent=(3, 0))], "parent"),
        ([text("b", parent=(3, 4))], None),
        ([text("b", parent=(3, 5))], "parent"),
        ([text("b", parent=(4, 0))], None),
    ],
)
def test_parents_are_types_or_gone(structs: list[bytes], code: str | None) -> None:
    places = noted(
        write_update(
            [
                block(3, 0, text("abcd", root="t"), shared_type("map", origin=(3, 3)), text("e", origin=(3, 4))),
                block(4, 0, gc(1)),
            ]
        )
    )
    assert refusal(places, block(2, 0, *structs)) == code


ENTRIES = noted(
    write_update(
        [
            block(1, 0, values(1, root="m", key="k"), values(2, origin=(1, 0)), text("plain", root="t")),
            block(5, 0, shared_type("text", root="m", key="t"), text("ab", parent=(5, 0)), deleted(1, root="m", key="d")),
        ]
    )
)


@pytest.mark.rule("GU26", "GU31")
@pytest.mark.parametrize(
    ("structs", "code"),
    [
        ([mark("bold", True, root="m", key="k")], "no_entry"),
        ([mark("bold", True, origin=(1, 1))], "no_entry"),
        ([mark("bold", True, right=(1, 0))], "no_entry"),
        ([mark("bold", True, origin=(5, 3))], "no_entry"),
        ([mark("bold", True, origin=(1, 2), right=(1, 1))], "no_entry"),
        ([values(3, origin=(1, 1)), mark("bold", True, origin=(2, 0))], "no_entry"),
        ([text("ab", root="m", key="k")], "no_entry"),
        ([text("ab", origin=(1, 1))], "no_entry"),
        ([values(1, 2, right=(1, 0))], "no_entry"),
        ([values(1, origin=(1, 2), right=(1, 1))], "no_entry"),
        ([values(1, origin=(1, 1), right=(1, 2))], "no_entry"),
        ([text("😀", root="m", key="k")], "no_entry"),
        ([text("a", root="m", key="k"), values(1, origin=(1, 1)), deleted(3, origin=(1, 1))], None),
        ([mark("bold", True, origin=(1, 3), right=(1, 4))], None),
        ([mark("bold", True, root="t")], None),
        ([mark("bold", True, parent=(5, 0)), mark("bold", None, origin=(5, 2))], None),
        ([values(3, origin=(1, 1)), text("a", parent=(5, 0)), mark("bold", True, origin=(2, 1))], None),
    ],
)
def test_what_is_no_entry_is_refused_under_a_key(structs: list[bytes], code: str | None) -> None:
    """However its place is named: the engine panics on marks, and dies of what is cut (test_attacks.py)."""
    assert refusal(ENTRIES, block(2, 0, *structs)) == code


@pytest.mark.rule("GU24")
def test_a_character_of_which_one_half_is_known_is_refused() -> None:
    """What is deleted contradicts nothing: the engine would take the second half by itself, and the journal no more of it."""
    document = Document.empty()
    known = write_update([block(1, 0, deleted(1, root="t"))])
    document.admit(known, inspect(known))
    update = write_update([block(1, 0, text("😀", root="t"))])
    assert not document.contradicts(update, inspect(update))
    with pytest.raises(HostileUpdate) as refused:
        document.admit(update, inspect(update))
    assert refused.value.code == "half_character"


@pytest.mark.rule("GU24")
@pytest.mark.parametrize("prepared", [False, True])
def test_a_document_that_has_rested_still_refuses_half_a_character(prepared: bool) -> None:
    """What was between the halves made a struct of no length: the document could not be read from its state again."""
    document = Document.empty()
    if prepared:
        document.prepare()
    whole = write_update([block(1, 0, text("ab😀", root="t"))])
    document.admit(whole, inspect(whole))
    document.rest()
    between = write_update([block(2, 0, text("x", origin=(1, 2), right=(1, 3)))])
    with pytest.raises(HostileUpdate) as refused:
        document.admit(between, inspect(between))
    assert refused.value.code == "half_character"


@pytest.mark.rule("GU31")
def test_an_empty_document_refuses_what_is_no_entry() -> None:
    """It has not looked at anything before."""
    update = write_update([block(1, 0, mark("bold", True, root="m", key="k"))])
    with pytest.raises(HostileUpdate) as refused:
        Document.empty().admit(update, inspect(update))
    assert refused.value.code == "no_entry"


@pytest.mark.rule("GU24")
def test_what_the_update_leaves_out_is_looked_up_in_the_document() -> None:
    places = noted(write_update([block(1, 0, text("ab", root="t"), shared_type("map", root="t"), text("c", origin=(1, 1)))]))
    again = block(1, 0, text("ab", root="t"), skip(1), text("c", origin=(1, 1)))
    assert refusal(places, again, block(2, 0, text("x", parent=(1, 2)))) is None
    assert refusal(places, block(1, 0, text("ab", root="t")), block(2, 0, text("x", parent=(1, 2)))) is None
    assert refusal(places, block(1, 0, text("ab", root="t")), block(2, 0, text("x", parent=(1, 3)))) == "parent"
    assert refusal(places, block(1, 4, skip(1))) is None
    places.note(inspect(write_update([block(1, 4, skip(1))])))


@pytest.mark.rule("GU24")
def test_partly_known_structs_are_remembered_once() -> None:
    places = noted(
        write_update([block(1, 0, text("ab", root="t"))]), write_update([block(1, 0, text("ab😀", root="t"), gc(1))])
    )
    places.note(inspect(write_update([block(1, 0, text("ab😀", root="t"))])))
    assert refusal(places, deletes={1: [(2, 1)]}) == "half_character"
    assert refusal(places, deletes={1: [(2, 2)]}) is None
    assert refusal(places, block(2, 0, text("x", parent=(1, 4)))) is None
    assert refusal(places, block(2, 0, text("x", parent=(1, 3)))) == "parent"


@pytest.mark.rule("GU24")
def test_what_was_checked_may_be_followed_by_something_else() -> None:
    places = Places()
    first, second = inspect(tower(2)), inspect(write_update([block(7, 0, text("x", root="t"))]))
    places.check(first)
    places.note(second)
    places.note(first)
    assert refusal(places, block(2, 0, text("x", parent=(7, 0)))) == "parent"
    assert refusal(places, block(2, 0, text("x", parent=(1, 1)))) is None


DEEP = noted(
    write_update([block(1, 0, text("k", root="m", key="k")), block(3, 0, text("ab", root="t"))]),
    write_update([block(2, 0, shared_type("xmltext", root="x"), text("c", parent=(2, 0)))]),
    # As an older cowrite may have taken it: beside an entry.
    write_update([block(2, 2, text("d", origin=(2, 1), right=(1, 0)))]),
    write_update([block(4, 0, text("ef", origin=(3, 0), right=(3, 1)))]),
    write_update([block(5, 0, text("g", root="t"), shared_type("map", origin=(5, 0)))]),
)


@pytest.mark.rule("GU24")
@pytest.mark.rule("GU32")
@pytest.mark.parametrize(
    ("quick", "blocks", "deletes"),
    [
        (True, [block(3, 2, text("c", origin=(3, 1)))], None),
        (True, [block(3, 2, mark("bold", True, origin=(3, 1)))], None),
        (True, [block(4, 2, text("g", origin=(4, 1), right=(3, 1)))], None),
        (False, [block(4, 2, text("g", origin=(4, 1)))], None),
        (False, [block(3, 2, text("c", origin=(3, 0)))], None),
        (False, [block(3, 1, text("bc", origin=(3, 0)))], None),
        (False, [block(6, 0, text("c", origin=(3, 1)))], None),
        (False, [block(3, 2, text("c", origin=(3, 1)), text("d", origin=(3, 2)))], None),
        (False, [block(3, 2, text("c", origin=(3, 1)))], {3: [(0, 1)]}),
        (False, [], {3: [(0, 1)]}),
        (False, [block(3, 2, text("😀", origin=(3, 1)))], None),
        (False, [block(3, 2, shared_type("map", origin=(3, 1)))], None),
        (False, [block(3, 2, deleted(1, origin=(3, 1)))], None),
        (False, [block(3, 2, gc(1))], None),
        (False, [block(5, 2, text("h", origin=(5, 1)))], None),
        (False, [block(1, 1, text("l", origin=(1, 0)))], None),
        (False, [block(2, 3, text("e", origin=(2, 2), right=(1, 0)))], None),
    ],
)
def test_what_somebody_types_on_is_told_at_once(
    quick: bool, blocks: list[Block], deletes: dict[int, list[tuple[int, int]]] | None
) -> None:
    """One value that goes on behind its client's last one, before the same neighbour, and nothing that could be wrong."""
    assert DEEP.types_on(inspect(write_update(blocks, deletes))) is quick


@pytest.mark.rule("GU24")
def test_beside_half_a_character_nothing_is_told_at_once() -> None:
    places = noted(write_update([block(1, 0, text("😀a", root="t"))]))
    assert not places.types_on(inspect(write_update([block(1, 3, text("b", origin=(1, 2)))])))


def remembered(places: Places) -> object:
    runs = {client: (one.starts, one.marks, one.end) for client, one in places._clients.items()}
    neighbours = places.neighbours
    under = {client: (one.starts, one.runs, one.end, one.right) for client, one in neighbours._clients.items()}
    return runs, under, neighbours._parents, neighbours._clocks, neighbours._depths


def typed(rng: random.Random) -> Iterator[bytes]:
    """Two people who type on, each at a place that the other moves and deletes, and now and then at another one."""
    docs = [Doc({"t": Text()}, client_id=client) for client in (1, 2)]
    written: list[bytes] = []
    watched = [doc.observe(lambda event: written.append(event.update)) for doc in docs]
    cursors = [0, 0]
    for _ in range(60):
        who = rng.randrange(2)
        text = docs[who].get("t", type=Text)
        if rng.random() < 0.2:
            cursors[who] = rng.randint(0, len(text))
        if len(text) > 4 and rng.random() < 0.1:
            del text[0 : rng.randint(1, 3)]
        at, more = min(cursors[who], len(text)), rng.choice(("a", "bc", "def"))
        text.insert(at, more)
        cursors[who] = at + len(more)
        yield from written
        if rng.random() < 0.3:
            docs[1 - who].apply_update(docs[who].get_update(docs[1 - who].get_state()))
        written.clear()
    assert len(watched) == 2


@pytest.mark.rule("GU24")
@pytest.mark.rule("GU32")
def test_what_is_told_at_once_is_remembered_as_what_was_looked_at() -> None:
    on = 0
    for seed in range(5 * FUZZ):
        rng = random.Random(seed)
        quick, slow, state = Places(), Places(), Document.empty()
        for update in (*typed(rng), *(update for replica in play(rng) for update in replica.written)):
            outline = inspect(update, SYNC_LIMITS)
            if missing(outline, state.state):
                continue
            if quick.types_on(outline):
                on += 1
            else:
                quick.check(outline)
                quick.neighbours.check(outline)
            slow.check(outline)
            assert not slow.neighbours.check(outline)
            for places in quick, slow:
                places.note(outline)
            state.apply(update, outline)
            assert remembered(quick) == remembered(slow)
    assert on > 50 * FUZZ


def test_characters_beyond_u_ffff_are_found_quickly() -> None:
    assert may_hold_halves(write_update([block(1, 0, text("a😀", root="t"))]))
    assert not may_hold_halves(write_update([block(1, 0, text("aé漢", root="t"))]))


@pytest.mark.fuzz
@pytest.mark.rule("GU23")
@pytest.mark.rule("GU24")
def test_nothing_that_editors_write_is_refused() -> None:
    """Whether learnt update by update or from the state, and whether whole characters are written, cut or deleted."""
    for seed in range(20 * FUZZ):
        rng = random.Random(seed)
        played = play(rng)
        updates = [update for replica in played for update in replica.written]
        updates += [replica.doc.get_update() for replica in played] + [
            merge_updates(*rng.choices(updates, k=6)) for _ in range(3)
        ]
        rng.shuffle(updates)
        places, state = Places(), Document.empty()
        for update in updates:
            outline = inspect(update, SYNC_LIMITS)
            if missing(outline, state.state):
                continue
            places.check(outline)
            learnt = Places()
            learnt.note(outline_of_state(state.encode()))
            learnt.check(outline)
            places.note(outline)
            state.apply(update, outline)


@pytest.mark.fuzz
@pytest.mark.rule("GU23")
def test_levels_are_those_that_a_reader_meets() -> None:
    """Random trees, built element by element by several replicas: never one level more than is allowed, nor one less."""
    for seed in range(3 * FUZZ):
        rng = random.Random(seed)
        levels = {(1, 0): 1}
        made = Document.empty()
        first = write_update([block(1, 0, shared_type("xmlelement", "p", root="xml"))])
        made.admit(first, inspect(first))
        clocks = {1: 1, 2: 0, 3: 0}
        refused = 0
        for _ in range(400):
            client = rng.choice((1, 2, 3))
            deep = max(levels, key=lambda place: levels[place])
            near = rng.choice((deep, deep, rng.choice(list(levels))))
            inside = rng.random() < 0.7
            place: Any = {"parent": near} if inside else {"origin": near}
            level = levels[near] + inside
            update = write_update([block(client, clocks[client], shared_type("xmlelement", "p", **place))])
            try:
                made.admit(update, inspect(update))
            except HostileUpdate:
                assert level == 101
                refused += 1
            else:
                assert level <= 100
                levels[client, clocks[client]] = level
                clocks[client] += 1
        assert refused
        doc: Doc[Any] = Doc()
        doc.apply_update(made.encode())


@pytest.mark.rule("GU23", "GU24")
def test_what_stands_in_a_hole_of_the_update_is_looked_up_in_the_document() -> None:
    """An update may leave out what its receiver has."""
    places = noted(write_update([block(1, 0, text("a", root="t"), shared_type("map", root="t"), text("b", root="t"))]))
    behind = (gc(1), skip(2))
    assert refusal(places, block(1, 0, *behind, text("x", parent=(1, 1)))) is None
    assert refusal(places, block(1, 0, *behind, text("x", parent=(1, 2)))) == "parent"
    assert refusal(noted(), block(1, 0, *behind, text("x", parent=(1, 2)))) is None


@pytest.mark.rule("GU24")
def test_clients_without_halves_may_be_cut_anywhere() -> None:
    places = noted(write_update([block(1, 0, text("\U0001f600", root="t")), block(2, 0, text("ab", root="t"))]))
    assert refusal(places, deletes={2: [(0, 1)]}) is None
    assert refusal(places, deletes={3: [(0, 1)]}) is None
    assert refusal(places, deletes={1: [(0, 1)]}) == "half_character"
