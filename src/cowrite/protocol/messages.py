"""The messages between a Yjs client and the server, whatever dialect carries them. Either side may send any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cowrite.protocol.awareness import AwarenessEntry


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """Tells what the sender has and asks for everything missing from it. The bytes of the state vector are not checked here."""

    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """The answer to :class:`SyncStep1`: an update with all that was missing. Its bytes are not checked here."""

    update: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """An edit, as a Yjs update (v1). Its bytes are not checked here."""

    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessUpdate:
    """States of some clients, in the order sent."""

    entries: tuple[AwarenessEntry, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """Asks for all awareness states that the receiver knows."""


@dataclass(frozen=True, slots=True)
class PermissionDenied:
    """The server refuses the client; it shows ``reason`` to nobody but the console."""

    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first ``count`` SyncStep2 and Update messages of the client on this socket are durable; the log is at ``offset``.

    Only for clients that offered the sub-protocol ``cowrite.ack.v1``: others print an error for it.
    """

    count: int
    offset: int


Message: TypeAlias = SyncStep1 | SyncStep2 | Update | AwarenessUpdate | QueryAwareness | PermissionDenied | Acknowledged


class UnknownMessage(ValueError):
    """A readable message of a type that this dialect does not have; ``kind`` is its number."""

    def __init__(self, kind: int) -> None:
        super().__init__(f"unknown message type {kind}")
        self.kind = kind
