"""The lists that an update's structs form: in the engine's order, with its steps counted."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.conflicts import Lists
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK
from cowrite.testing.yjs_writer import Block, block, gc, shared_type, skip, text, write_update
from yjs_replicas import FUZZ

pytestmark = pytest.mark.rule("GU11")


def typed_at_once(rng: random.Random, steps: int) -> bytes:
    """A text that three replicas wrote, often at the same places, no letter twice."""
    docs: list[Doc[Any]] = [Doc(client_id=client) for client in rng.sample(range(1, 1000), 3)]
    letters = iter(map(chr, range(0x4E00, 0x9FFF)))
    for _ in range(steps):
        doc = rng.choice(docs)
        written = doc.get("t", type=Text)
        length = len(written) // 3
        content = "".join(next(letters) for _ in range(rng.choice((1, 1, 1, 3))))
        written.insert(3 * rng.choice((0, length, rng.randrange(length + 1))), content)
        if rng.random() < 0.2:
            other = rng.choice(docs)
            other.apply_update(doc.get_update(other.get_state()))
    whole: Doc[Any] = Doc()
    for doc in docs:
        whole.apply_update(doc.get_update())
    return whole.get_update()


def read_in_order(update: bytes) -> str:
    """The text, put together from the order in which the lists say that the pieces stand."""
    layout = inspect(update).layout
    made = Lists(layout, 10**6)
    made.integrate()
    strings: dict[int, str] = {}
    for number, first, behind, _ in layout.blocks:
        for row in range(first, behind):
            at = layout.rows[4 * row + 3]
            content = re.search(rb"(?:[\xe4-\xe9][\x80-\xbf][\x80-\xbf])+", update[at:])
            assert content
            clock = layout.rows[4 * row] & CLOCK_MASK
            for offset, letter in enumerate(content[0].decode()):
                strings[number + 1 << CLOCK_BITS | clock + offset] = letter
    pieces = [first for first, _ in made.order_from(1, {})]
    starts = set(pieces)
    out = []
    for piece in pieces:
        out.append(strings[piece])
        while (piece := piece + 1) in strings and piece not in starts:
            out.append(strings[piece])
    return "".join(out)


@pytest.mark.fuzz
def test_pieces_stand_where_the_engine_puts_them() -> None:
    for seed in range(150 * FUZZ):
        rng = random.Random(seed)
        update = typed_at_once(rng, rng.randrange(1, 60))
        doc: Doc[Any] = Doc()
        doc.apply_update(update)
        assert read_in_order(update) == str(doc.get("t", type=Text)), seed


def count_loose(blocks: list[Block], limit: int = 1000) -> int:
    made = Lists(inspect(write_update(blocks)).layout, limit)
    made.integrate()
    return made.loose


def agrees(*blocks: Block, limit: int = 1000) -> int:
    """Check that the update's one text, no letter twice, reads as in the engine; returns how many steps that took."""
    update = write_update(blocks)
    layout = inspect(update).layout
    made = Lists(layout, limit)
    made.integrate()
    letters: dict[int, str] = {}
    for number, first, behind, _ in layout.blocks:
        for row in range(first, behind):
            content = re.search(rb"[a-z]+", update[layout.rows[4 * row + 3] + 4 :])
            assert content
            for offset, letter in enumerate(content[0].decode()):
                letters[number + 1 << CLOCK_BITS | (layout.rows[4 * row] & CLOCK_MASK) + offset] = letter
    pieces = [first for first, _ in made.order_from(1, {})]
    out = ""
    for piece in pieces:
        while piece in letters:
            out += letters.pop(piece)
            piece = piece + 1 if piece + 1 not in pieces else 0
    doc: Doc[Any] = Doc()
    doc.apply_update(update)
    assert out == str(doc.get("t", type=Text))
    return limit - made._steps_left


def test_what_stands_side_by_side_takes_no_step() -> None:
    log = [text("a", root="t"), *(text(chr(98 + at), right=(1, at)) for at in range(20))]
    assert agrees(block(1, 0, *log)) == 0


def test_a_string_is_cut_where_something_is_put_into_it() -> None:
    cut = [text("x", origin=(1, 0), right=(1, 1)), text("y", origin=(1, 1), right=(1, 2))]
    assert agrees(block(1, 0, text("abc", root="t"), *cut)) == 0


