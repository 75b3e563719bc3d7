"""Kinds of a document's roots."""

from __future__ import annotations

from enum import StrEnum


class RootKind(StrEnum):
    """What a root is: it is written nowhere in the Yjs format, and is inferred from the first content that shows it."""

    TEXT = "text"
    MAP = "map"
    ARRAY = "array"
    XML = "xml"
