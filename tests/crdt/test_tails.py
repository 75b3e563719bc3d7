"""Keystrokes that go on where their client has typed last: told without the engine, as the engine would tell them."""

from __future__ import annotations

import random
from typing import Any, NoReturn

import pytest
from pycrdt import Map, UndoManager, XmlElement, XmlFragment, XmlText

from cowrite.crdt import tails
from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.outline import missing
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, write_update
from cowrite.testing.yjs_writer import text as string
from crdt.random_edits import FUZZ
from crdt.typists import Logs, Typist, act, typing

pytestmark = pytest.mark.rule("OP1", "OP2", "OP3")


def test_who_goes_on_typing_needs_no_engine() -> None:
    logs, ana = typing("Once ", "upon ", "a time")
    assert logs.typed == 2
    logs.check()
    assert str(ana.text) == "Once upon a time"


def test_several_keystrokes_of_one_run_are_one_struct_and_one_operation() -> None:
    logs, ana = typing("a")
    for text in ("b" * 100, "é", "😀" * 30):
        ana.type(text)
    change = logs.take(ana)
    assert change is not None
    assert logs.typed == 1
    assert inspect(change.update).structs == 1
    assert [draft.content for draft in change.operations] == ["b" * 100 + "é" + "😀" * 30]
    logs.check()


def test_others_who_type_before_or_behind_move_the_place() -> None:
    logs, ana = typing("hello")
    ben = Typist(2)
    ben.receive(logs.log)
    ben.type("Oh, ", at=0)
    logs.take(ben)
    ana.type(" there")
    logs.take(ana)
    ben.type("well, ")
    logs.take(ben)
    ana.type("!")
    logs.take(ana)
    assert logs.typed == 3
    logs.check()
    assert get_state(logs.log) == {"t": {"$text": [{"insert": "Oh, well, hello there!"}]}}


@pytest.mark.parametrize("other", [1, 3])
def test_who_puts_something_at_the_same_place_makes_it_uncertain(other: int) -> None:
    """Of two that come behind the same unit the one of the lower client id comes first."""
    logs, ana = typing("ab", client=2)
    ben = Typist(other)
    ben.receive(logs.log)
    ben.type("X", at=2)
    ana.type("c")
    logs.take(ben)
    logs.take(ana)
    assert logs.typed == 0
    logs.check()
    ana.type("d")
    logs.take(ana)
    assert logs.typed == 1
    logs.check()


def delete(typist: Typist) -> None:
    del typist.text[1:2]


def delete_the_last(typist: Typist) -> None:
    del typist.text[2:3]


def embolden(typist: Typist) -> None:
    typist.text.format(0, 2, {"bold": True})


def embed(typist: Typist) -> None:
    typist.text.insert_embed(0, {"image": 1})


def title(typist: Typist) -> None:
    typist.doc.get("m", type=Map)["title"] = "x"


def paragraph(typist: Typist) -> None:
    typist.doc.get("x", type=XmlFragment).children.append(XmlElement("p"))


def type_much(typist: Typist) -> None:
    with typist.doc.transaction():
        for index in range(70):
            typist.text.insert(2 * index, "-")


@pytest.mark.parametrize("change", [delete, delete_the_last, embolden, embed, title, paragraph, type_much])
def test_after_any_other_change_the_place_is_as_the_engine_tells(change: Any) -> None:
    logs, ana = typing("a", "bc")
    ben = Typist(2)
    ben.receive(logs.log)
    change(ben)
    logs.take(ben)
    for text in ("d", "e", "f"):
        ana.type(text)
        logs.take(ana)
        logs.check()


def test_what_is_typed_elsewhere_is_looked_for() -> None:
    logs, ana = typing("abc", "def")
    for at in (3, 0):
        ana.type("X", at=at)
        logs.take(ana)
        ana.type("Y")
        logs.take(ana)
    assert logs.typed == 3
    logs.check()


def test_a_run_that_goes_on_and_then_elsewhere_is_looked_for() -> None:
    logs, ana = typing("abc")
    ana.type("def")
    ana.type("X", at=1)
    logs.take(ana)
    ana.type("Y")
    ana.type("Z", at=0)
    logs.take(ana)
    assert logs.typed == 0
    logs.check()


def test_a_run_that_goes_on_and_then_deletes_is_looked_for() -> None:
    logs, ana = typing("abc")
    ana.type("def")
    del ana.text[0:1]
    logs.take(ana)
    assert logs.typed == 0
    logs.check()


def test_an_update_that_types_on_and_deletes_is_looked_for() -> None:
    """Alone, and as the first of a run: as keystrokes alone they would lose what they delete."""
    for more in ((), ("x",)):
        logs, ana = typing("abc")
        with ana.doc.transaction():
            ana.type("def")
            del ana.text[0:1]
            ana.cursor -= 1
        for text in more:
            ana.type(text)
        logs.take(ana)
        assert logs.typed == 0
        logs.check()


