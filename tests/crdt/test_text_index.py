"""Counting text in UTF-16 code units, here and in the engine."""

from __future__ import annotations

import pytest
from pycrdt import Text

from cowrite.crdt.text_index import is_unicode, splits_pair, utf16_length
from cowrite.crdt.utf16 import utf16_document


@pytest.mark.rule("OP5")
@pytest.mark.parametrize(
    ("text", "units"), [("", 0), ("abc", 3), ("é", 1), ("漢字", 2), ("😀", 2), ("a😀e\u0301", 5), ("\ud83d", 1)]
)
def test_length_in_code_units(text: str, units: int) -> None:
    """Characters beyond U+FFFF count two, all others one."""
    assert utf16_length(text) == units


@pytest.mark.rule("OP5")
def test_places_inside_of_a_character() -> None:
    """Only between the two halves of one character; two halves that do not belong together are two."""
    assert [splits_pair("a😀b", index) for index in range(5)] == [False, False, True, False, False]
    assert not any(splits_pair("abc", index) for index in range(4))
    assert not any(splits_pair("é漢", index) for index in range(3))
    assert not splits_pair("\ud83d\ud83d", 1)


@pytest.mark.rule("OP18")
def test_half_a_pair_is_no_unicode() -> None:
    """JSON can say it, UTF-8 cannot."""
    assert is_unicode("😀\0")
    assert not is_unicode("\ud83d")


@pytest.mark.rule("OP5")
def test_documents_count_in_utf16() -> None:
    """The engine's own unit is the UTF-8 byte; this would fail with an engine that has changed."""
    document = utf16_document()
    text = document.get("text", type=Text)
    text.insert(0, "a😀e\u0301漢b")
    assert len(text) == 7
    text.insert(3, "X")
    assert str(text) == "a😀Xe\u0301漢b"
    del text[6:7]
    assert str(text) == "a😀Xe\u0301b"


@pytest.mark.rule("OP24")
@pytest.mark.parametrize("client_id", [0, 7, 2**53 - 1])
def test_a_document_has_the_client_id_that_was_asked_for(client_id: int) -> None:
    """Its updates are made under it; without one each document has its own."""
    document = utf16_document(client_id)
    assert document.client_id == client_id
    document.get("text", type=Text).insert(0, "a")
    copy = utf16_document()
    copy.apply_update(document.get_update())
    assert copy.get_state() == document.get_state()
    assert utf16_document().client_id != utf16_document().client_id


@pytest.mark.rule("HI1")
@pytest.mark.parametrize("keep", [False, True])
def test_a_document_keeps_what_is_deleted_when_it_was_asked_to(keep: bool) -> None:
    """Also what was there when it was deleted by somebody else; this would fail with an engine that has changed."""
    writer = utf16_document()
    text = writer.get("text", type=Text)
    text.insert(0, "kept, forgotten, kept")
    document = utf16_document(keep_deleted=keep)
    document.apply_update(writer.get_update())
    before = writer.get_state()
    del text[4:15]
    document.apply_update(writer.get_update(before))
    assert str(document.get("text", type=Text)) == "kept, kept"
    assert (b"forgotten" in document.get_update()) is keep
