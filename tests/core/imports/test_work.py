"""What is found in a large update, apart from the process in which that happens."""

from __future__ import annotations

from array import array
from io import BytesIO
from typing import Any, NoReturn

import pytest

from core.rooms.large_updates_tools import embeds
from cowrite.core.imports import work as module
from cowrite.core.imports.frames import Kind, PipeClosed, read_frame, write_frame
from cowrite.core.imports.work import SLICE_PARTS, work
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.testing.yjs_writer import block, deleted, embed, text, write_update


def answers(update: bytes, document: Document | None = None) -> list[tuple[Kind, bytes]]:
    """All that is said; ``document`` tells what it is asked for."""
    document = document if document is not None else Document.empty()
    incoming, outgoing = BytesIO(), BytesIO()
    write_frame(incoming, Kind.GIVEN, update)
    write_frame(incoming, Kind.GIVEN, encode_state_vector(document.state))
    starts = {client: start for client, start, end in inspect(update).brings if start < document.state.get(client, 0)}
    write_frame(incoming, Kind.GIVEN, document.held(starts))
    incoming.seek(0)
    work(incoming, outgoing)
    outgoing.seek(0)
    said = []
    while True:
        try:
            said.append(read_frame(outgoing, 1 << 20))
        except PipeClosed:
            return said


def holding(update: bytes) -> Document:
    document = Document.empty()
    document.apply(update, inspect(update))
    return document


@pytest.mark.rule("IM1")
def test_all_of_an_update_that_builds_on_nothing_comes_back_in_slices() -> None:
    update = embeds(2 * SLICE_PARTS + 1)
    found, *parts, end = answers(update)
    assert found == (Kind.FOUND, b"\1")
    assert end == (Kind.END, b"")
    assert [kind for kind, _ in parts] == [Kind.SLICE] * 3
    document = Document.empty()
    for _, part in parts:
        document.apply(part, inspect(part))
    assert document.state == {1: 2 * SLICE_PARTS + 1}


@pytest.mark.rule("IM1")
def test_of_what_builds_on_something_unknown_a_part_comes_back() -> None:
    update = write_update([block(1, 0, text("a", root="t")), block(2, 0, text("b", origin=(9, 0)))])
    found, one, _ = answers(update)
    assert found == (Kind.FOUND, b"\0")
    assert one == (Kind.SLICE, write_update([block(1, 0, text("a", root="t"))]))
    assert answers(write_update([block(2, 0, text("b", origin=(9, 0)))])) == [(Kind.FOUND, b"\0"), (Kind.END, b"")]


@pytest.mark.rule("IM1")
def test_what_the_document_holds_is_compared() -> None:
    document = holding(write_update([block(1, 0, text("ab", root="t")), block(2, 0, text("c", root="t"))]))
    same = write_update([block(2, 0, text("cd", root="t")), block(1, 1, text("b", origin=(1, 0)))])
    found, *_, end = answers(same, document)
    assert found == (Kind.FOUND, b"\1" + array("Q", [1, 1, 2, 0]).tobytes()) or found == (
        Kind.FOUND,
        b"\1" + array("Q", [2, 0, 1, 1]).tobytes(),
    )
    assert end[0] is Kind.END
    other = write_update([block(1, 0, text("aX", root="t"))])
    assert [kind for kind, _ in answers(other, document)] == [Kind.FOUND, Kind.CONTRADICTS]


@pytest.mark.rule("IM2")
def test_what_is_hostile_is_refused_with_the_reason() -> None:
    update = write_update([block(1, 0, *[embed(1, origin=(1, 5), right=(1, 5))])])
    incoming, outgoing = BytesIO(), BytesIO()
    for given in (update, b"\0"):
        write_frame(incoming, Kind.GIVEN, given)
    incoming.seek(0)
    work(incoming, outgoing)
    outgoing.seek(0)
    kind, reason = read_frame(outgoing, 1000)
    assert kind is Kind.HOSTILE
    assert reason.startswith(b"future:")
    assert b"its own clock 5" in reason


@pytest.mark.rule("IM2")
def test_what_breaks_the_engine_is_refused_before_the_server_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> NoReturn:
        raise EngineFault("a panic")

    monkeypatch.setattr(Document, "from_log", broken)
    ((kind, reason),) = answers(write_update([block(1, 0, deleted(1, root="t"))]))
    assert kind is Kind.HOSTILE
    assert reason.startswith(b"engine:")
    assert b"a panic" in reason
    found, *_ = answers(write_update([block(1, 1, text("a", origin=(1, 0)))]), holding(write_update([block(1, 0, text("a"))])))
    assert found[0] is Kind.FOUND, "what builds on something is not tried out"


@pytest.mark.rule("IM3")
def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(module, "missing", exhausted)
    assert answers(write_update([block(1, 0, text("a", root="t"))])) == [(Kind.MEMORY, b"")]


@pytest.mark.rule("IM4")
def test_it_ends_when_nobody_wants_to_know() -> None:
    outgoing = BytesIO()
    work(BytesIO(b""), outgoing)
    assert outgoing.getvalue() == b""
