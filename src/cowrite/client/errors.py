"""What can go wrong for a client, each with what to do.

ClientError
├── NotConnected     no connection came about in time: is the server there, is the address right?
├── Refused          the server said not to come back; ``code`` and ``name`` are those of its table
│   ├── Unauthorized     get a new token
│   ├── Forbidden        the user has no access to this document, or not any more
│   ├── Deleted          the document was deleted
│   └── EditRefused      an edit was refused for good: it is too large, or of another document
├── Failed           the client itself cannot go on; please report it
├── ReadOnly         the grant does not allow writing: nothing was changed
├── NotSaved         the block is left, and some edits are not known to be on the server's disk; ``update`` has them
├── Lagging          changes come faster than they are read
└── Closed           the document was left before
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cowrite.protocol.close_codes import CloseCode


class ClientError(Exception):
    """All that a client raises of its own."""


class NotConnected(ClientError):
    """No connection came about in time."""


class Refused(ClientError):
    """The server said not to come back. ``code`` is a close code, ``name`` its name, or that of the problem that HTTP told."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"the server refused: {failure.reason} ({failure.name})")
        self.code = failure.code
        self.name = failure.name
        self.reason = failure.reason


class Unauthorized(Refused):
    """There is no valid token."""


class Forbidden(Refused):
    """The token is good, and gives no access to this document (any more)."""


class Deleted(Refused):
    """The document was deleted."""


class EditRefused(Refused):
    """An edit cannot be taken, now or later."""


class Failed(ClientError):
    """The client itself cannot go on: an error of its own, or of the engine that holds the document."""


class ReadOnly(ClientError):
    """The grant does not allow writing. Nothing was changed by the call that raised it."""


class NotSaved(ClientError):
    """Edits are not known to be on the server's disk.

    ``edits`` says how many. ``update`` is all of the document as a Yjs update: keep it, and ``doc.merge(update)`` it when there
    is a connection again; what the server has already comes to nothing.
    """

    def __init__(self, edits: int, update: bytes, reason: str) -> None:
        super().__init__(f"{edits} edits are not known to be saved: {reason}; the exception's .update has them")
        self.edits = edits
        self.update = update


class Lagging(ClientError):
    """Changes came faster than they were read, and some were dropped. Look at the document itself, and begin again."""


class Closed(ClientError):
    """The document was left: its block has ended."""


@dataclass(eq=False)
class Failure(Exception):
    """How a connection ended, or why there is none. Within the client: it is told to nobody as an exception."""

    code: int
    """A close code."""
    name: str
    """The close code's, or that of a problem of HTTP."""
    reason: str
    """For people."""
    rest: float = 0.0
    """The server asked to be left alone for so many seconds."""

    own: bool = False
    """It is the client that has failed."""

    @property
    def final(self) -> bool:
        """Whether trying again changes nothing."""
        return 4400 <= self.code <= 4499

    def error(self) -> ClientError:
        """For people, where it is final."""
        if self.own:
            return Failed(f"the client has failed: {self.reason}; read the document anew")
        return _KINDS.get(self.code, Refused)(self)


BROKEN: Final = 1006
"""The connection ended without a word. Nobody sends this code."""

_KINDS: Final[dict[int, type[Refused]]] = {
    CloseCode.UNAUTHORIZED: Unauthorized,
    CloseCode.FORBIDDEN: Forbidden,
    CloseCode.DOCUMENT_DELETED: Deleted,
    CloseCode.CONTRADICTING_CONTENT: EditRefused,
    CloseCode.MESSAGE_TOO_LARGE: EditRefused,
    CloseCode.HOSTILE_UPDATE: EditRefused,
    CloseCode.EDIT_NOT_KEPT: EditRefused,
}


def broken(reason: str, rest: float = 0.0) -> Failure:
    """The connection broke, or something on the way answered in the server's place. It is tried again."""
    return Failure(BROKEN, "broken", reason, rest)


def closed_with(code: int, reason: str) -> Failure:
    """The server, or something on the way, closed a socket so."""
    known = next((one for one in CloseCode if one == code), None)
    name = "closed" if known is None else known.name.lower()
    return Failure(code, name, reason or (f"closed with {code}" if known is None else known.meaning))


def described(error: BaseException) -> str:
    """What it says, or what it is where it says nothing."""
    return str(error) or type(error).__name__
