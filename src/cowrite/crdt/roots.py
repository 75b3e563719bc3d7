"""Kinds of a document's roots.

What a root is, is written nowhere in the Yjs format: it is how editors use the name. It is inferred from what can be seen in
the root at the end of the first commit that leaves anything to be seen there, and then never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class RootKind(StrEnum):
    """What a root is."""

    TEXT = "text"
    MAP = "map"
    ARRAY = "array"
    XML = "xml"
    MIXED = "mixed"
    """It holds things that do not go together (text under a name that is an array elsewhere): no operations, no state."""


class Seen(StrEnum):
    """What can be seen in a root's list: the evidence for its kind."""

    TEXT = "text"
    """Text, a value embedded in text, or anything with a format."""
    NODE = "node"
    """An XML element or XML text."""
    FRAGMENT = "fragment"
    """An XML fragment, which may stand among XML nodes and in an array."""
    ITEM = "item"
    """Anything else: a plain value, a nested map, array or text, a subdocument."""


def infer_kind(listed: Sequence[Seen], *, keyed: bool) -> RootKind | None:
    """Return the kind of a root, None while there is nothing to be seen in it.

    ``listed`` is what its list holds, ``keyed`` whether it has entries. The list tells more than the entries, because
    texts and XML have attributes, which are entries. Text decides before all else: only a text can show it, and a text shows
    nested types too.
    """
    if Seen.TEXT in listed:
        return RootKind.TEXT
    if Seen.ITEM in listed:
        return RootKind.ARRAY
    if Seen.NODE in listed:
        return RootKind.XML
    if listed:
        return RootKind.ARRAY
    return RootKind.MAP if keyed else None


def shows_xml(items: Sequence[Any]) -> bool:
    """Tell whether the first items of a root, as JSON, mean an XML tree: XML nodes alone, and not only fragments.

    The same answer as :func:`infer_kind` gives for what the items become.
    """
    tags = [item.keys() & {"$xml", "$xmltext"} if isinstance(item, dict) else set() for item in items]
    return all(tags) and any(item.get("$xml", "") is not None for item in items)
