"""What brings a peer up to date, as frames."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest

from cowrite.core.delivery import state_frames
from cowrite.core.delivery.state_frames import StateFrames
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.protocol import yjs
from cowrite.protocol.hocuspocus import HocuspocusDialect
from cowrite.protocol.messages import SyncStep2, Update

pytestmark = pytest.mark.rule("RO40")


class Typing:
    """A document in which somebody types."""

    def __init__(self, size: int = 300_000) -> None:
        self.live = Document.empty()
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.text = self.doc.get("body", type=pycrdt.Text)
        self.doc.observe(self._changed)
        self.text += "x" * size

    def _changed(self, event: pycrdt.TransactionEvent) -> None:
        self.live.apply(event.update, inspect(event.update))

    def shown(self, frames: object) -> str:
        """What somebody sees who is given these frames."""
        other: pycrdt.Doc[Any] = pycrdt.Doc()
        for frame in frames:  # type: ignore[attr-defined]
            message = yjs.decode(frame)
            assert isinstance(message, SyncStep2 | Update)
            other.apply_update(message.update)
        return str(other.get("body", type=pycrdt.Text))


def test_a_crowd_shares_the_state_while_somebody_types() -> None:
    typing, frames = Typing(), StateFrames()
    (state,) = frames.behind({}, typing.live, yjs.YJS)
    assert isinstance(yjs.decode(state), SyncStep2)
    for number in range(5):
        typing.text += str(number)
        del typing.text[0:1]
        *others, last = frames.behind({}, typing.live, yjs.YJS)
        assert last is state
        assert [type(yjs.decode(other)) for other in others] == [Update]
        assert typing.shown([*others, last]) == str(typing.text)
        again = frames.behind({}, typing.live, yjs.YJS)
        assert [*map(id, again)] == [*map(id, others), id(last)]


def test_what_has_come_since_is_merged_in_portions_that_are_shared() -> None:
    typing, frames = Typing(), StateFrames()
    frames.behind({}, typing.live, yjs.YJS)
    kept: list[bytes] = []
    for number in range(12):
        typing.text += chr(97 + number) * 4000
        typing.text += "."
        *others, _ = frames.behind({}, typing.live, yjs.YJS)
        assert [id(one) for one in others[: len(kept)]] == [*map(id, kept)]
        kept = others[:-1]
        assert typing.shown(frames.behind({}, typing.live, yjs.YJS)) == str(typing.text)
    assert len(kept) == 2
    fresh = StateFrames().behind({}, typing.live, yjs.YJS)
    assert len(fresh) == 4, "the same when all of it is merged at once"
    assert typing.shown(fresh) == str(typing.text)


def test_each_dialect_has_its_frames() -> None:
    typing, frames, other = Typing(), StateFrames(), HocuspocusDialect("doc")
    typing.text += "hello"
    frames.behind({}, typing.live, yjs.YJS)
    typing.text += " world"
    ours, theirs, again = (frames.behind({}, typing.live, dialect) for dialect in (yjs.YJS, other, yjs.YJS))
    assert ours == again != theirs
    assert theirs[-1] == other.encode(SyncStep2(typing.live.base()[0]))
    diffs = [frames.behind(typing.live.state, typing.live, dialect) for dialect in (yjs.YJS, yjs.YJS, other)]
    assert diffs[0][0] is diffs[1][0]
    assert diffs[2][0] != diffs[1][0]


def test_a_small_document_is_encoded_as_it_is_now() -> None:
    typing, frames = Typing(100), StateFrames()
    frames.behind({}, typing.live, yjs.YJS)
    typing.text += "y"
    one, other = frames.behind({}, typing.live, yjs.YJS), frames.behind({}, typing.live, yjs.YJS)
    assert one[0] is other[0]
    assert one == (yjs.encode(SyncStep2(typing.live.encode())),)


def test_who_has_something_gets_the_rest_in_one_frame() -> None:
    typing, frames = Typing(), StateFrames()
    typing.text += "hello"
    frames.behind({}, typing.live, yjs.YJS)
    (client,) = typing.live.state
    typing.text += " world"
    (frame,) = frames.lacking({client: 300_005}, typing.live, yjs.YJS)
    message = yjs.decode(frame)
    assert isinstance(message, SyncStep2)
    assert b"world" in message.update
    assert b"hello" not in message.update
    assert frames.lacking({client: 0}, typing.live, yjs.YJS) == frames.behind({client: 0}, typing.live, yjs.YJS)
    frames.forget()
    assert typing.shown(frames.behind({}, typing.live, yjs.YJS)).endswith("hello world")


def test_what_cannot_be_merged_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    typing, frames = Typing(), StateFrames()
    frames.behind({}, typing.live, yjs.YJS)
    typing.text += "hello"
    typing.text += " world"

    def broken(updates: object) -> bytes:
        raise EngineFault("for a test")

    monkeypatch.setattr(state_frames, "merge_updates", broken)
    (frame,) = frames.behind({}, typing.live, yjs.YJS)
    assert typing.shown([frame]).endswith("hello world")
    monkeypatch.undo()
    assert typing.shown(frames.behind({}, typing.live, yjs.YJS)).endswith("hello world")
