"""Documents that cannot be read to their end: they are read as far as they can be, and nobody writes them.

The bytes behind the damage may be all that is left of what people wrote, and what is wrong with them is for a person to find
out. So nothing that a server does by itself changes them, and nothing is put behind them that would have to build on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cowrite.core.grant import Grant
from cowrite.core.sessions.session import Session


@dataclass(frozen=True, slots=True)
class Damaged:
    """How far a document can be read."""

    readable: int
    """The last offset before the damage."""

    @property
    def told(self) -> str:
        """For whoever wanted to write: what has happened, and what can be done about it."""
        return (
            f"the document is damaged in the database behind offset {self.readable}: until it is mended it is read as it was "
            f"there, and not written. `cowrite verify` says what is wrong, `cowrite export --at {self.readable}` writes what "
            "can be read to a file, and `cowrite repair --from` a backup mends it"
        )


def may_write(session: Session, damage: Damaged | None) -> bool:
    """Whether what this session sends as edits is taken. Nobody's is where the document is damaged, whatever the grant."""
    return damage is None and session.may(Grant.WRITE)


def granted(session: Session, damage: Damaged | None) -> Grant | None:
    """The grant as the client is told it: of a damaged document it may be read."""
    return session.grant if damage is None or session.grant is None else Grant.READ
