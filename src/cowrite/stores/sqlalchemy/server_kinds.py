"""What differs between kinds of database servers, and what of an error is the same on all."""

from __future__ import annotations

import socket
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreCorrupt, StoreError, StoreRefused, StoreUnavailable
from cowrite.stores.sqlalchemy.database import Stay
from cowrite.stores.sqlalchemy.failures import without_values


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after which things are given up."""

    connect: float = 5.0
    pool: float = 5.0
    """Waiting for a connection that is free."""
    statement: int = 10
    """The server works on one statement."""
    idle: int = 5
    """Nothing happens in a transaction: the locks of a process that is frozen are free then."""
    transaction: int = 60
    """A whole transaction, where the server can tell (PostgreSQL 17 and newer)."""
    lock: int = 5
    """A statement waits for locks of others, where nothing else is said."""
    call: float = 12.0
    """One call of ours: more than the server gives a statement, so that the server's answer comes first."""
    silence: int = 10
    """What was sent is not confirmed by the other side's system."""
    scrub: float = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """A server and a database on it, and how to get there."""

    host: str | None
    """None: by the socket in ``socket_path``."""
    port: int
    socket_path: str | None
    user: str | None
    password: str | None
    database: str
    tls: Any
    """What the driver takes: an ``ssl.SSLContext``, or a word or value of its own."""
    tls_required: bool

    @property
    def name(self) -> str:
        """For people, without user and password."""
        where = self.socket_path or (f"[{self.host}]:{self.port}" if ":" in (self.host or "") else f"{self.host}:{self.port}")
        return f"the database {self.database!r} at {where}"


