"""What the transports need of the running application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias
from weakref import WeakValueDictionary

import structlog
from structlog.typing import FilteringBoundLogger

from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.incoming import Incoming
from cowrite.core.leaving import Leaving
from cowrite.core.limits import Limits
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.writing import DocumentWriter
from cowrite.core.ports import Clock
from cowrite.core.rooms.registry import Registry
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.bridge import SessionBridge
from cowrite.core.turn_share import TurnShare
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import HocuspocusDialect
from cowrite.transports.addresses import AddressSockets
from cowrite.transports.framing import WriteTurn
from cowrite.transports.load import ServerLoad
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.watch import Watch

_log = structlog.get_logger(__name__)


class Connection(Protocol):
    """One conversation over one socket. Its transport calls ``opened`` first and ``lost`` last, each once."""

    def opened(self) -> None:
        """The upgrade was answered."""
        ...

    def receive(self, frame: bytes) -> None:
        """One binary message. Never raises."""
        ...

    def receive_text(self, text: bytes) -> None:
        """One text message, as its UTF-8. Never raises."""
        ...

    def drained(self) -> None:
        """The socket takes more again, after ``writable`` was False. Never raises."""
        ...

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone; ``goodbye``: its client closed it."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send it away. Idempotent."""
        ...

    def stall(self) -> bool:
        """There is no room for more of a message that is coming: read nothing more of the socket until something that came
        before is taken. False: nothing is about to be.
        """
        ...

    @property
    def user(self) -> str:
        """Whose messages come by it; empty: that is not known, or not yet."""
        ...

    @property
    def settled(self) -> bool:
        """Nothing that it has sent, and will be told of, is on its way to the disk."""
        ...


@dataclass(frozen=True, slots=True)
class SocketTimes:
    """How long a transport waits, in seconds."""

    ping_after: float = 30.0
    """A peer that was not heard for so long is sent a ping."""
    pong_within: float = 10.0
    """It must be heard again within this time, or it is dropped: its machine or its network is gone."""
    close_within: float = 5.0
    """How long a close handshake may take before the socket is cut."""
    idle_after: float = 60.0
    """How long a Hocuspocus client may be silent that is asked, after half of it, or has not logged in."""

    @classmethod
    def of(cls, limits: Limits) -> SocketTimes:
        """What ``limits`` say."""
        idle = limits.idle_seconds
        return cls(ping_after=0.75 * idle, pong_within=0.25 * idle, idle_after=limits.hocuspocus_idle_seconds)


@dataclass(frozen=True, slots=True)
class Services:
    """One application's parts, as its transports use them."""

    registry: Registry
    bridge: SessionBridge
    access: AccessControl
    reader: DocumentReader
    writer: DocumentWriter
    clock: Clock
    ids: Ids
    limits: Limits
    origins: OriginPolicy
    load: ServerLoad
    times: SocketTimes = SocketTimes()
    turn: WriteTurn = field(default_factory=WriteTurn)
    watch: Watch = field(init=False)
    behind: TurnShare = field(init=False)
    """Of the messages of connections that have fallen behind."""
    arrivals: TurnShare = field(init=False)
    """Of upgrades."""
    departures: TurnShare = field(init=False)
    """Of sockets that are gone."""
    excess: Excess = field(default_factory=Excess)
    """What was more than a limit."""
    incoming: Incoming = field(default_factory=lambda: Incoming(Limits()))
    """What has come and is not taken yet."""
    leaving: Leaving = field(default_factory=lambda: Leaving(Limits()))
    """What was made for clients and has not left yet."""
    addresses: AddressSockets = field(default_factory=lambda: AddressSockets(Limits().address_sockets))
    connections: set[Connection] = field(default_factory=set)
    """The sockets that are open."""
    dialects: WeakValueDictionary[str, HocuspocusDialect] = field(default_factory=WeakValueDictionary)
    """By address; those that are in use."""

    def __post_init__(self) -> None:
        grain = min(1.0, self.times.ping_after / 16, self.times.pong_within / 16)
        object.__setattr__(self, "watch", Watch(self.clock, grain))
        for share in ("behind", "arrivals", "departures"):
            object.__setattr__(self, share, TurnShare(self.clock))

    def dialect_at(self, address: str) -> HocuspocusDialect:
        """The one dialect of this address: all clients that use it share each broadcast."""
        dialect = self.dialects.get(address)
        if dialect is None:
            dialect = self.dialects[address] = HocuspocusDialect(address)
        return dialect

    def tell_closed(self, log: FilteringBoundLogger, code: int, of: str | None, **who: object) -> None:
        """A connection is closed by the server; the log tells it once a minute for each code and user, or document (``of``)."""
        if code == CloseCode.SERVICE_RESTART:
            log.debug("connection closed", **who, code=int(code))  # everybody's goodbye at a stop is one line for all
        else:
            self.excess.log.say(log, "info", "connection closed", f"{int(code)} {of or ''}", **who, code=int(code))

    def close_connections(self, code: CloseCode, reason: str) -> None:
        """Send everybody away, with one line in the log for all."""
        if self.connections:
            _log.info("all connections closed", connections=len(self.connections), code=int(code), reason=reason)
        for connection in list(self.connections):
            connection.close(code, reason)


Serving: TypeAlias = Callable[[], Services | None]
"""The services; None while the application is starting or shutting down, when nobody may come in."""
