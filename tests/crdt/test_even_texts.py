"""Texts that need not be read to know their places."""

from __future__ import annotations

import pytest

from cowrite.crdt.apply_operations import Replica
from cowrite.crdt.even_texts import EvenTexts
from cowrite.crdt.guard import inspect
from cowrite.crdt.operations import OperationDraft, OperationInvalid
from cowrite.crdt.roots import RootKind
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update

NOTHING = b"\x00\x00"
VALUES = write_update([block(1, 0, values("x", root="t"))])
ENTRY = write_update([block(1, 0, values("x", root="m", key="k"))])
EMOJI = write_update([block(1, 0, text("😀", root="t"))])
PLAIN = write_update([block(1, 0, text("abc", root="t"), shared_type("map", root="u"))])


@pytest.mark.rule("OP26")
@pytest.mark.parametrize(("update", "stays"), [(VALUES, False), (EMOJI, False), (ENTRY, True), (PLAIN, True)])
def test_what_may_make_a_text_uneven_is_noticed(update: bytes, stays: bool) -> None:
    texts = EvenTexts()
    texts.received(inspect(update))
    texts.note("t", [("abc", 3), ({"an": "embed"}, 1)])
    assert texts
    texts.received(inspect(update))
    assert ("t" in texts) is stays


@pytest.mark.rule("OP26")
def test_characters_of_two_units_make_it_uneven() -> None:
    texts = EvenTexts()
    texts.note("t", [("a😀", 3)])
    assert not texts
    texts.note("t", [("ab", 2)])
    texts.wrote("t", "c")
    assert "t" in texts
    texts.wrote("t", "😀")
    assert "t" not in texts


@pytest.mark.rule("OP26")
def test_places_are_checked_as_when_the_text_is_read() -> None:
    replica = Replica(write_update([block(1, 0, text("abc", root="t"))]), {"t": RootKind.TEXT}, 7)

    def insert(index: int, content: str) -> None:
        replica.apply([OperationDraft.from_json({"type": "insert", "position": ["t", index], "content": content})])

    insert(1, "x")
    insert(4, "y")
    with pytest.raises(OperationInvalid, match="beyond the end of the text, 5"):
        insert(6, "z")
    insert(0, "😀")
    with pytest.raises(OperationInvalid, match="inside of one character"):
        insert(1, "z")
    replica.advance((write_update([block(2, 0, text("😀", root="t"))]),))
    insert(0, "end")


@pytest.mark.rule("OP26")
def test_a_text_is_read_again_after_many_updates() -> None:
    replica = Replica(write_update([block(1, 0, text("abc", root="t"))]), {"t": RootKind.TEXT}, 7)
    replica.apply([OperationDraft.from_json({"type": "insert", "position": ["t", 1], "content": "x"})])
    many = [write_update([block(client, 0, text("y", root="t"))]) for client in range(100, 200)]
    replica.advance([*many, write_update([block(200, 0, text("😀", root="t"))])])
    inside = OperationDraft.from_json({"type": "insert", "position": ["t", 105], "content": "z"})  # it comes last
    with pytest.raises(OperationInvalid, match="inside of one character"):
        replica.apply([inside])
