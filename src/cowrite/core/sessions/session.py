"""A user's stay in one document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cowrite.core.ports import Access, Grant

MAX_TEXT: Final = 255
"""Characters of a user's id, name or colour."""


@dataclass(slots=True, eq=False)
class Session:
    """Who is in what document, and what they may do there. Survives a change of transport; the connection does not.

    ``access`` is what was granted when it began; ``grant`` is what holds now, which :class:`AccessControl` changes. Compared by
    identity.
    """

    id: str
    document_id: str
    access: Access
    began_at: int
    """Milliseconds since 1970."""
    ends_at: int | None = None
    """When it ends by itself, in milliseconds since 1970; None: not before its connection."""
    client: str | None = None
    """Name and version of the client's library, where it says so."""
    ended: bool = False
    """Its user has left for good, or its time is over."""
    grant: Grant | None = field(init=False)
    """None: revoked."""
    revision: int = field(init=False, default=0)
    """The changes of access up to this one are in ``grant``."""

    def __post_init__(self) -> None:
        self.grant = self.access.grant

    def admit(self, access: Access, now: int) -> None:
        """The session is renewed, with another access; changes of before that do not concern it."""
        self.access, self.began_at = access, now
        self.grant, self.revision = access.grant, -1

    @property
    def decided_at(self) -> int:
        """When the access was decided: the issue of the token, if there is one. Milliseconds since 1970."""
        return self.began_at if self.access.issued_at is None else self.access.issued_at

    @property
    def author(self) -> str:
        """The user id that this session's edits are stored under."""
        return self.access.user_id

    @property
    def account(self) -> str:
        """What counts what its requests cost: its user in this document, because a new session can be had at any time."""
        return f"{self.document_id}\0{self.author}"

    def may(self, needed: Grant) -> bool:
        """True when the session's grant includes ``needed``."""
        return self.grant is not None and self.grant.allows(needed)


def fault_of(access: object) -> str | None:
    """What is wrong with an authorizer's answer, None: nothing. Hosts write their own, and types are not checked there."""
    if not isinstance(access, Access):
        return f"it is a {type(access).__name__}, and not an Access"
    grant: object = access.grant
    if not isinstance(grant, Grant):
        return f"its grant {grant!r} is no Grant"
    if access.user_id == "":
        return "its user_id is empty"
    names = ("name", access.name or ""), ("colour", access.colour or "")
    texts: list[tuple[str, object]] = [("user_id", access.user_id), *names]
    for name, text in texts:
        if not isinstance(text, str):
            return f"its {name} is a {type(text).__name__}, and not a text"
        if len(text) > MAX_TEXT:
            return f"its {name} has {len(text)} characters, and at most {MAX_TEXT} are possible"
        if "\0" in text or text != text.encode(errors="replace").decode():
            return f"its {name} holds U+0000 or half a surrogate pair"
    return None
