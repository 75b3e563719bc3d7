"""The port to whoever knows the users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cowrite.core.grant import Grant


@dataclass(frozen=True, slots=True)
class Access:
    """The answer of an authorizer: who it is, and what they may do in this document.

    What a host's own authorizer has no token for, it leaves out: then the access was decided now, and has no end of its own.
    """

    user_id: str
    grant: Grant
    name: str | None = None
    colour: str | None = None
    issued_at: int | None = None
    """When what gives this access was made; milliseconds since 1970."""
    expires_at: int | None = None
    """When the access ends; milliseconds since 1970."""
    token_id: str | None = None
    """The id of the token that gives it, a UUID."""
    single_use: bool = False
    """The token opens one session only: whoever opens one records ``token_id``, and refuses it the next time."""
    anonymous: bool = False
    """Nobody knows who it is: ``user_id`` was made up for this connection, and the same person comes back under another one. No
    Yjs client is bound to it."""


class AccessDenied(Exception):
    """Not let in. ``known`` tells a valid identity without a grant (403) from no valid identity (401)."""

    def __init__(self, reason: str, *, known: bool) -> None:
        super().__init__(reason)
        self.known = known


class Authorizer(Protocol):
    """Decides who may do what. The host application's own async function fits (``authorize=``)."""

    async def __call__(self, token: str | None, document_id: str) -> Access:
        """The access that ``token`` gives to the document; raises :class:`AccessDenied`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What an access token says: what a client shows with each request, once it has a session. Times are milliseconds since
    1970.
    """

    session_id: str
    document_id: str
    user_id: str
    grant: Grant
    session_ends_at: int
    decided_at: int
    """When the access was decided: when the session token was made."""
    name: str | None = None
    colour: str | None = None
    issued_at: int = 0
    expires_at: int = 0
    """0: not dated yet, see :meth:`AccessTokenMaker.dated`."""


class AccessTokenMaker(Protocol):
    """Makes and reads access tokens. All processes of one deployment read one another's."""

    def dated(self, claims: AccessClaims) -> AccessClaims:
        """The same access from now on, for some minutes and at most until the session ends. Raises ``ValueError`` when that
        is over.
        """
        ...

    def issue(self, claims: AccessClaims) -> str:
        """Make a token of dated claims."""
        ...

    def verify(self, token: str, *, leeway: int = ...) -> AccessClaims:
        """Check all of a token. Raises :class:`AccessDenied` and nothing else, whatever text it is. ``leeway``: seconds after
        its end in which it is still taken.
        """
        ...
