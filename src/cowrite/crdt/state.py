"""A document as JSON."""

from __future__ import annotations

from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json


def get_state(document: LogDocument) -> dict[str, Json]:
    """Return what can be seen in a document: for each root, by name in order, a tagged value.

    A text is ``{"$text": delta}``, a map ``{"$map": entries}``, an array ``{"$array": items}``, an XML tree
    ``{"$xml": null, "attrs": attributes, "children": nodes}``; :mod:`cowrite.crdt.shared_types` says what is in them. Roots in
    which nothing could be seen yet, and roots that are mixed, are left out. Replaying the document's operations gives the same.

    Takes time in proportion to the document, and for an array to the square of its separately inserted runs of items. Raises
    :class:`~cowrite.crdt.errors.EngineFault`.
    """
    return document.content()


def text(document: LogDocument, root: str) -> str:
    """Return the text of a root: without formatting, without what is embedded in it. "" for a root that is no text."""
    if document.roots.get(root) is not RootKind.TEXT:
        return ""
    return "".join(piece.get("insert", "") for piece in document.content()[root]["$text"])
