"""Documents: state, encoding, what was new, faults of the engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect, outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.merging import merge_updates
from cowrite.crdt.outline import ClockRange, covers, missing
from cowrite.crdt.state_vector import MalformedStateVector, decode_state_vector, encode_state_vector
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update
from yjs_replicas import FUZZ, play, seen

AB = write_update([block(1, 0, text("ab", root="t"))])
ABCD = write_update([block(1, 0, text("abcd", root="t"))])


def document(*updates: bytes) -> Document:
    made = Document.empty()
    for update in updates:
        made.admit(update, inspect(update))
    return made


def content(made: Document) -> Text:
    engine: Doc[Any] = made._engine
    typed: Text = engine.get("t", type=Text)
    return typed


@pytest.mark.rule("GU20")
def test_apply_returns_what_was_new() -> None:
    made = document()
    assert made.apply(AB, inspect(AB)) == AB
    assert made.apply(AB, inspect(AB)) is None
    assert made.apply(ABCD, inspect(ABCD)) == write_update([block(1, 2, text("cd", origin=(1, 1)))])
    both = write_update([block(2, 0, text("x", root="t")), block(1, 0, text("abcd", root="t"))])
    assert made.apply(both, inspect(both)) == write_update([block(2, 0, text("x", root="t"))])
    assert made.state == {1: 4, 2: 1}
    deletion = write_update([], {1: [(0, 1)]})
    assert made.apply(deletion, inspect(deletion)) == deletion
    assert made.apply(deletion, inspect(deletion)) is None
    assert made.admit(deletion, inspect(deletion)) is None


@pytest.mark.rule("GU19")
def test_a_document_is_encoded_once_between_two_changes() -> None:
    made = document()
    assert made.encode() == b"\x00\x00"
    made.apply(AB, inspect(AB))
    encoded = made.encode()
    assert made.encode() is encoded
    made.apply(AB, inspect(AB))
    assert made.encode() is encoded
    assert made.encoded_size == len(encoded)
    made.apply(ABCD, inspect(ABCD))
    assert made.encoded_size > len(encoded)
    assert made.encode() == ABCD
    assert made.encoded_size == len(ABCD)
    assert made.diff(b"\x00") is made.encode()


@pytest.mark.rule("GU19")
def test_a_diff_holds_what_the_peer_lacks_and_all_deletions() -> None:
    deletion = write_update([], {1: [(1, 1)]})
    other = write_update([block(2, 0, text("x", root="t"))])
    made = document(AB, deletion, other)
    known = encode_state_vector({2: 1})
    assert outline_of_state(made.diff(known)).brings == ((1, 0, 2),)
    assert outline_of_state(made.diff(known)).deletes == ((1, 1, 2),)
    upto_date = encode_state_vector({1: 2, 2: 1})
    assert made.diff(upto_date) == deletion
    assert made.diff(upto_date) is made.diff(encode_state_vector({1: 2, 2: 9, 3: 5}))
    assert made.diff(encode_state_vector({7: 5})) is made.encode()


@pytest.mark.rule("GU17")
def test_a_diff_for_what_is_no_state_vector_is_refused_and_harms_nothing() -> None:
    made = document(AB)
    with pytest.raises(MalformedStateVector):
        made.diff(b"\xff")
    assert made.usable


@pytest.mark.fuzz
@pytest.mark.rule("GU18")
@pytest.mark.rule("GU19")
@pytest.mark.rule("GU20")
def test_state_diffs_and_what_was_new_agree_with_the_engine() -> None:
    for seed in range(15 * FUZZ):
        rng = random.Random(seed)
        played = play(rng)
        updates = [update for replica in played for update in replica.written]
        updates += [replica.doc.get_update() for replica in played] * 2
        rng.shuffle(updates)
        made, follower = Document.empty(), Document.empty()
        late: Doc[Any] = Doc()
        for update in updates:
            outline = inspect(update, SYNC_LIMITS)
            if missing(outline, made.state):
                continue
            assert not made.contradicts(update, outline)
            fresh = made.admit(update, outline)
            if fresh is not None:
                follower.apply(fresh, inspect(fresh, SYNC_LIMITS))
            assert made.state == follower.state == decode_state_vector(made._engine.get_state())
            if rng.random() < 0.2:
                late.apply_update(made.diff(late.get_state()))
                assert decode_state_vector(late.get_state()) == made.state
                assert seen(late.get_update()) == seen(made.encode())
            if rng.random() < 0.1:
                made = Document.from_state(made.encode())
                assert made.state == follower.state
        assert seen(made.encode()) == seen(follower.encode())


def test_text_is_counted_in_utf16() -> None:
    update = write_update([block(1, 0, text("a😀b", root="t"))])
    assert document(update).state == {1: 4}
    assert len(content(document(update))) == 4


# ---- faults ---------------------------------------------------------------------------------------------------------------


def broken(made: Document, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> NoReturn:
        raise error

    inner = type("Broken", (), {"create_transaction": fail})()
    monkeypatch.setattr(made, "_awake", type("Broken", (), {"_doc": inner, "get_update": fail, "get_state": fail})())


CALLS: list[Callable[[Document], object]] = [
    lambda made: made.apply(AB, inspect(AB)),
    lambda made: made.admit(AB, inspect(AB)),
    lambda made: made.diff(b"\x01\x01\x01"),
    lambda made: made.encode(),
    lambda made: made.contradicts(AB, inspect(AB)),
]


@pytest.mark.rule("GU21")
@pytest.mark.parametrize("call", CALLS)
def test_after_a_fault_every_call_raises(call: Callable[[Document], object], monkeypatch: pytest.MonkeyPatch) -> None:
    made = document(AB)
    broken(made, RuntimeError("poisoned"), monkeypatch)
    with pytest.raises(EngineFault, match="RuntimeError: poisoned"):
        call(made)
    assert not made.usable
    monkeypatch.undo()
    for each in CALLS:
        with pytest.raises(EngineFault, match="unusable"):
            each(made)


@pytest.mark.rule("GU21")
def test_a_panic_becomes_a_fault(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: the engine unwraps nothing when asked for a place behind the end."""
    made = document(AB)
    typed = content(made)
    monkeypatch.setattr("cowrite.crdt.document.apply_all", lambda engine, updates: typed.sticky_index(99))
    with pytest.raises(EngineFault, match="PanicException"):
        made.apply(AB, inspect(AB))
    assert not made.usable
    assert "panicked" in capfd.readouterr().err


