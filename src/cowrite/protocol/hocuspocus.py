"""Hocuspocus' dialect: many documents on one socket, so each message begins with the address of its document.

An address is the document's name; from version 4 on also the name, U+0000, and an id of the client's, for clients that open a
document more than once on one socket. A client takes only what carries the very address that it uses itself. After the address
come a type and that type's body; those that y-websocket has too are the same. Ping and Pong alone have no address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from cowrite.protocol import yjs
from cowrite.protocol.bodies import check_end, read_awareness, read_sync
from cowrite.protocol.lib0 import MalformedFrame, read_string, read_varuint, write_string, write_varuint
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)

MAX_ADDRESS_BYTES: Final = 2048
MAX_TOKEN_BYTES: Final = 64 << 10
MAX_VERSION_BYTES: Final = 64

_SYNC, _AWARENESS, _AUTH, _QUERY_AWARENESS = 0, 1, 2, 3
_STATELESS, _BROADCAST_STATELESS, _CLOSE, _SYNC_STATUS = 5, 6, 7, 8
_TOKEN, _PERMISSION_DENIED, _AUTHENTICATED = 0, 1, 2
PING: Final = b"\x09"
PONG: Final = b"\x0a"


class Scope(StrEnum):
    """What a client is told that it may do. It is information: clients send edits all the same."""

    READ_WRITE = "read-write"
    READ_ONLY = "readonly"


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The client shows its token; an empty one is none. ``version`` is the provider's, which 4 and later ones tell."""

    token: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The server asks for a fresh token. Providers from 3.3 on answer with :class:`Authenticate`, others do nothing."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The token is good."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Stateless:
    """A text between applications. Nothing keeps it."""

    payload: str


@dataclass(frozen=True, slots=True)
class BroadcastStateless:
    """The same between servers. No client sends it."""

    payload: str


@dataclass(frozen=True, slots=True)
class Close:
    """The conversation about this document is over; the socket is not. The server gives a ``reason``, clients give none.

    Providers 2.x raise an error when they are sent this.
    """

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What became of one SyncStep2 or Update of the client. Providers count those that are stored, and ignore the others."""

    stored: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """Is the client there? Only providers from 4 on understand it."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to :class:`Ping`."""


