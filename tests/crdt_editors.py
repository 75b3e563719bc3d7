"""Documents that are edited here, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from cowrite.crdt.editing.document import Change, EditableDocument
from cowrite.crdt.editing.text import EditableText


@dataclass
class Editor:
    """A document with a text, ``body``, in somebody's hands."""

    updates: list[bytes] = field(default_factory=list)
    """What was made here."""
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.document = EditableDocument(self.updates.append, self.changes.append)
        self.text = EditableText(
            self.document, self.document.root("body", "text"), lambda edits: self.document.tell("body", edits)
        )

    def hear(self, other: Editor) -> None:
        """Take what the other one has and this one lacks."""
        self.document.apply(other.document.diff(self.document.state_vector()))


def meet(*editors: Editor) -> None:
    """All have what all have."""
    for one in editors:
        for other in editors:
            one.hear(other)
