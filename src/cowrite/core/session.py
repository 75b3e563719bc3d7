"""A user's stay in one document."""

from __future__ import annotations

from dataclasses import dataclass

from cowrite.core.ports import Access, Grant


@dataclass(frozen=True, slots=True)
class Session:
    """Who is connected to what, and what they may do there. Survives a change of transport; the connection does not."""

    id: str
    document_id: str
    access: Access
    began_at: int
    """Milliseconds since 1970."""

    @property
    def author(self) -> str:
        """The user id that this session's edits are stored under."""
        return self.access.user_id

    def may(self, needed: Grant) -> bool:
        """True when the session's grant includes ``needed``."""
        return self.access.grant.allows(needed)
