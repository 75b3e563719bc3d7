"""All that an update of a peer goes through, on both documents of a room, and what may be asked of them afterwards."""

from __future__ import annotations

import json
from typing import Any

import pycrdt

from cowrite.crdt.document import Document
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import missing
from cowrite.crdt.slices import ready_part
from cowrite.crdt.state import get_state
from cowrite.crdt.state_vector import decode_state_vector
from cowrite.formats import to_html, to_markdown, to_text
from cowrite.testing.model import Model, ModelError


class Admission:
    """The live document and the log of a room, and an editor that is sent what is new. An ``EngineFault`` is a finding."""

    def __init__(self) -> None:
        self.live = Document.empty()
        self.live.prepare()  # as rooms do
        self.log = LogDocument.empty()
        self.editor: pycrdt.Doc[Any] = pycrdt.Doc()
        self.taken = 0
        self.replays = True
        """Whether who replays the operations has the document. Not so after some content that no editor writes."""
        self._model = Model()

    def send(self, update: bytes) -> str:
        """Returns what became of it: ``taken``, ``known``, or why it was refused."""
        try:
            outline = inspect(update)
            if missing(outline, self.live.state):
                update = ready_part(update, outline, self.live.state)
                outline = inspect(update)
            if self.live.contradicts(update, outline):
                return "contradicts"
            fresh = self.live.admit(update, outline)
        except HostileUpdate as refused:
            return refused.code
        if fresh is None:
            return "known"
        self.taken += 1
        self.editor.apply_update(fresh)
        change = self.log.commit([update], [outline])
        assert change is not None, "what is new to one document is new to the other"
        self._replay([json.loads(json.dumps(operation.to_json())) for operation in change.operations])
        return "taken"

    def end(self) -> None:
        """Look at everything that was made."""
        state = self.live.encode()
        assert self.log.state == self.live.state == decode_state_vector(self.editor.get_state())
        again = LogDocument.from_state(self.log.encode(), self.log.roots)
        shown = get_state(self.log)
        self.replays = self.replays and _filled(json.loads(json.dumps(shown))) == _filled(self._model.state)
        assert again.state == self.live.state
        for other in (again.encode(), state, Document.from_state(state).encode(), self.editor.get_update()):
            assert get_state(LogDocument.from_state(other, self.log.roots)) == shown, "all replicas show the same, also anew"
        inspect(state)
        for render in (to_html, to_markdown, to_text):
            render(shown).encode(errors="replace")

    def _replay(self, operations: list[dict[str, Any]]) -> None:
        try:
            for operation in operations if self.replays else ():
                self._model.apply(operation)
        except ModelError:
            self.replays = False


def _filled(state: dict[str, Any]) -> dict[str, Any]:
    """A root that was made and emptied in one entry is nowhere but in the document."""
    return {name: value for name, value in state.items() if any(value.values())}
