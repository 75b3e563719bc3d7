"""Blocks as an editor's binding keeps them in a Yjs document. :mod:`cowrite.formats.shaping` makes them of what is imported."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Source(StrEnum):
    """What bytes are read as."""

    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
    PROSEMIRROR = "prosemirror"


class Shape(StrEnum):
    """For which editor a document is written."""

    TIPTAP = "tiptap"
    """An XML tree with the names of Tiptap's extensions."""
    PROSEMIRROR = "prosemirror"
    """The same with the names of ProseMirror's own schemas (basic, list, tables)."""
    TEXT = "text"
    """A text without formatting: Markdown, or what the source was."""
    QUILL = "quill"
    """A text with the formatting of Quill."""


ROOTS: Final[Mapping[Shape, str]] = {
    Shape.TIPTAP: "default",
    Shape.PROSEMIRROR: "prosemirror",
    Shape.TEXT: "text",
    Shape.QUILL: "text",
}
"""The roots that the editors' bindings have unless they are told another one; of texts, that of cowrite's examples."""
