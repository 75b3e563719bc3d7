"""A text that is edited here and elsewhere, in characters."""

from __future__ import annotations

import random
import weakref
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.editing.positions import EMBEDDED, Edit
from cowrite.crdt.editing.text import EditableText
from cowrite.crdt.values import InvalidValue
from crdt_editors import Editor, meet
from yjs_replicas import FUZZ

PIECES = "x", "ab ", "é", "漢字", "😀", "e\u0301", "👩\u200d👧", "\n"


@pytest.mark.rule("PY1")
def test_it_is_read_as_a_string() -> None:
    """Length, slices and the like are those of the string, whatever the characters take elsewhere."""
    ana = Editor()
    text = ana.text
    assert not text
    text.append("a😀e\u0301漢b")
    assert (str(text), len(text), text[1], text[-2:], bool(text), "漢" in text) == ("a😀e\u0301漢b", 6, "😀", "漢b", True, True)
    assert repr(text) == "<EditableText 'a😀e\u0301漢b'>"
    text.insert(2, "X")
    assert str(text) == "a😀Xe\u0301漢b"
    text.delete(1, 3)
    assert str(text) == "ae\u0301漢b"
    text += "!"
    del text[0]
    del text[-1]
    del text[1:3]
    assert str(text) == "eb"
    assert ana.changes[-1].edits == (Edit(1, "\u0301漢", ""),)


@pytest.mark.rule("PY1", "PY4")
def test_a_replacement_is_one_edit() -> None:
    """It has the formatting of what it replaces."""
    ana, bo = Editor(), Editor()
    ana.text.append("plain ")
    ana.text.append("😀bold", {"bold": True})
    ana.updates.clear()
    ana.text.replace(6, 11, "new😀")
    (update,) = ana.updates
    assert ana.text.delta() == [{"insert": "plain "}, {"insert": "new😀", "attributes": {"bold": True}}]
    meet(ana, bo)
    assert bo.text.delta() == ana.text.delta()
    ana.text.replace(0, 6, "")
    ana.text.replace(0, 0, "😀")
    assert str(ana.text) == "😀new😀"
    assert update not in ana.updates[1:]


@pytest.mark.rule("PY1")
def test_formatting() -> None:
    """None as a value takes it away."""
    ana = Editor()
    ana.text.append("a😀bc")
    ana.text.format(1, 3, {"bold": True, "link": {"href": "/"}})
    assert ana.text.delta()[1] == {"insert": "😀b", "attributes": {"bold": True, "link": {"href": "/"}}}
    ana.text.format(0, 4, {"bold": None, "link": None})
    assert ana.text.delta() == [{"insert": "a😀bc"}]
    ana.updates.clear()
    ana.text.format(2, 2, {"bold": True})
    ana.text.delete(2, 2)
    ana.text.insert(2, "")
    assert ana.updates == []


@pytest.mark.rule("PY3")
@pytest.mark.parametrize(
    ("error", "edit"),
    [
        (IndexError, lambda text: text.insert(6, "x")),
        (IndexError, lambda text: text.insert(-1, "x")),
        (IndexError, lambda text: text.delete(0, 6)),
        (IndexError, lambda text: text.format(6, 7, {"bold": True})),
        (IndexError, lambda text: text.anchor(6)),
        (IndexError, lambda text: text.__delitem__(5)),
        (ValueError, lambda text: text.__delitem__(slice(0, 4, 2))),
        (InvalidValue, lambda text: text.insert(0, "\ud83d")),
        (InvalidValue, lambda text: text.replace(0, 1, "\ud83d")),
        (InvalidValue, lambda text: text.insert(0, "x", {"a": object()})),
        (InvalidValue, lambda text: text.format(0, 1, {"a" * 1_000_000: True})),
        (ValueError, lambda text: text.insert(Editor().text.anchor(0), "x")),
    ],
)
def test_what_is_refused_changes_nothing(error: type[Exception], edit: Any) -> None:
    ana = Editor()
    ana.text.append("a😀bcd")
    ana.updates.clear()
    with pytest.raises(error):
        edit(ana.text)
    assert (str(ana.text), ana.updates) == ("a😀bcd", [])
    ana.text.append("!")
    assert len(ana.updates) == 1


