"""A document that is edited here: what it tells, takes and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.editing.document import NOTHING, Change, EditableDocument, merged
from cowrite.crdt.editing.positions import Edit
from cowrite.crdt.editing.text import EditableText
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.state_vector import MalformedStateVector
from cowrite.crdt.values import InvalidValue
from crdt_editors import Editor, meet


@pytest.mark.rule("PY4")
def test_each_edit_is_told_as_an_update() -> None:
    """Those of others are not, but all are told as changes, with who made them."""
    ana, bo = Editor(), Editor()
    ana.text.append("a")
    ana.text.append("b")
    assert len(ana.updates) == 2
    bo.document.apply(merged(ana.updates))
    assert (str(bo.text), bo.updates) == ("ab", [])
    assert merged(ana.updates[:1]) == ana.updates[0]
    assert [change.local for change in ana.changes] == [True, True]
    assert bo.changes == [Change("body", local=False, edits=(Edit(0, "", "ab"),))]
    assert ana.document.client_id != bo.document.client_id


@pytest.mark.rule("PY4")
def test_state_goes_from_one_to_the_other() -> None:
    ana, bo = Editor(), Editor()
    ana.text.append("a" * 1000)
    before = ana.document.state_vector()
    ana.text.append("b")
    bo.document.apply(ana.document.encode())
    assert str(bo.text) == "a" * 1000 + "b"
    assert bo.document.state_vector() == ana.document.state_vector()
    assert len(ana.document.diff(before)) < len(ana.document.encode())
    bo.document.apply(NOTHING)
    with pytest.raises(MalformedStateVector):
        ana.document.diff(b"\x01")


@pytest.mark.rule("PY13")
def test_what_was_written_since() -> None:
    """It is joined, however many edits it was; what others wrote is not in it, but for deletions."""
    ana, bo, eve = Editor(), Editor(), Editor()
    bo.text.append("bo")
    meet(ana, bo)
    assert ana.document.clock == 0
    ana.text.append("known ")
    clock = ana.document.clock
    eve.hear(ana)
    for _ in range(1000):
        ana.text.append("x")
    ana.text.delete(0, 1)
    update = ana.document.written_since(clock)
    assert len(update) < 1100 < len(merged(ana.updates))
    eve.document.apply(update)
    assert str(eve.text) == str(ana.text)


@pytest.mark.rule("PY3")
def test_what_cannot_be_read_is_refused() -> None:
    """The document goes on."""
    ana = Editor()
    ana.text.append("a")
    for take in (ana.document.apply, ana.document.merge):
        with pytest.raises(ValueError, match="Cannot decode"):
            take(b"\x05garbage")
    with pytest.raises(InvalidValue):
        ana.document.root("x" * 1_000_000, "text")
    ana.text.append("b")
    assert str(ana.text) == "ab"


@pytest.mark.rule("PY15")
def test_what_is_merged_counts_as_made_here() -> None:
    ana, bo = Editor(), Editor()
    ana.text.append("a")
    bo.document.merge(ana.document.encode())
    bo.document.merge(ana.document.encode())
    assert (str(bo.text), len(bo.updates)) == ("a", 1)
    assert bo.changes[0].local
    bo.document.apply(ana.document.encode())
    ana.text.append("b")
    meet(ana, bo)
    assert len(bo.updates) == 1


@pytest.mark.rule("PY14")
def test_edits_may_be_forbidden() -> None:
    """It is asked before each; nothing has changed then."""
    ana, bo = Editor(), Editor()
    bo.text.append("b")

    def forbid() -> None:
        raise PermissionError

    ana.document.may_edit = forbid
    edits: list[Callable[[], None]] = [lambda: ana.text.append("a"), lambda: ana.document.merge(bo.document.encode())]
    for edit in edits:
        with pytest.raises(PermissionError):
            edit()
    assert (str(ana.text), ana.updates) == ("", [])
    ana.document.apply(bo.document.encode())
    assert str(ana.text) == "b"


@pytest.mark.rule("PY5")
def test_after_a_fault_nothing_can_be_done() -> None:
    """The engine's panics are no ``Exception``: they are made one."""
    ana = Editor()
    ana.text.append("ab")
    with pytest.raises(EngineFault, match="engine failed"):
        ana.document.write(lambda txn: ana.text._handle.remove_range(txn, 0, 100))
    for use in (lambda: ana.text.append("c"), ana.document.encode, ana.document.state_vector):
        with pytest.raises(EngineFault, match="cannot be used any more"):
            use()
    ana.document.close()


@pytest.mark.rule("PY5")
def test_interrupts_pass() -> None:
    """A fault is what the engine did, and not what somebody pressed."""
    ana = Editor()

    def interrupted(txn: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ana.document.write(interrupted)


@pytest.mark.rule("PY5")
def test_it_can_be_closed() -> None:
    ana = Editor()
    ana.text.append("a")
    ana.document.close()
    ana.document.close()
    with pytest.raises(EngineFault, match="it was closed"):
        ana.document.encode()
    assert str(ana.text) == "a"


@pytest.mark.rule("PY1")
def test_what_others_wrote_before_is_there() -> None:
    """Also where the text is looked at only then."""
    theirs: Doc[Any] = Doc()
    theirs.get("notes", type=Text).insert(0, "a😀")
    document = EditableDocument(lambda update: None, lambda change: None)
    document.apply(theirs.get_update())
    assert str(EditableText(document, document.root("notes", "text"), lambda edits: None)) == "a😀"