Message: TypeAlias = (
    SyncStep1
    | SyncStep2
    | Update
    | AwarenessUpdate
    | QueryAwareness
    | PermissionDenied
    | Authenticate
    | TokenRequest
    | Authenticated
    | Stateless
    | BroadcastStateless
    | Close
    | SyncStatus
)


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message about one document."""

    address: str
    message: Message

    @property
    def document_id(self) -> str:
        """The name in the address; not known to be a possible one."""
        return self.address.partition("\0")[0]


def decode(frame: bytes) -> Addressed | Ping | Pong:
    """Read the message in one binary WebSocket message, sent by either side.

    Raises :class:`MalformedFrame` when the frame is not exactly one message, or is beyond a bound (of this module, or of
    awareness), :class:`UnknownMessage` for a type that neither side sends (whatever follows it), and nothing else.
    """
    if frame == PONG:
        return Pong()
    if frame == PING:
        return Ping()
    address, start = _read_bounded(frame, 0, MAX_ADDRESS_BYTES, "address")
    kind, at = read_varuint(frame, start)
    read = _READERS.get(kind)
    if read is None:
        raise UnknownMessage(kind)
    message, at = read(frame, at)
    check_end(frame, at)
    return Addressed(address, message)


def _read_auth(frame: bytes, at: int) -> tuple[Message, int]:
    kind, start = read_varuint(frame, at)
    if kind == _TOKEN:
        return _read_token(frame, start)
    if kind == _PERMISSION_DENIED:
        reason, end = read_string(frame, start)
        return PermissionDenied(reason), end
    if kind == _AUTHENTICATED:
        scope, end = read_string(frame, start)
        if scope not in {Scope.READ_WRITE, Scope.READ_ONLY}:
            raise MalformedFrame("unknown scope", start)
        return Authenticated(Scope(scope)), end
    raise MalformedFrame(f"unknown auth message {kind}", at)


def _read_token(frame: bytes, at: int) -> tuple[Authenticate | TokenRequest, int]:
    if at == len(frame):
        return TokenRequest(), at
    token, at = _read_bounded(frame, at, MAX_TOKEN_BYTES, "token")
    if at == len(frame):
        return Authenticate(token), at
    version, at = _read_bounded(frame, at, MAX_VERSION_BYTES, "version")
    return Authenticate(token, version), at


def _read_query(frame: bytes, at: int) -> tuple[QueryAwareness, int]:
    return QueryAwareness(), at


def _read_stateless(frame: bytes, at: int) -> tuple[Stateless, int]:
    payload, at = read_string(frame, at)
    return Stateless(payload), at


def _read_broadcast_stateless(frame: bytes, at: int) -> tuple[BroadcastStateless, int]:
    payload, at = read_string(frame, at)
    return BroadcastStateless(payload), at


def _read_close(frame: bytes, at: int) -> tuple[Close, int]:
    if at == len(frame):
        return Close(), at
    reason, at = read_string(frame, at)
    return Close(reason), at


def _read_sync_status(frame: bytes, at: int) -> tuple[SyncStatus, int]:
    stored, end = read_varuint(frame, at)
    if stored > 1:
        raise MalformedFrame(f"unknown sync status {stored}", at)
    return SyncStatus(bool(stored)), end


_READERS: Final[Mapping[int, Callable[[bytes, int], tuple[Message, int]]]] = {
    _SYNC: read_sync,
    _AWARENESS: read_awareness,
    _AUTH: _read_auth,
    _QUERY_AWARENESS: _read_query,
    _STATELESS: _read_stateless,
    _BROADCAST_STATELESS: _read_broadcast_stateless,
    _CLOSE: _read_close,
    _SYNC_STATUS: _read_sync_status,
}


def _read_bounded(frame: bytes, at: int, limit: int, what: str) -> tuple[str, int]:
    length, _ = read_varuint(frame, at)
    if length > limit:
        raise MalformedFrame(f"{what} of {length} bytes; at most {limit} are allowed", at)
    return read_string(frame, at)


class HocuspocusDialect:
    """The messages about the document at one address, as the core's port ``Dialect``.

    Compared by identity: whoever shares one shares each encoded broadcast.
    """

    __slots__ = ("__weakref__", "_prefix", "address")

    def __init__(self, address: str) -> None:
        self.address = address
        self._prefix = write_string(address)

    def encode(self, message: Message | Acknowledged) -> bytes:
        """One frame with this message; not with :class:`Acknowledged`, for which :class:`SyncStatus` stands here.

        Raises ``ValueError`` for what has no place on the wire: a number outside 0 … 2^53-1, or text with a lone surrogate.
        """
        assert not isinstance(message, Acknowledged), "these clients are told of each message by itself"
        return self._prefix + _body(message)


def _body(message: Message) -> bytes:
    match message:
        case SyncStep1() | SyncStep2() | Update() | AwarenessUpdate() | QueryAwareness():
            return yjs.encode(message)
        case Authenticate(token, version):
            told = b"" if version is None else write_string(version)
            return b"\x02\x00" + write_string(token) + told
        case TokenRequest():
            return b"\x02\x00"
        case PermissionDenied(reason):
            return b"\x02\x01" + write_string(reason)
        case Authenticated(scope):
            return b"\x02\x02" + write_string(scope)
        case Stateless(payload):
            return write_varuint(_STATELESS) + write_string(payload)
        case BroadcastStateless(payload):
            return write_varuint(_BROADCAST_STATELESS) + write_string(payload)
        case Close(reason):
            return write_varuint(_CLOSE) + (b"" if reason is None else write_string(reason))
        case SyncStatus(stored):
            return write_varuint(_SYNC_STATUS) + write_varuint(stored)
        case _:
            assert_never(message)


def major_version(version: str | None) -> int:
    """The first number of a provider's version; 0 where it tells none."""
    number = (version or "").partition(".")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else 0
