"""Content operations: the JSON face of a document's changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""


class OperationType(StrEnum):
    """The three things that can happen to content."""

    INSERT = "insert"
    DELETE = "delete"
    FORMAT = "format"


@dataclass(frozen=True, slots=True)
class OperationDraft:
    """An operation as derived from an update, before it is given an id and an author."""

    type: OperationType
    position: tuple[str | int, ...]
    """Path: root name, child indexes or keys, then an index in UTF-16 code units or a map key."""
    content: Json = None
    """Insert only: ``str`` for text, ``{"embed": …}`` in text, ``list`` of items in an array or XML node, any JSON for a map key."""
    length: int | None = None
    """Delete and format of a range: how many units."""
    attributes: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class ContentOperation:
    """An operation as committed; the specification's ``ContentOperation``."""

    id: str
    type: OperationType
    position: tuple[str | int, ...]
    author: str
    created_at: int
    """Milliseconds since 1970."""
    vector_clock: Mapping[str, int]
    """The Yjs clients that its entry changed, with their clocks after it, and the entry's ``offset``."""
    content: Json = None
    length: int | None = None
    attributes: Mapping[str, Json] | None = None
