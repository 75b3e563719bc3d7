"""Copies that stand where their originals stood: a restore leaves them alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pycrdt import Array, Assoc, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.guard import inspect
from cowrite.crdt.history.restoring import Restored
from cowrite.crdt.utf16 import utf16_document
from crdt.history.copying_log import CopyingLog, brave_world, every_root, random_history
from crdt.history.test_restoring import WAYS, text_of
from crdt.random_edits import seeds

ALL = ["text", "xml", "map", "array"]


def written(result: Restored) -> tuple[int, int]:
    """How many clocks a restore writes and deletes."""
    if result.update is None:
        return 0, 0
    outline = inspect(result.update)
    brought, gone = (sum(end - start for _, start, end in ranges) for ranges in (outline.brings, outline.deletes))
    return brought, gone


def check_randomly(seed: int, roots: list[str]) -> None:
    """Each restore shows what was shown, and whose it was; then there is nothing more to restore."""
    log = random_history(seed, roots)
    rng = random.Random(seed)
    for _ in range(3):
        offset = rng.randrange(len(log.updates) + 1)
        log.restore(offset)
        assert log.restoring(offset) == Restored(None)


@pytest.mark.fuzz
@pytest.mark.rule("RS2", "RS7", "RS13")
@pytest.mark.parametrize("roots", WAYS, ids=["text", "xml", "map", "array", "all"])
def test_random_histories_with_restores(roots: list[str]) -> None:
    for seed in seeds(6, start=8000):
        try:
            check_randomly(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.rule("RS2", "RS7", "RS13")
def test_some_random_histories() -> None:
    """Some of the above, so that they are counted."""
    for seed in range(8000, 8003):
        check_randomly(seed, ALL)


def restore_at_random(seed: int) -> None:
    """No character is typed twice: what stands there, and what is written, can be told by the characters."""
    rng = random.Random(seed)
    log = CopyingLog()
    fresh = iter(range(0x4E00, 0x9FFF))

    def edit(typed: Text) -> None:
        start = rng.randrange(len(typed) + 1)
        if rng.random() < 0.45 and start < len(typed):
            del typed[start : min(len(typed), start + rng.randrange(1, 8))]
        else:
            typed.insert(start, "".join(chr(next(fresh)) for _ in range(rng.randrange(1, 7))))

    for _ in range(rng.randrange(10, 40)):
        if rng.random() < 0.4:
            offset = rng.randrange(len(log.updates) + 1)
            have, want = set(text_of(log.document)), set(text_of(log.at(offset)))
            assert written(log.restore(offset)) == (len(want - have), len(have - want)), offset
        else:
            log.edit(Text, "t", edit)


@pytest.mark.rule("RS13")
def test_restores_of_restores_write_only_what_differs() -> None:
    for seed in seeds(12, start=100):
        try:
            restore_at_random(seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


# -- what stays ---------------------------------------------------------------------------------------------------------------


# -- what stays ---------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("RS13")
def test_a_caret_in_a_copy_stays() -> None:
    log = brave_world()
    doc = utf16_document()
    doc.apply_update(log.document.encode())
    caret = doc.get("t", type=Text).sticky_index(9, Assoc.AFTER)
    result = log.restore(1)
    assert written(result) == (0, 1)
    assert result.update is not None
    doc.apply_update(result.update)
    assert str(doc.get("t", type=Text)) == "Hello brave world"
    assert caret.get_index() == 9


@pytest.mark.rule("RS13")
def test_what_was_brought_back_twice_at_once_stays_once() -> None:
    """By people who did not know of one another; the log of the server lets only one of them, an import may hold both."""
    log = brave_world()
    again = CopyingLog()
    for update, copies in zip(log.updates[:2], log.copies[:2], strict=True):
        again.commit([update], copies)
    first, second = again.restoring(1), again.restoring(1)
    again.bring(first)
    again.bring(second)
    assert text_of(again.document) == "Hello brave brave world"
    assert written(again.restore(1)) == (0, 6)
    again.edit(Text, "t", lambda typed: typed.insert(0, "?"))
    again.restore(2)
    assert text_of(again.document) == "Hello world"
    again.restore(4)
    assert text_of(again.document) == "Hello brave brave world"
    again.edit(Text, "t", lambda typed: typed.insert(0, "?"))
    assert written(again.restore(4))[1] == 7  # one of both is not known as what it is


@pytest.mark.rule("RS13")
def test_what_stays_in_shared_types() -> None:
    """Paragraphs, formats, embedded types, lists in maps: of a copy only what differs is written."""

    def write(doc: Doc[Any]) -> None:
        doc.get("x", type=XmlFragment).children.append(XmlElement("p", {"level": "1"}, [XmlText("one two"), XmlElement("br")]))
        typed = doc.get("t", type=Text)
        typed.insert(0, "bold 😀 plain")
        typed.format(0, 4, {"bold": True})
        typed.insert_embed(5, Map({"k": Array([1, 2])}))
        doc.get("m", type=Map)["list"] = Array(["a", Map({"in": 1}), "c"])
        doc.get("a", type=Array).extend([1, Text("abc"), 3])

    def wipe(doc: Doc[Any]) -> None:
        del doc.get("x", type=XmlFragment).children[0]
        del doc.get("t", type=Text)[0:14]
        del doc.get("m", type=Map)["list"]
        del doc.get("a", type=Array)[0:3]

    def touch(doc: Doc[Any]) -> None:
        doc.get("x", type=XmlFragment).children[0].children[0].insert(3, "!")
        typed = doc.get("t", type=Text)
        del typed[2:3]
        typed.format(8, 10, {"bold": True})
        doc.get("m", type=Map)["list"].insert(0, "new")
        doc.get("m", type=Map)["list"][2]["in"] = 2
        array = doc.get("a", type=Array)
        array[1].insert(1, "?")
        del array[0]

    log = CopyingLog()
    for number, edit in enumerate((write, wipe), 1):
        every_root(log, edit, number)
    log.restore(1)
    every_root(log, touch, 3)
    brought, gone = written(log.restore(1))
    assert brought <= 8
    assert gone <= 10
    assert not any(root["changed"] for root in log.told(1, len(log.updates))["roots"])
