"""Other content for a (client, clock) that a document holds."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from pycrdt import merge_updates

from cowrite.crdt import contradiction as module
from cowrite.crdt.document import Document
from cowrite.crdt.guard import SYNC_LIMITS, inspect, outline_of_state
from cowrite.crdt.outline import CLOCK_BITS, CONTENT, STRING, ClockRange, missing
from cowrite.testing.yjs_writer import (
    Raw,
    binary,
    block,
    deleted,
    embed,
    gc,
    mark,
    shared_type,
    skip,
    subdocument,
    text,
    values,
    write_update,
)
from timing import MS
from yjs_replicas import FUZZ, play

pytestmark = pytest.mark.rule("GU22")


def holding(*updates: bytes) -> Document:
    made = Document.empty()
    for update in updates:
        made.apply(update, inspect(update))
    return made


def contradicts(made: Document, update: bytes) -> bool:
    return made.contradicts(update, inspect(update, SYNC_LIMITS))


def one(*structs: bytes, clock: int = 0, client: int = 1) -> bytes:
    return write_update([block(client, clock, *structs)])


PLACE: Any = {"root": "t"}
SAME = [
    (text("ab", **PLACE), text("ab", **PLACE)),
    (text("é😀", **PLACE), text("é😀", **PLACE)),
    (values(1, 2.0, -5, 2**40, **PLACE), values(Raw(b"\x7c\x3f\x80\x00\x00"), 2, -5.0, float(2**40), **PLACE)),
    (values(Raw(b"\x7a" + (77).to_bytes(8, "big")), -70, 70, **PLACE), values(77, -70.0, 70.0, **PLACE)),
    (values(float("nan"), 0.0, **PLACE), values(float("nan"), -0.0, **PLACE)),
    (values({"a": 1, "b": [None, True]}, ..., **PLACE), values({"b": [None, True], "a": 1}, ..., **PLACE)),
    (values(b"x", "x", **PLACE), values(b"x", "x", **PLACE)),
    (embed(b'{"a":1,"b":2}', **PLACE), embed(b' {"b": 2.0, "a": 1e0}', **PLACE)),
    (embed(b"0.1234567890123456789", **PLACE), embed(b"0.12345678901234568", **PLACE)),
    (embed(b"12345678901234567890123", **PLACE), embed(b"12345678901234567000000", **PLACE)),
    (mark("bold", True, **PLACE), mark("bold", True, **PLACE)),
    (binary(b"\x00", **PLACE), binary(b"\x00", **PLACE)),
    (shared_type("xmlelement", "p", **PLACE), shared_type("xmlelement", "p", **PLACE)),
    (subdocument("guid", {}, **PLACE), subdocument("guid", {"gc": True, "meta": 1}, **PLACE)),
]


@pytest.mark.parametrize(("held", "sent"), SAME)
def test_the_same_in_another_form_is_no_contradiction(held: bytes, sent: bytes) -> None:
    assert not contradicts(holding(one(held)), one(sent))
    assert not contradicts(holding(one(sent)), one(held))
    assert not contradicts(Document.from_state(holding(one(held)).encode()), one(sent))


OTHER = [
    (text("ab", **PLACE), text("aB", **PLACE)),
    (text("a😀", **PLACE), text("a😁", **PLACE)),
    (text("a", **PLACE), values("a", **PLACE)),
    (values(1, 2, **PLACE), values(1, 3, **PLACE)),
    (values(1, **PLACE), values(True, **PLACE)),
    (values(None, **PLACE), values(..., **PLACE)),
    (values("1", **PLACE), values(1, **PLACE)),
    (values(b"x", **PLACE), values("x", **PLACE)),
    (values([1], **PLACE), values([1, 1], **PLACE)),
    (values([1], **PLACE), values([2], **PLACE)),
    (values({"a": 1}, **PLACE), values({"b": 1}, **PLACE)),
    (values({"a": 1}, **PLACE), values({"a": 2}, **PLACE)),
    (values(float("nan"), **PLACE), values(1.0, **PLACE)),
    (embed({"a": 1}, **PLACE), embed({"a": 2}, **PLACE)),
    (mark("bold", True, **PLACE), mark("bold", False, **PLACE)),
    (mark("bold", True, **PLACE), mark("em", True, **PLACE)),
    (binary(b"\x00", **PLACE), binary(b"\x01", **PLACE)),
    (shared_type("xmlelement", "p", **PLACE), shared_type("xmlelement", "q", **PLACE)),
    (shared_type("map", **PLACE), shared_type("array", **PLACE)),
    (subdocument("guid", {}, **PLACE), subdocument("other", {}, **PLACE)),
    (text("a", root="t"), text("a", root="u")),
    (text("a", root="t"), text("a", root="t", key="k")),
    (text("a", root="t", key="k"), text("a", root="t", key="l")),
    (text("a", root="t"), text("a", origin=(9, 0))),
    (text("a", right=(9, 1)), text("a", right=(9, 0))),
    (text("a", parent=(8, 0)), text("a", parent=(8, 1))),
    (text("a", parent=(8, 0), key="k"), text("a", parent=(8, 0), key="l")),
]


@pytest.mark.parametrize(("held", "sent"), OTHER)
def test_other_content_and_another_place_contradict(held: bytes, sent: bytes) -> None:
    before = write_update(
        [block(9, 0, text("xyz", root="t")), block(8, 0, shared_type("map", root="a"), shared_type("map", root="a"))]
    )
    assert contradicts(holding(before, one(held)), one(sent))
    assert contradicts(holding(before, one(sent)), one(held))


def test_what_is_new_contradicts_nothing() -> None:
    made = holding(one(text("ab", root="t")))
    assert not contradicts(made, one(text("x", root="u"), clock=2))
    assert not contradicts(made, one(text("x", root="u"), client=2))
    assert not contradicts(made, one(text("abX", root="t")))
    assert not contradicts(made, write_update([], {1: [(0, 2)]}))


def test_structs_may_be_cut_and_joined_differently() -> None:
    whole = one(text("abcdef", root="t"))
    cut = one(text("ab", root="t"), text("c", origin=(1, 1)), text("def", origin=(1, 2)))
    assert not contradicts(holding(whole), cut)
    assert not contradicts(holding(cut), whole)
    assert contradicts(holding(whole), one(text("ab", root="t"), text("c", origin=(1, 0))))
    assert contradicts(holding(whole), one(text("ab", root="t"), text("c", origin=(1, 1), right=(1, 0))))
    assert contradicts(holding(whole), one(text("ab", root="t"), text("c", root="t")))
    assert contradicts(holding(whole), one(text("cde", origin=(1, 1)), text("g", origin=(1, 4)), clock=2))
    assert not contradicts(holding(whole), one(text("cde", origin=(1, 1)), text("f", origin=(1, 4)), clock=2))
    assert not contradicts(holding(whole), one(text("b", origin=(1, 0)), skip(2), text("e", origin=(1, 3)), clock=1))
    assert contradicts(holding(whole), one(text("b", origin=(1, 0)), skip(2), text("x", origin=(1, 3)), clock=1))


def test_several_clients_are_compared_each_with_its_own() -> None:
    made = holding(
        write_update([block(client, 0, text("ab", root="t"), values(1, origin=(client, 1))) for client in (3, 2, 1)])
    )
    for other in (1, 2, 3):
        sent = [block(client, 1, text("X" if client == other else "b", origin=(client, 0))) for client in (1, 2, 3)]
        assert contradicts(made, write_update(sent))
        assert not contradicts(made, write_update([each for each in sent if each.client != other]))


def test_what_is_deleted_on_either_side_tells_nothing_of_its_content() -> None:
    made = holding(one(text("abc", root="t")), write_update([], {1: [(1, 1)]}))
    assert not contradicts(made, one(text("aXc", root="t")))
    assert contradicts(made, one(text("aXX", root="t")))
    assert not contradicts(made, one(text("a", root="t"), deleted(2, origin=(1, 0))))
    assert not contradicts(made, one(gc(3)))
    nested = holding(
        one(shared_type("map", root="m", key="k"), text("in", parent=(1, 0), key="k")), write_update([], {1: [(0, 1)]})
    )
    assert not contradicts(nested, one(shared_type("map", root="m", key="k"), text("XX", parent=(1, 0), key="k")))


@pytest.mark.rule("GU33")
def test_what_is_deleted_has_a_place() -> None:
    """Deleted by the document, by the update, by both; cut in whatever way. What was collected has none."""
    gone = write_update([], {1: [(0, 3)]})
    for made in (holding(one(text("abc", root="t"))), holding(one(text("abc", root="t")), gone)):
        assert contradicts(made, one(deleted(4, root="u")))
        assert contradicts(made, one(deleted(4, root="t", key="k")))
        assert contradicts(made, one(text("abcd", root="u")))
        assert contradicts(made, one(deleted(1, root="t"), deleted(2, origin=(1, 0), right=(2, 0))))
        assert contradicts(made, one(deleted(2, origin=(1, 0), right=(2, 0)), clock=1))
        assert not contradicts(made, one(deleted(4, root="t")))
        assert not contradicts(made, one(deleted(1, root="t"), deleted(3, origin=(1, 0))))
        assert not contradicts(made, one(deleted(3, origin=(1, 0)), clock=1))
    nested = holding(
        one(shared_type("map", root="m", key="k"), text("in", parent=(1, 0), key="k")), write_update([], {1: [(0, 1)]})
    )
    assert not contradicts(nested, one(shared_type("map", root="m", key="k"), deleted(3, root="u")))


def test_the_halves_that_a_browser_replaces_are_no_contradiction() -> None:
    made = holding(one(text("a😀b", root="t")))
    cut_by_a_browser = one(text("a\ufffd", root="t"), text("\ufffdb", origin=(1, 1)))
    assert not contradicts(made, cut_by_a_browser)
    assert not contradicts(holding(cut_by_a_browser), one(text("a😀b", root="t")))
    assert contradicts(made, one(text("a\ufffdXb", root="t")))
    assert contradicts(made, one(text("\ufffd😀b", root="t")))


def test_a_repeat_that_begins_inside_a_character_contradicts() -> None:
    """Found by the fuzz, seed 315: of what is held the engine leaves out half the character, and so one clock."""
    made = holding(one(text("a😀b", root="t")))
    assert contradicts(made, one(text("\ufffdb", origin=(1, 1)), clock=2))
    assert contradicts(made, one(gc(2), clock=2))


@pytest.mark.fuzz
def test_no_true_repeat_contradicts() -> None:
    """Single, merged and cut updates, to documents that hold more or less of them, some loaded from their own encoding."""
    overlaps = 0
    for seed in range(20 * FUZZ):
        rng = random.Random(seed)
        played = play(rng)
        written = [update for replica in played for update in replica.written]
        states = [replica.doc.get_update() for replica in played]
        parts = [one.doc.get_update(other.doc.get_state()) for one in played for other in played]
        pool = [
            *written,
            *states,
            *parts,
            merge_updates(*written),
            *(merge_updates(*rng.choices(written, k=5)) for _ in range(5)),
        ]
        made = Document.empty()
        for update in rng.sample(pool, len(pool)):
            outline = inspect(update, SYNC_LIMITS)
            assert not made.contradicts(update, outline), (seed, update.hex())
            overlaps += any(start < made.state.get(client, 0) for client, start, _ in outline.brings)
            if not missing(outline, made.state):
                made.apply(update, outline)
            if rng.random() < 0.1:
                made = Document.from_state(made.encode())
    assert overlaps > 500 * FUZZ


@pytest.mark.fuzz
def test_every_changed_string_contradicts() -> None:
    """One letter that is still held is changed, anywhere in an update that repeats everything."""
    changed = 0
    for seed in range(20 * FUZZ):
        rng = random.Random(seed)
        made = Document.empty()
        for replica in play(rng):
            state = replica.doc.get_update()
            made.apply(state, inspect(state, SYNC_LIMITS))
        held = made.encode()
        layout = outline_of_state(held).layout
        for at in range(0, len(layout.rows), 4):
            if layout.rows[at] >> CLOCK_BITS & CONTENT == STRING:
                end = layout.rows[at + 7] if at + 4 < len(layout.rows) else layout.deletes_at
                letter = held.find(b"h", layout.rows[at + 3], end)
                if letter > 0:
                    other = held[:letter] + b"H" + held[letter + 1 :]
                    assert made.contradicts(other, inspect(other, SYNC_LIMITS))
                    changed += 1
    assert changed > 25 * FUZZ


@pytest.mark.large
def test_comparing_takes_time_in_proportion_to_what_is_repeated() -> None:
    """A long string is held as one struct and repeated as thousands, and the other way round."""
    whole = one(text("a" * 500_000, root="t"))
    cut = one(text("a" * 50, root="t"), *(text("a" * 50, origin=(1, 50 * at - 1)) for at in range(1, 10_000)))
    for held, sent in ((whole, cut), (cut, whole)):
        layout = outline_of_state(sent).layout
        started = time.thread_time()
        assert not module.contradicts(sent, layout, held, [ClockRange(1, 0, 500_000)])
        assert time.thread_time() - started < 5000 * MS
