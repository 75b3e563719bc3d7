"""Updates cut into small ones, and to what can be taken of them."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from pycrdt import Doc, Text, merge_updates

from cowrite.crdt.document import Document
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.outline import missing
from cowrite.crdt.slices import gentle_slices, ready_part, slices
from cowrite.testing.yjs_writer import block, embed, gc, shared_type, skip, text, write_update
from yjs_replicas import FUZZ, play, seen


@pytest.mark.rule("GU25")
def test_slices_hold_as_much_as_was_asked_for() -> None:
    update = write_update(
        [block(2, 0, text("ab", root="t"), text("c", origin=(1, 0))), block(1, 0, *[text("x", root="t")] * 5, gc(1))],
        {1: [(0, 1), (2, 1)], 2: [(0, 1)]},
    )
    parts = [inspect(each) for each in slices(update, inspect(update), structs=2, ranges=2)]
    assert [sum(end - start for _, start, end in part.brings) for part in parts] == [2, 1, 1, 2, 2, 1, 0, 0]
    assert [len(part.deletes) for part in parts] == [0, 0, 0, 0, 0, 0, 2, 1]


@pytest.mark.rule("GU37")
def test_what_is_full_of_conflicts_is_given_to_the_engine_little_by_little() -> None:
    """3000 structs, each between another character and the last one: one call would keep the interpreter for 1.2 s."""
    last = 3000
    between = [text("x", origin=(1, at), right=(1, last)) for at in range(last - 1, -1, -1)]
    state = Document.from_state(write_update([block(1, 0, text("a" * (last + 1), root="t")), block(2, 0, *between)])).encode()
    parts = list(gentle_slices(state))
    most = max(inspect(part, SYNC_LIMITS).structs for part in parts)
    assert most * len(state) / 8 <= 200_000, "steps in one call"
    assert seen(Document.from_log(parts).encode()) == seen(state)
    small = Document.from_state(write_update([block(1, 0, text("a", root="t"))])).encode()
    unreadable = b"\x01" * 10_000
    assert [list(gentle_slices(one)) for one in (small, unreadable)] == [[small], [unreadable]]


@pytest.mark.rule("GU25")
def test_holes_are_in_no_slice() -> None:
    update = write_update([block(1, 0, skip(1), gc(1), skip(1), skip(1), gc(1), gc(1), skip(1))])
    parts = [inspect(each) for each in slices(update, inspect(update), structs=9, ranges=1)]
    assert [part.brings for part in parts] == [((1, 1, 2),), ((1, 4, 6),)]


@pytest.mark.rule("GU36")
def test_a_long_text_is_cut_as_though_it_had_been_typed_in_parts() -> None:
    """Between its characters; with the neighbours that it has. What is no text, or small, stays whole."""
    first = text("abcé😀fgh", root="t")
    structs = [first, text("ijklmn", origin=(1, 8)), embed("x" * 20, origin=(1, 14)), text("op", origin=(1, 15))]
    whole = write_update([block(1, 0, *structs), block(2, 0, text("qrstuv", origin=(1, 1), right=(1, 2)))], {1: [(0, 1)]})
    parts = list(slices(whole, inspect(whole), structs=9, ranges=9, size=5))
    cut = [
        block(1, 0, text("abcé", root="t")),
        block(1, 4, text("😀f", origin=(1, 3))),
        block(1, 7, text("gh", origin=(1, 6))),
        block(1, 9, text("ijklm", origin=(1, 8))),
        block(1, 14, text("n", origin=(1, 13))),
        block(1, 15, embed("x" * 20, origin=(1, 14))),
        block(1, 16, text("op", origin=(1, 15))),
        block(2, 0, text("qrstu", origin=(1, 1), right=(1, 2))),
        block(2, 5, text("v", origin=(2, 4), right=(1, 2))),
    ]
    assert sorted(parts[:-1]) == sorted(write_update([one]) for one in cut)
    document = Document.empty()
    for part in parts:
        document.apply(part, inspect(part))
    assert seen(document.encode()) == seen(whole)


@pytest.mark.rule("GU36")
def test_a_long_text_is_cut_between_characters_of_several_bytes() -> None:
    whole = write_update([block(1, 0, text("é" * 100 + "😀" * 50, root="t"))])
    parts = list(slices(whole, inspect(whole), structs=9, ranges=9, size=7))
    assert max(map(len, parts)) < 30
    assert seen(Document.from_log(parts).encode()) == seen(whole)


@pytest.mark.rule("GU36")
@pytest.mark.parametrize("under", [{"right": (9, 0)}, {"parent": (9, 0)}, {"root": "t"}], ids=["before", "in", "root"])
def test_a_long_text_keeps_its_place(under: dict[str, Any]) -> None:
    there = write_update([block(9, 0, shared_type("text", root="t"))])
    whole = write_update([block(1, 0, text("abcdefgh", **under))])
    documents = [Document.from_state(there), Document.from_state(there)]
    documents[0].apply(whole, inspect(whole))
    for part in slices(whole, inspect(whole), structs=9, ranges=9, size=4):
        documents[1].apply(part, inspect(part))
    assert seen(documents[0].encode()) == seen(documents[1].encode())


@pytest.mark.fuzz
@pytest.mark.rule("GU36")
def test_what_is_typed_between_the_parts_stands_at_one_place_for_all() -> None:
    """Whoever has the whole text gets what others have typed where a part ended, and the other way round."""
    for seed in range(60 * FUZZ):
        rng = random.Random(seed)
        eve, server, ana = (Doc[Any](client_id=number) for number in rng.sample(range(1, 1 << 30), 3))
        eve.get("t", type=Text).insert(0, "".join(rng.choice("ab😀é") for _ in range(rng.randrange(8, 40))))
        update = eve.get_update()
        for part in slices(update, inspect(update), structs=9, ranges=9, size=rng.randrange(4, 20)):
            server.apply_update(part)
            ana.apply_update(server.get_update())
            typed = ana.get("t", type=Text)
            end = len(str(typed))
            typed.insert(len(str(typed)[: rng.randrange(end // 2, end + 1)].encode()), "-")
            server.apply_update(ana.get_update())
        eve.apply_update(server.get_update())
        assert str(eve.get("t", type=Text)) == str(server.get("t", type=Text))
        assert str(server.get("t", type=Text)).replace("-", "") == str(_text_of(update))


def _text_of(update: bytes) -> Text:
    doc = Doc[Any]()
    doc.apply_update(update)
    found: Text = doc.get("t", type=Text)
    return found


@pytest.mark.fuzz
@pytest.mark.rule("GU25")
def test_slices_do_what_the_whole_does() -> None:
    for seed in range(60 * FUZZ):
        rng = random.Random(seed)
        played = play(rng)
        whole: Doc[Any] = Doc()
        for replica in played:
            whole.apply_update(replica.doc.get_update())
        update = whole.get_update()
        sliced = Document.empty()
        size = rng.choice([sys.maxsize, rng.randrange(4, 30)])
        outline = inspect(update, SYNC_LIMITS)
        for part in slices(update, outline, structs=rng.randrange(1, 9), ranges=rng.randrange(1, 9), size=size):
            outline = inspect(part)
            assert not missing(outline, sliced.state)
            sliced.apply(part, outline)
        assert seen(sliced.encode()) == seen(update)


@pytest.mark.rule("GU16")
def test_the_ready_part_ends_where_something_is_missing() -> None:
    update = write_update(
        [
            block(3, 0, text("c", origin=(9, 9))),
            block(2, 4, skip(2), text("ab", root="t"), text("c", origin=(1, 1)), text("d", parent=(1, 3)), skip(2), gc(1)),
            block(1, 0, text("ab", root="t"), text("cd", right=(2, 6)), text("e", origin=(3, 0)), text("f", root="t")),
        ],
        {1: [(0, 1), (3, 2), (6, 1)], 2: [(0, 99)], 4: [(0, 1)]},
    )
    part = inspect(ready_part(update, inspect(update), {2: 6}))
    assert part.brings == ((2, 6, 10), (1, 0, 4))
    assert part.deletes == ((1, 0, 1), (1, 3, 4), (2, 0, 10))
    assert not missing(part, {2: 6})
    later = inspect(ready_part(update, inspect(update), {2: 12}))
    assert later.brings == ((2, 6, 10), (2, 12, 13), (1, 0, 4))
    assert inspect(ready_part(update, inspect(update), {9: 10})).brings == ((3, 0, 1), (1, 0, 2))
    assert ready_part(write_update([block(1, 5, gc(1))]), inspect(write_update([block(1, 5, gc(1))])), {}) == b"\x00\x00"


@pytest.mark.fuzz
@pytest.mark.rule("GU16")
def test_the_ready_part_can_be_taken_and_the_whole_later() -> None:
    cut = 0
    for seed in range(100 * FUZZ):
        rng = random.Random(seed)
        written = [update for replica in play(rng) for update in replica.written]
        if not written:
            continue
        some = [update for update in written if rng.random() < 0.6] or written
        update = merge_updates(*some)
        outline = inspect(update, SYNC_LIMITS)
        document = Document.empty()
        part = ready_part(update, outline, document.state)
        ready = inspect(part, SYNC_LIMITS)
        assert not missing(ready, document.state)
        document.apply(part, ready)
        if missing(outline, {}):
            cut += 1
        else:
            assert (ready.brings, ready.deletes) == (outline.brings, outline.deletes)
        rest = merge_updates(*written)
        document.apply(rest, inspect(rest, SYNC_LIMITS))
        assert seen(document.encode()) == seen(rest)
    assert cut > 30 * FUZZ


@pytest.mark.fuzz
@pytest.mark.rule("GU16")
def test_nothing_more_can_be_taken_than_the_ready_part() -> None:
    """Against a slow search: try the update's structs one by one, again and again, while anything is new."""
    for seed in range(30 * FUZZ):
        rng = random.Random(seed)
        written = [update for replica in play(rng, steps=15) for update in replica.written]
        some = [update for update in written if rng.random() < 0.6]
        if not some:
            continue
        update = merge_updates(*some)
        outline = inspect(update, SYNC_LIMITS)
        state: dict[int, int] = {}
        parts = [inspect(each) for each in slices(update, outline, structs=1, ranges=1)]
        grown = True
        while grown:
            grown = False
            for part in parts:
                for client, _, end in part.brings:
                    if not missing(part, state) and end > state.get(client, 0):
                        state[client] = end
                        grown = True
        ready = inspect(ready_part(update, outline, {}), SYNC_LIMITS)
        assert {client: end for client, _, end in ready.brings} == state
