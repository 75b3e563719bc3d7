"""What happens to documents, as it is told to whoever listens. Plain values; all times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cowrite.core.presence.present import Transport
from cowrite.core.records import CauseKind, VersionKind


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection has come into a document: a socket, or a Yjs client that polls. A client that polls operations makes none;
    of it presence tells.
    """

    document_id: str
    session_id: str
    user_id: str
    transport: Transport
    time: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """It has gone, for whatever reason."""

    document_id: str
    session_id: str
    user_id: str
    time: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """This process has read a document from the store, and serves it from memory."""

    document_id: str
    epoch: str
    offset: int
    """The last entry that it has."""
    time: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """This process serves the document from memory no longer: nobody is in it, it is deleted or failed, or the process ends."""

    document_id: str
    time: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The document shows something new in this process, whoever wrote it. Part of it may not be stored yet, or never be."""

    document_id: str
    updates: int
    """How many updates that were, since the last call."""
    time: int
    """Of the last of them."""


@dataclass(frozen=True, slots=True)
class Committed:
    """An entry that this process has brought into the log. It is stored, and nothing takes it back but forgetting history."""

    document_id: str
    epoch: str
    offset: int
    user_id: str
    """Its author."""
    cause: CauseKind | None
    """Why the server made it; None: an edit of a client's."""
    time: int
    """When it was committed."""


@dataclass(frozen=True, slots=True)
class VersionCreated:
    """This process has marked a moment of a document: by name, after a pause, or before a restore or an undo."""

    document_id: str
    version_id: str
    offset: int
    kind: VersionKind
    user_id: str
    name: str | None
    time: int


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Who is in a document has changed, or what they tell of themselves; also of those at other processes."""

    document_id: str
    joined: frozenset[str]
    """Users that have come since the last call, and are here."""
    updated: frozenset[str]
    """Users that were here before and are, and tell something else of themselves."""
    left: frozenset[str]
    time: int


Event: TypeAlias = Connected | Disconnected | Loaded | Evicted | Changed | Committed | VersionCreated | PresenceChanged
