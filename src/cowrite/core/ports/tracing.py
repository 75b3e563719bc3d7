"""The port to whoever records what happens to each edit on its way to the disk, and how long each step takes.

Nothing of what people write, and no token, is told here: ids, numbers, and the names of things.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol


class EditSpan(Protocol):
    """One edit, from its coming until it is known what has become of it. One of these is called, once."""

    def durable(self, offset: int) -> None:
        """It is committed, at this offset or before it."""
        ...

    def refused(self, code: str) -> None:
        """It was not taken as it came, or cannot be kept; ``code`` is of a few that are known beforehand."""
        ...


class CommitSpan(Protocol):
    """One transaction of the journal."""

    def holds(self, edit: EditSpan) -> None:
        """It has taken this edit."""
        ...

    def committed(self, *, documents: int, entries: int) -> None:
        """COMMIT has succeeded, with so many entries in so many documents."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """What is done while the block runs is a part of it, also after its end."""
        ...


class Tracing(Protocol):
    """Synchronous, on the event loop; takes some ten microseconds, and never raises."""

    def edit(self, document_id: str, session_id: str, dialect: str) -> EditSpan:
        """An edit has come. What is current is what it is a part of: the request that brought it, perhaps."""
        ...

    def commit(self, edits: Iterable[EditSpan]) -> AbstractContextManager[CommitSpan]:
        """A transaction for what waits, at least one edit: the block. An exception is its failure."""
        ...

    def opening(self, document_id: str) -> AbstractContextManager[None]:
        """A document is loaded and its room made, while the block runs."""
        ...

    def importing(self, edit: EditSpan | None, document_id: str, size: int) -> AbstractContextManager[None]:
        """An edit of so many bytes is looked at by a process of its own, while the block runs."""
        ...
