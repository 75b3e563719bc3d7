"""Somebody who edits a log's document, and operations as they are expected."""

from __future__ import annotations

from typing import Any

from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.model import Model


class Editor:
    """A Yjs client whose edits go into a log; a model follows."""

    def __init__(self) -> None:
        self.doc = utf16_document()
        self.log = LogDocument.empty()
        self.model = Model()
        self._updates: list[bytes] = []
        updates = self._updates
        self.doc.observe(lambda event: updates.append(event.update))

    def change(self) -> Change | None:
        """Commit what was edited since the last time."""
        updates = list(self._updates)
        self._updates.clear()
        return self.commit(*updates)

    def commit(self, *updates: bytes) -> Change | None:
        change = self.log.commit(updates, [inspect(update) for update in updates])
        for draft in change.operations if change is not None else ():
            self.model.apply(draft.to_json())
        assert self.model.state == get_state(self.log)
        return change

    def told(self) -> list[dict[str, Any]]:
        """The operations of what was edited since the last time."""
        change = self.change()
        return [draft.to_json() for draft in change.operations] if change is not None else []


def insert(*position: str | int, content: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": "insert", "position": list(position), "content": content, **attributes}


def form(*position: str | int, length: int = 1, **attributes: Any) -> dict[str, Any]:
    return {"type": "format", "position": list(position), "length": length, "attributes": attributes}