class ServerKind(ABC):
    """PostgreSQL, or MySQL with MariaDB."""

    deadlines: ClassVar[Deadlines] = Deadlines()
    title: ClassVar[str]
    package: ClassVar[str]
    """The driver."""
    extra: ClassVar[str]
    """cowrite's extra that installs it."""
    busy: ClassVar[frozenset[str]]
    refused: ClassVar[frozenset[str]]
    corrupt: ClassVar[frozenset[str]]
    """Codes of errors, or beginnings of codes."""
    away: ClassVar[frozenset[str]]
    """Those that say that the server is not there, or takes nobody, now."""
    advice: ClassVar[Mapping[str, str]]
    """By code, or beginning of a code."""
    read_options: ClassVar[Mapping[str, Any]] = {}
    """Of a connection that reads: one view of the database."""
    read_begin: ClassVar[str | None] = None
    """The statement that does it, where options do not."""

    @abstractmethod
    def drivername(self, version: str) -> str:
        """SQLAlchemy's name for servers of that version."""

    @abstractmethod
    def connect_arguments(self, place: Place) -> dict[str, Any]:
        """For the driver's ``connect``."""

    @abstractmethod
    async def probe(self, place: Place) -> str:
        """Connect once, and return the server's version as it says it. Raises what the driver raises."""

    @abstractmethod
    def too_old(self, version: str) -> str | None:
        """Which version is needed, when this one is not enough."""

    @abstractmethod
    def set_up(self, connection: Any) -> Sequence[str]:
        """Statements for a new connection of SQLAlchemy's adapter. Raises :class:`StoreUnavailable`."""

    @abstractmethod
    def stay(self, connection: Any, stay: Stay, place: str) -> None:
        """Take the lock for such a stay on a new connection of SQLAlchemy's adapter, without waiting. Raises StoreBusy."""

    def watch_statements(self, engine: Engine) -> None:
        """Look at statements before the driver gets them, where that is needed."""
        return

    @abstractmethod
    def transport(self, driver: Any) -> Any:
        """The asyncio transport of the driver's connection; None: it has none any more."""

    @abstractmethod
    def wait_for_locks(self, connection: Connection, seconds: float | None) -> None:
        """In this transaction, as its first statement; None: as long as usual."""

    @abstractmethod
    def patient(self, connection: Connection) -> None:
        """Work in this transaction may take as long as it takes."""

    @abstractmethod
    def lock_schema(self, connection: Connection) -> None:
        """Wait until no other process changes the tables."""

    @abstractmethod
    def unlock_schema(self, connection: Connection) -> None:
        """Let others change the tables. The transaction is over."""

    @abstractmethod
    def vacuum(self, tables: Sequence[str]) -> Sequence[str]:
        """Statements, each without a transaction, that give up the space of what was deleted."""

    @abstractmethod
    def code_of(self, error: BaseException | None) -> str:
        """The server's code of what the driver raised; empty for anything else."""

    @abstractmethod
    def undone(self, code: str) -> bool:
        """Whether such an error of COMMIT says that the transaction was rolled back."""

    # ---- the same for all --------------------------------------------------------------------------------------------

    def store_error(self, error: BaseException, place: str) -> StoreError:
        """The port's exception for an error before COMMIT; ``place`` is the database's name for people."""
        code, said = self._look(error)
        if _has(self.busy, code):
            return StoreBusy(f"Others hold what this needs in {place} for too long ({said}); try again.")
        if _has(self.corrupt, code):
            return StoreCorrupt(f"The server says that {place} is damaged ({said}); restore it from a backup.")
        if _has(self.refused, code) or (not code and isinstance(_original(error), OverflowError | UnicodeError | ValueError)):
            return StoreRefused(f"This data cannot be written to {place} ({said}).")
        return StoreUnavailable(f"Reading or writing {place} failed ({said}): {self.advice_for(error)}.")

    def commit_error(self, error: BaseException, place: str) -> StoreError:
        """The port's exception for an error of COMMIT itself: doubtful, unless the server says that it has rolled back."""
        code, said = self._look(error)
        if code and self.undone(code):
            return self.store_error(error, place)
        return CommitDoubtful(
            f"A transaction may or may not have been committed to {place} ({said}): {self.advice_for(error)}."
        )

    def advice_for(self, error: BaseException) -> str:
        """What a person can do about it."""
        code, _ = self._look(error)
        for length in (len(code), 3, 2):
            if code[:length] in self.advice:
                return self.advice[code[:length]]
        if code:
            return "the tables may have been changed by something else"
        return "see that the database server runs and can be reached from here"

    def is_away(self, error: BaseException) -> bool:
        """It may work later, though nothing is changed here."""
        original = _original(error)
        if isinstance(original, ssl.SSLError):
            return False
        return isinstance(original, OSError) or _has(self.away, self.code_of(original))

    def said(self, error: BaseException) -> str:
        """The error in one line."""
        return self._look(error)[1]

    def _look(self, error: BaseException) -> tuple[str, str]:
        original = _original(error)
        return self.code_of(original), _in_one_line(original)


def being_filled(place: str) -> StoreBusy:
    """For who wants to be at work while somebody is alone."""
    return StoreBusy(f"{place[0].upper()}{place[1:]} is being filled from a backup; try again when that has ended.")


def at_work(place: str, hosts: Sequence[str]) -> StoreBusy:
    """For who wants to be alone while connections from these hosts are at work."""
    numbers = [f"{hosts.count(host)} from {host}" for host in sorted(set(hosts))]
    connections = f" (connections: {', '.join(numbers)})" if hosts else ""
    return StoreBusy(f"a server works on {place}{connections}; stop it, and try again. Nothing was changed")


def guard_socket(transport: Any, silence: int) -> None:
    """Have the system notice that the other machine is gone: keepalive, and a limit to unconfirmed bytes."""
    opened = transport.get_extra_info("socket") if transport is not None else None
    if opened is None or opened.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silence * 1000)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, silence)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _has(codes: frozenset[str], code: str) -> bool:
    return bool(code) and any(code[:length] in codes for length in (len(code), 3, 2))


def _original(error: BaseException) -> BaseException:
    """What the driver raised, below what SQLAlchemy has made of it."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return getattr(error, "driver_exception", None) or error


def _in_one_line(error: BaseException) -> str:
    arguments = error.args
    text = str(arguments[1]) if len(arguments) > 1 and isinstance(arguments[0], int) else str(error)
    return " ".join(without_values(text).split()) or type(error).__name__