def test_concurrent_structs_stand_in_the_order_of_their_clients() -> None:
    assert agrees(*(block(client, 0, text(chr(97 + client), root="t")) for client in (3, 2, 1))) == 2
    assert agrees(*(block(client, 0, text(chr(97 + client), root="t")) for client in (1, 2, 3))) == 2


def test_a_right_neighbour_inside_a_piece_ends_the_search() -> None:
    reaching = [text("x", origin=(1, 0), right=(1, 3)), text("y", origin=(1, 0), right=(1, 4))]
    assert agrees(block(2, 0, *reaching), block(1, 0, text("abcdef", root="t"))) == 4


def test_the_first_piece_is_looked_for_from_any_other() -> None:
    """A struct before another one that is no longer the first of its list: the engine looks from the list's beginning."""
    assert agrees(block(1, 0, text("ab", root="t"), text("c", right=(1, 0)), text("d", right=(1, 1)))) == 3
    behind = [text("b", origin=(1, 0)), text("c", origin=(1, 1)), text("d", right=(1, 2))]
    assert agrees(block(1, 0, text("a", root="t"), *behind)) == 5
    assert agrees(block(1, 0, text("a", root="t"), text("b", right=(1, 0)), text("c", right=(1, 0)))) == 2


@pytest.mark.rule("GU34")
def test_what_stands_beside_something_collected_is_loose() -> None:
    """Found by the campaign ``hostile_updates``: what was collected was taken for a piece that others stand beside, and the
    search went on into a struct that had no place yet (KeyError), or round in circles until it was refused."""
    beside = block(2, 0, text("x", origin=(1, 1), right=(1, 0)))
    assert count_loose([beside, block(1, 0, text("a", root="t"), gc(1), text("y", origin=(1, 1)))]) == 3


@pytest.mark.parametrize(
    ("blocks", "loose"),
    [
        ([block(1, 0, text("a", root="t"))], 1),
        ([block(1, 0, text("a", parent=(9, 0)))], 1),
        ([block(1, 0, shared_type("map", root="t"), text("a", parent=(1, 0)))], 1),
        ([block(1, 5, text("a", origin=(1, 4)))], 1),
        ([block(1, 5, text("a", origin=(9, 4), right=(9, 5)), text("b", origin=(1, 5), right=(9, 5)))], 1),
        ([block(1, 5, text("a", right=(9, 5)), text("b", right=(1, 5)), text("c", right=(9, 5)))], 3),
        ([block(1, 5, text("a", right=(9, 0)), text("b", right=(1, 5)), text("c", right=(1, 5)))], 3),
        ([block(1, 5, text("a", right=(1, 2)))], 1),
        ([block(1, 0, gc(3), skip(2))], 0),
        ([block(1, 0, gc(3), text("a", origin=(1, 1)), text("b", right=(1, 1)))], 2),
        ([block(1, 5, text("a", origin=(9, 1), right=(9, 2)), text("b", origin=(9, 1), right=(9, 3)))], 2),
        ([block(1, 0, text("a", root="t"), text("b", root="t"), text("c", root="t"))], 3),
    ],
)
def test_places_that_only_the_document_knows_are_loose(blocks: list[Block], loose: int) -> None:
    assert count_loose(blocks) == loose


def test_the_search_ends_at_what_the_update_does_not_bring() -> None:
    made = Lists(inspect(write_update([block(1, 5, text("a", root="t"), text("b", origin=(1, 5), right=(9, 3)))])).layout, 10)
    made.integrate()
    assert [place & CLOCK_MASK for place, _ in made.order_from(1, {})] == [5, 6]
    assert count_loose([block(1, 5, text("a", origin=(9, 0), right=(9, 1)), text("b", origin=(9, 0)))], 2) == 2


@pytest.mark.parametrize(
    "blocks",
    [
        [block(1, 0, text("o", root="t"), *[text("x", origin=(1, 0), right=(9, at)) for at in range(5)])],
        [block(1, 0, text("ab", root="t"), *[text("c", right=(1, 1))] * 5)],
        [block(1, 0, text("a", root="t"), *(text("b", origin=(1, at)) for at in range(9)), text("x", right=(1, 9)))],
    ],
)
def test_more_steps_than_allowed_are_refused(blocks: list[Block]) -> None:
    count_loose(blocks)
    with pytest.raises(HostileUpdate) as caught:
        count_loose(blocks, 2)
    assert caught.value.code == "conflicts"
