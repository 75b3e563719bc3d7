"""The tree of a rich text editor, for programs: read as Markdown, HTML or plain text, and written by paragraphs."""

from __future__ import annotations

from collections.abc import Mapping

from cowrite.client.text import Text
from cowrite.crdt.editing.tree import EditableTree
from cowrite.crdt.values import Json
from cowrite.formats.html import to_html
from cowrite.formats.markdown import to_markdown
from cowrite.formats.text import to_text


class Tree(EditableTree):
    """A tree of a live document. ``str()`` gives its text, a line for each paragraph."""

    def __str__(self) -> str:
        return to_text(self._state())

    def to_markdown(self) -> str:
        """All of it as Markdown (CommonMark with tables, task lists and strike-through)."""
        return to_markdown(self._state())

    def to_html(self) -> str:
        """All of it as HTML, escaped, without anything that a browser would run."""
        return to_html(self._state())

    def append(self, tag: str, text: str = "", attributes: Mapping[str, Json] | None = None) -> Text:
        """Insert an element at the end: see :meth:`insert`."""
        return self.insert(len(self), tag, text, attributes)

    def insert(self, index: int, tag: str, text: str = "", attributes: Mapping[str, Json] | None = None) -> Text:
        """Insert an element with a text in it before the node at an index: ``insert(0, "heading", "Title", {"level": 1})``.

        Returns that text, to go on writing there. Which tags and attributes there are is the editor's affair: ``paragraph`` is
        one for nearly all. Raises ``IndexError``, and ``ValueError`` for what cannot be stored.
        """
        return self.insert_text(Text, index, tag, text, attributes)

    def text(self, index: int) -> Text:
        """The first text in the node at an index. Raises ``IndexError``, and ``LookupError`` where there is none."""
        return self.text_in(Text, index)

    def texts(self) -> list[tuple[int, Text]]:
        """All texts in it, at any depth and in their order, each with the index of the node that it is in."""
        return self.texts_in(Text)

    def _state(self) -> dict[str, Json]:
        return {"tree": {"$xml": None, "attrs": {}, "children": self.nodes()}}