@pytest.mark.rule("GU21")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_interruptions_pass_through(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    made = document(AB)
    broken(made, error, monkeypatch)
    with pytest.raises(type(error)) as caught:
        made.apply(AB, inspect(AB))
    assert caught.value is error
    assert not made.usable
    monkeypatch.setattr("pycrdt.merge_updates", made._engine.get_update)
    with pytest.raises(type(error)):
        merge_updates([AB])


@pytest.mark.rule("GU21")
def test_what_is_no_state_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        Document.from_state(b"\x05")


@pytest.mark.rule("GU21")
def test_merging_what_is_no_update_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        merge_updates([AB, b"\x05"])


def test_merging_does_what_its_parts_do() -> None:
    cd = write_update([block(1, 2, text("cd", origin=(1, 1)))])
    assert document(merge_updates([AB, cd])).encode() == ABCD


# ---- places ---------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("GU24")
@pytest.mark.parametrize("load", [False, True])
def test_a_parent_that_is_no_type_is_refused(load: bool) -> None:
    """The engine would fail half-way, with what stands before it already applied."""
    made = document(AB, write_update([block(2, 0, shared_type("map", root="m", key="k"))]))
    if load:
        made = Document.from_state(made.encode())
    for parent in ((1, 0), (1, 1)):
        update = write_update([block(3, 0, text("x", root="t"), text("y", parent=parent))])
        with pytest.raises(HostileUpdate) as caught:
            made.admit(update, inspect(update))
        assert caught.value.code == "parent"
    inside = write_update([block(3, 0, text("x", parent=(2, 0), key="k"))])
    assert made.admit(inside, inspect(inside)) is not None


@pytest.mark.rule("GU24")
@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize(
    "update",
    [
        write_update([block(2, 0, text("x", origin=(1, 1), right=(1, 2)))]),
        write_update([block(2, 0, text("x", origin=(1, 1)))]),
        write_update([block(2, 0, text("x", right=(1, 2)))]),
        write_update([], {1: [(2, 1)]}),
        write_update([], {1: [(0, 2)]}),
        write_update([block(2, 0, text("😀", root="t"), text("x", origin=(2, 0)))]),
        write_update([block(2, 0, text("😀", root="t"))], {2: [(1, 1)]}),
    ],
)
def test_half_a_character_is_refused(update: bytes, load: bool) -> None:
    """The engine would keep the character whole, and encode a state in which later clocks are shifted."""
    made = document(write_update([block(1, 0, text("a😀b", root="t"))]))
    if load:
        made = Document.from_state(made.encode())
    before = made.encode()
    with pytest.raises(HostileUpdate) as caught:
        made.admit(update, inspect(update))
    assert caught.value.code == "half_character"
    assert made.usable
    assert made.encode() is before


@pytest.mark.rule("GU24")
@pytest.mark.parametrize(
    "update",
    [
        write_update([block(2, 0, text("x", origin=(1, 2), right=(1, 3)))]),
        write_update([block(2, 0, text("x", origin=(1, 0), right=(1, 1)))]),
        write_update([], {1: [(1, 2)]}),
        write_update([], {1: [(0, 4)]}),
    ],
)
def test_whole_characters_may_be_deleted_and_written_beside(update: bytes) -> None:
    made = document(write_update([block(1, 0, text("a😀b", root="t"))]))
    assert made.admit(update, inspect(update)) is not None
    assert Document.from_state(made.encode()).state == made.state


@pytest.mark.rule("GU24")
def test_the_engine_still_miscounts_half_characters() -> None:
    """Should this fail one day, the engine has been mended, and what is refused above may pass."""
    made = document(write_update([block(1, 0, text("a😀b", root="t"))]))
    half = write_update([], {1: [(1, 1)]})
    made.apply(half, inspect(half))
    assert made.state == {1: 4}
    assert Document.from_state(made.encode()).state == {1: 3}


def test_places_are_learnt_only_when_they_matter() -> None:
    between = write_update([block(2, 0, text("x", origin=(1, 1), right=(1, 2)))])
    made = Document.from_state(ABCD)
    made.admit(between, inspect(between))
    assert made._places is not None
    made = Document.from_state(ABCD)
    plain = write_update([block(2, 0, text("x", origin=(1, 3)))], {1: [(0, 1)]})
    made.admit(plain, inspect(plain))
    assert made._places is None
    nothing = b"\x00\x00"
    made = Document.from_state(write_update([block(1, 0, text("😀", root="t"))]))
    made.admit(nothing, inspect(nothing))
    assert made._places is None
    deletion = write_update([], {1: [(0, 2)]})
    made.admit(deletion, inspect(deletion))
    assert made._places is not None


def test_an_applied_character_beyond_u_ffff_is_remembered() -> None:
    made = Document.from_state(AB)
    emoji = write_update([block(2, 0, text("😀", root="t"))])
    made.apply(emoji, inspect(emoji))
    half = write_update([], {2: [(0, 1)]})
    with pytest.raises(HostileUpdate):
        made.admit(half, inspect(half))


def test_values_are_kept() -> None:
    made = document(write_update([block(1, 0, values(1, {"a": [None]}, root="t"))]))
    assert Document.from_state(made.encode()).encode() == made.encode()


@pytest.mark.rule("GU18")
def test_what_only_deletes_leaves_the_state() -> None:
    document = Document.empty()
    update = write_update([block(1, 0, text("abc", root="t"))])
    document.apply(update, inspect(update))
    update = write_update([block(1, 0, text("abc", root="t"))], {1: [(0, 1)]})
    assert document.apply(update, inspect(update)) is not None
    assert document.state == {1: 3}


@pytest.mark.rule("GU24")
def test_prepared_for_the_first_edit() -> None:
    """What it takes to judge where edits go is made once."""
    update = write_update([block(1, 0, text("\U0001f600", root="t"))])
    document = Document.from_state(update)
    document.prepare()
    places = document._places
    document.prepare()
    assert document._places is places
    with pytest.raises(HostileUpdate):
        document.check_places(inspect(write_update([block(2, 0, text("x", origin=(1, 0)))])))


@pytest.mark.rule("GU22")
def test_what_was_compared_before_is_not_compared_again() -> None:
    document = Document.empty()
    update = write_update([block(1, 0, text("abc", root="t"), text("def", origin=(1, 2)))])
    document.apply(update, inspect(update))
    other = write_update([block(1, 0, text("abX", root="t"), text("def", origin=(1, 2)))])
    outline = inspect(other)
    assert document.contradicts(other, outline)
    assert not document.contradicts(other, outline, checked={1: 3})
    assert document.overlap(outline, checked={1: 6}) is None
    worse = write_update([block(1, 0, text("abc", root="t"), text("deX", origin=(1, 2)))])
    assert document.contradicts(worse, inspect(worse), checked={1: 3})


@pytest.mark.rule("HP13")
def test_what_a_document_holds() -> None:
    """An update that brings and deletes nothing new is told from one that does, also where deletions were made in pieces."""
    made = document(ABCD, write_update([], {1: [(0, 1)]}), write_update([], {1: [(1, 1)]}))
    for held in (
        write_update([]),
        AB,
        ABCD,
        write_update([], {1: [(0, 2)]}),
        write_update([block(1, 2, text("cd", origin=(1, 1)))], {1: [(1, 1)]}),
    ):
        assert made.holds(inspect(held))
    for new in (
        write_update([block(1, 4, text("e", origin=(1, 3)))]),
        write_update([block(2, 0, text("x", root="t"))]),
        write_update([], {1: [(1, 2)]}),
        write_update([], {1: [(3, 1)]}),
        write_update([], {2: [(0, 1)]}),
    ):
        assert not made.holds(inspect(new))


@pytest.mark.rule("HP13")
def test_ranges_that_cover_others() -> None:
    """Ranges that touch are one."""
    ranges = [ClockRange(1, 2, 4), ClockRange(1, 4, 6), ClockRange(1, 8, 9), ClockRange(3, 0, 5)]
    assert covers(ranges, [ClockRange(1, 2, 6), ClockRange(1, 3, 5), ClockRange(1, 8, 9), ClockRange(3, 1, 2)])
    assert covers(ranges, [])
    for outside in (ClockRange(1, 1, 3), ClockRange(1, 5, 7), ClockRange(1, 6, 8), ClockRange(1, 8, 10), ClockRange(2, 0, 1)):
        assert not covers(ranges, [outside])


@pytest.mark.rule("RO40")
def test_the_state_vector_is_encoded_once() -> None:
    made = document(AB)
    vector = made.state_vector()
    assert decode_state_vector(vector) == made.state
    assert made.state_vector() is vector
    more = write_update([block(7, 0, text("c", root="t"))])
    made.apply(more, inspect(more))
    assert decode_state_vector(made.state_vector()) == made.state
    assert decode_state_vector(LogDocument.at_rest(made.encode()).state_vector()) == made.state


# ---- for a crowd ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("RO40")
def test_the_base_and_what_has_come_since_are_the_whole_document() -> None:
    made = document(AB)
    base, since = made.base()
    assert (base, list(since)) == (made.encode(), [])
    for clock in range(3):
        more = write_update([block(7, clock, text("c", root="t") if not clock else text("c", origin=(7, clock - 1)))])
        made.apply(more, inspect(more))
        assert made.base() == (base, since)
        assert made.base()[0] is base
        assert len(since) == clock + 1
    assert seen(merge_updates([base, *since])) == seen(made.encode())


@pytest.mark.rule("RO40")
def test_the_base_is_made_anew_when_much_has_come_since() -> None:
    made = document(AB)
    base, clock = made.base()[0], 0
    while made.base()[0] is base:
        more = write_update(
            [block(7, clock, text("c" * 1000, root="t") if not clock else text("c" * 1000, origin=(7, clock - 1)))]
        )
        made.apply(more, inspect(more))
        clock += 1000
    assert 60_000 < clock < 66_000
    assert made.base() == (made.encode(), [])
    assert made.base()[0] is made.encode()


@pytest.mark.rule("RO40")
def test_the_base_of_a_document_at_rest_is_what_it_rests_on() -> None:
    made = document(AB)
    made.base()
    more = write_update([block(7, 0, text("c", root="t"))])
    made.apply(more, inspect(more))
    made.rest()
    assert made.base() == (made.encode(), [])
    assert made.resting


# ---- at rest ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("RO25")
def test_a_document_at_rest_is_read_without_the_engine() -> None:
    made = document(AB)
    encoded, state = made.encode(), dict(made.state)
    made.rest()
    assert made.resting
    assert (made.encode(), dict(made.state), made.diff(b"\x00"), made.encoded_size) == (encoded, state, encoded, len(encoded))
    assert made.holds(inspect(AB))
    assert made.resting, "reading the whole state needs no engine"
    made.rest()
    assert made.encode() is encoded


@pytest.mark.rule("RO25")
def test_a_document_at_rest_wakes_when_something_is_written() -> None:
    twin, made = document(AB), document(AB)
    made.rest()
    more = write_update([block(7, 0, text("c", root="t"))])
    assert made.apply(more, inspect(more)) == twin.apply(more, inspect(more))
    assert not made.resting
    assert (seen(made.encode()), made.state) == (seen(twin.encode()), twin.state)
    assert made.apply(more, inspect(more)) is None


@pytest.mark.rule("RO25")
def test_two_documents_at_rest_share_their_bytes() -> None:
    one, other = document(AB), document(AB)
    one.rest()
    other.rest(one.encode())
    assert one.encode() is other.encode()


@pytest.mark.rule("RO25")
@pytest.mark.parametrize("kind", [Document, LogDocument])
def test_a_document_that_cannot_wake_is_unusable(kind: type[Document]) -> None:
    made = kind.from_state(AB)
    made.rest(b"\x01\x01\x01")
    for _ in range(2):
        with pytest.raises(EngineFault):
            made.apply(AB, inspect(AB))
    assert not made.usable


@pytest.mark.rule("RO25")
def test_a_log_at_rest_is_read_as_before() -> None:
    made = LogDocument.from_state(AB)
    content, roots = made.content(), made.roots
    made.rest()
    made.rest()
    assert made.roots == roots
    assert made.resting
    assert made.content() == content
    assert not made.resting