@pytest.mark.rule("OP30")
@pytest.mark.parametrize("right", [(1, 0), (1, 1), (2, 0)])
def test_a_keystroke_with_another_right_neighbour_is_looked_for(right: tuple[int, int]) -> None:
    """One before its left neighbour, in the same piece, makes the engine put it elsewhere; alone, and within a run."""
    for run in (False, True):
        logs, ana = typing("abc")
        ben = Typist(2)
        ben.receive(logs.log)
        ben.type("Z", at=0)
        logs.take(ben)
        odd = write_update([block(1, 4 if run else 3, string("x", origin=(1, 3 if run else 2), right=right))])
        if run:
            ana.type("d")
        logs.commit([*ana.take(), odd])
        assert logs.typed == 0
        assert get_state(logs.log) == get_state(logs.oracle) == get_state(rebuild_at(None, {}, logs.entries))


def test_what_was_typed_counts_towards_the_size() -> None:
    logs, ana = typing("abc")
    before = logs.log.encoded_size
    ana.type("x" * 1000)
    logs.take(ana)
    assert logs.typed == 1
    assert logs.log.encoded_size >= before + 1000


def test_a_text_that_is_formatted_is_looked_for() -> None:
    logs, ana = Logs(), Typist(1)
    ana.text.insert(0, "bold", {"bold": True})
    logs.take(ana)
    for at, text in ((4, "er"), (6, "!")):
        ana.type(text, at=at)
        change = logs.take(ana)
        assert change is not None
        assert change.operations[0].attributes == {"bold": True}
    assert logs.typed == 0


def test_what_goes_on_before_something_unknown_is_not_taken() -> None:
    """An update before it was refused, perhaps."""
    logs, ana = typing("ab")
    ben = Typist(3)
    ben.receive(logs.log)
    ben.type("X", at=2)
    ana._receiving = True
    ana.doc.apply_update(ben.take()[0])
    ana._receiving = False
    ana.type("c", at=2)
    updates = ana.take()
    outlines = [inspect(update) for update in updates]
    assert missing(outlines[0], logs.log.state)
    assert logs.log.type_on(updates, outlines) is None


def test_a_format_that_is_taken_back_makes_all_places_uncertain() -> None:
    """That only deletes: no struct comes with it."""
    logs, ana = typing("abc")
    ben = Typist(2)
    ben.receive(logs.log)
    manager = UndoManager(scopes=[ben.text])
    embolden(ben)
    logs.take(ben)
    ana.type("d")
    logs.take(ana)
    assert manager.undo()
    change = logs.take(ben)
    assert change is not None
    assert not change.ranges
    assert [draft.type for draft in change.operations] == ["format"]
    ana.type("e")
    logs.take(ana)
    assert logs.typed == 0
    logs.check()


def test_a_string_in_a_node_has_no_place() -> None:
    logs, ana = Logs(), Typist(1)
    children = ana.doc.get("x", type=XmlFragment).children
    text = children.append(XmlText("a"))
    logs.take(ana)
    for _ in range(2):
        text += "b"
        logs.take(ana)
    assert logs.typed == 0
    logs.check()


def test_a_root_that_is_given_up_has_no_places() -> None:
    """Somebody uses one name for a text and for a list: from then on nothing of it is told."""
    logs, ana = typing("a", "b")
    ben = Typist(2)
    ben.receive(logs.log)
    ben.doc.get("t", type=XmlFragment).children.append(XmlElement("p"))
    logs.take(ben)
    ana.type("c")
    logs.take(ana)
    logs.check()


def test_so_many_are_remembered_and_then_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "MAX_TAILS", 2)
    logs = Logs()
    typists = [Typist(client) for client in (1, 2, 3)]
    for text in "abc":
        for typist in typists:
            typist.receive(logs.log)
            typist.type(text, at=typist.cursor)
            logs.take(typist)
            assert len(logs.log._tails._ends) <= 2
    logs.check()


def test_a_log_that_rests_has_all_that_was_typed() -> None:
    logs, ana = typing("a", "b")
    logs.log.rest()
    ana.type("c")
    logs.take(ana)
    ana.type("d")
    logs.take(ana)
    assert logs.typed == 2
    logs.check()


def test_a_fault_of_the_engine_comes_when_it_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    logs, ana = typing("a", "b")
    ana.type("c")
    updates = ana.take()

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("poisoned")

    monkeypatch.setattr("cowrite.crdt.document.apply_all", fail)
    with pytest.raises(EngineFault, match="poisoned"):
        logs.log.catch_up()
    assert logs.log.type_on(updates, [inspect(update) for update in updates]) is None
    assert not logs.log.usable


@pytest.mark.fuzz
def test_what_many_type_at_random_is_told_as_the_engine_tells_it() -> None:
    typed = 0
    for seed in range(100 * FUZZ):
        rng = random.Random(seed)
        logs = Logs()
        typists = [Typist(client) for client in rng.sample(range(1, 100), rng.randrange(2, 6))]
        for _ in range(rng.randrange(10, 80)):
            typist = rng.choice(typists)
            act(rng, typist, logs)
            if rng.random() < 0.8:
                logs.take(typist)
        for typist in typists:
            logs.take(typist)
        logs.check()
        typed += logs.typed
    assert typed > 500 * FUZZ, "else this has tested nothing"