@pytest.mark.rule("PY2")
def test_anchors_stay_where_they_are() -> None:
    """Between the same two characters, as far as they are there; what is inserted at one comes before it."""
    ana, bo = Editor(), Editor()
    ana.text.append("one 😀 two")
    meet(ana, bo)
    anchor = ana.text.anchor(6)
    assert (ana.text[anchor.index :], repr(anchor)) == ("two", "Anchor(6)")
    bo.text.insert(0, "漢字 ")
    bo.text.append(" three")
    ana.hear(bo)
    assert anchor.index == 9
    ana.text.insert(anchor, "a")
    ana.text.insert(anchor, "b ")
    assert str(ana.text) == "漢字 one 😀 ab two three"
    ana.hear(bo)
    bo.hear(ana)
    bo.text.insert(anchor.index, "behind ")
    ana.hear(bo)
    ana.text.insert(anchor, "c ")
    assert str(ana.text) == "漢字 one 😀 ab c behind two three"
    bo.hear(ana)
    bo.text.delete(4, 14)
    ana.hear(bo)
    assert anchor.index == 4
    anchor.move(0)
    ana.text.delete(anchor, 3)
    assert (anchor.index, str(ana.text)) == (0, "obehind two three")
    with pytest.raises(IndexError):
        anchor.move(100)
    assert anchor.text is ana.text


@pytest.mark.rule("PY5")
def test_a_text_that_is_let_go_hears_nothing() -> None:
    """The engine, whose memory no collector sees, does not hold it."""
    ana = Editor()
    told: list[object] = []
    passing = EditableText(ana.document, ana.document.root("body", "text"), told.append)
    ana.text.append("a")
    gone = weakref.ref(passing)
    observer = passing._observer
    del passing
    ana.text.append("b")
    del observer
    ana.text.append("c")
    assert (len(told), gone()) == (1, None)


@pytest.mark.rule("PY1")
def test_what_editors_embed() -> None:
    """It is one character, and goes as one."""
    ana, quill = Editor(), Doc[Any]()
    theirs = quill.get("body", type=Text)
    theirs.insert(0, "ab")
    theirs.insert_embed(1, {"image": "x.png"})
    ana.document.apply(quill.get_update())
    assert str(ana.text) == f"a{EMBEDDED}b"
    assert ana.text.delta()[1] == {"embed": {"image": "x.png"}}
    ana.text.insert(2, "😀")
    ana.text.delete(1, 2)
    assert str(ana.text) == "a😀b"
    again = EditableText(ana.document, ana.document.root("body", "text"), lambda edits: None)
    assert str(again) == "a😀b"


@pytest.mark.fuzz
@pytest.mark.rule("PY1", "PY2")
@pytest.mark.parametrize("seed", range(int(40 * FUZZ)))
def test_two_who_edit_and_a_third_who_watches(seed: int) -> None:
    """After each exchange all three see the same, and every string is the engine's own."""
    rng = random.Random(seed)
    ana, bo, eve = Editor(), Editor(), Doc[Any]()
    watched = eve.get("body", type=Text)
    anchors = [ana.text.anchor(0)]
    for _ in range(60):
        who = rng.choice((ana, bo))
        size = len(who.text)
        start = rng.randint(0, size)
        stop = rng.randint(start, min(size, start + 4))
        match rng.randrange(6):
            case 0:
                who.text.delete(start, stop)
            case 1:
                who.text.replace(start, stop, rng.choice(PIECES))
            case 2:
                who.text.format(start, stop, {"bold": rng.choice((True, None))})
            case 3:
                ana.text.insert(rng.choice(anchors), "".join(rng.sample(PIECES, 2)))
            case _:
                who.text.insert(start, rng.choice(PIECES))
        if rng.random() < 0.2:
            anchors.append(ana.text.anchor(rng.randint(0, len(ana.text))))
        if rng.random() < 0.3:
            meet(ana, bo)
            eve.apply_update(ana.document.diff(eve.get_state()))
            assert str(ana.text) == str(bo.text) == str(watched)
        assert all(0 <= anchor.index <= len(ana.text) for anchor in anchors)
        fresh = EditableText(ana.document, ana.document.root("body", "text"), lambda edits: None)
        assert str(fresh) == str(ana.text)


@pytest.mark.rule("PY2")
@pytest.mark.parametrize("seed", range(20))
def test_anchors_keep_their_neighbours(seed: int) -> None:
    """Where nobody deletes, the characters on both sides of an anchor are those of before, unless something came between."""
    rng = random.Random(seed)
    ana, bo = Editor(), Editor()
    ana.text.append("".join(chr(0x1F300 + number) for number in range(30)))
    meet(ana, bo)
    anchors = {ana.text.anchor(index): ana.text[index - 1] for index in range(1, 30)}
    for _ in range(30):
        bo.text.insert(rng.randint(0, len(bo.text)), rng.choice(PIECES))
        ana.text.insert(rng.randint(0, len(ana.text)), rng.choice(PIECES))
    meet(ana, bo)
    assert {anchor: ana.text[anchor.index - 1] for anchor in anchors} == anchors
