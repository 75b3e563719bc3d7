"""A document as readers are given it who lack too much, or everything."""

from __future__ import annotations

from dataclasses import dataclass

from cowrite.core.rooms.replicas import Committed
from cowrite.crdt.values import Json


@dataclass(frozen=True, slots=True)
class State:
    """A whole document as it is in the log up to ``head``."""

    committed: Committed
    content: dict[str, Json]
    """See :func:`cowrite.crdt.state.get_state`."""
    json: bytes
    """The content as JSON text."""
    head: str | None
    """The id of the last operation up to there."""

    @property
    def offset(self) -> int:
        """Where in the log it stands."""
        return self.committed.head.offset
