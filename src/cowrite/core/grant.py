"""Grants: what a session may do in a document."""

from __future__ import annotations

from enum import StrEnum


class Grant(StrEnum):
    """What a session may do in a document; each includes the ones before it."""

    READ = "read"
    COMMENT = "comment"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: Grant) -> bool:
        """True when this grant includes ``needed``."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {grant: rank for rank, grant in enumerate(Grant)}
