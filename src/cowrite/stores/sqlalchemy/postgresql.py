"""PostgreSQL by asyncpg."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, text

from cowrite.stores.sqlalchemy import postgresql_locks as locks
from cowrite.stores.sqlalchemy.database import Stay
from cowrite.stores.sqlalchemy.server_kinds import Place, ServerKind, at_work, being_filled

_OLDEST: Final = 13
_WITH_TRANSACTION_TIMEOUT: Final = 17
# Of other users' connections it is told only that they are there.
_AT_WORK: Final = f"""
    SELECT coalesce(host(client_addr), 'a host that is not told') FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = {locks.STAY >> 32} AND objid = {locks.STAY & 0xFFFFFFFF} AND objsubid = 1
"""


class PostgreSQL(ServerKind):
    """Version 13 and later."""

    title = "PostgreSQL"
    package = "asyncpg"
    extra = "postgres"
    # Serialization failure, deadlock, lock time-out, a statement that took too long.
    busy = frozenset({"40001", "40P01", "55P03", "57014"})
    refused = frozenset({"22", "23", "54"})
    corrupt = frozenset({"XX001", "XX002"})
    # Errors of the connection, too many connections, starting or stopping.
    away = frozenset({"08", "53300", "57P"})
    advice: ClassVar[Mapping[str, str]] = {
        "08": "see that the database server runs and can be reached from here",
        "25006": "it can only be read, so it is a replica: name the primary in the database's URL",
        "25P03": "this process did nothing for too long in a transaction; see why it was held up",
        "25P04": "a transaction took too long; see why this process was held up",
        "28": "see user and password in the database's URL, and pg_hba.conf of the server",
        "3D000": "create that database, or name another one in the database's URL",
        "42501": "give the user the permissions that docs/databases.md lists",
        "53100": "make room on the disk of the database server",
        "53200": "give the database server more memory",
        "53300": "raise max_connections of the server, or lower COWRITE_DATABASE_POOL_SIZE",
        "53": "see the log of the database server",
        "57P": "the server is starting or stopping; wait for it",
        "58": "see the disk and the log of the database server",
        "XX": "see the log of the database server",
    }
    # Set on the connection's object, and told to the server with BEGIN: no statement of its own.
    read_options: ClassVar[Mapping[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    _version = 0
    """The server's major version, once :meth:`probe` has asked."""

    def drivername(self, version: str) -> str:
        return "postgresql+asyncpg"

    def connect_arguments(self, place: Place) -> dict[str, Any]:
        return {
            "host": place.socket_path or place.host,
            "port": place.port,
            "user": place.user,
            "password": place.password,
            "database": place.database,
            "ssl": place.tls,
            "timeout": self.deadlines.connect,
            "server_settings": {
                "application_name": "cowrite",
                "statement_timeout": str(self.deadlines.statement * 1000),
                "idle_in_transaction_session_timeout": str(self.deadlines.idle * 1000),
                "lock_timeout": str(self.deadlines.lock * 1000),
                "tcp_user_timeout": str(self.deadlines.silence * 1000),
                "timezone": "UTC",
                **self._transaction_timeout,
            },
        }

    @property
    def _transaction_timeout(self) -> Mapping[str, str]:
        # A process that freezes between two messages of one statement is neither idle, to the server, nor does its statement
        # run: only this ends its transaction (https://www.postgresql.org/docs/17/runtime-config-client.html).
        known = self._version >= _WITH_TRANSACTION_TIMEOUT
        return {"transaction_timeout": str(self.deadlines.transaction * 1000)} if known else {}

    async def probe(self, place: Place) -> str:
        import asyncpg

        connection = await asyncpg.connect(**self.connect_arguments(place))
        try:
            version: str = await connection.fetchval("SHOW server_version")
        finally:
            connection.terminate()
        self._version = _major(version)
        return version

    def too_old(self, version: str) -> str | None:
        return None if _major(version) >= _OLDEST else str(_OLDEST)

    def set_up(self, connection: Any) -> Sequence[str]:
        return ()

    def stay(self, connection: Any, stay: Stay, place: str) -> None:
        if stay is Stay.GUEST:
            return
        cursor = connection.cursor()
        shared = "_shared" if stay is Stay.AT_WORK else ""
        cursor.execute(f"SELECT pg_try_advisory_lock{shared}({locks.STAY})")
        (had,) = cursor.fetchone()
        if not had and stay is Stay.AT_WORK:
            raise being_filled(place)
        if not had:
            cursor.execute(_AT_WORK)
            raise at_work(place, [host for (host,) in cursor.fetchall()])
        cursor.close()
        connection.rollback()  # the lock is the connection's, not the transaction's

    def transport(self, driver: Any) -> Any:
        return getattr(driver, "_transport", None)

    def wait_for_locks(self, connection: Connection, seconds: float | None) -> None:
        if seconds is not None:
            wait = max(1, round(seconds * 1000))  # 0 would be for ever
            connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": str(wait)})

    def patient(self, connection: Connection) -> None:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")
        if self._version >= _WITH_TRANSACTION_TIMEOUT:
            connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")

    def lock_schema(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({locks.SCHEMA})")

    def unlock_schema(self, connection: Connection) -> None:
        """The transaction had it, and is over."""

    def vacuum(self, tables: Sequence[str]) -> Sequence[str]:
        # Not without a limit for locks: another VACUUM, or a dump, may hold them for hours.
        known = self._version >= _WITH_TRANSACTION_TIMEOUT
        unlimited = ("SET statement_timeout = 0", *(["SET transaction_timeout = 0"] if known else []))
        return (*unlimited, *(f"VACUUM {table}" for table in tables))

    def code_of(self, error: BaseException | None) -> str:
        return getattr(error, "sqlstate", None) or ""

    def undone(self, code: str) -> bool:
        # An error that the server answers COMMIT with means that it has rolled back, unless the connection ends with it.
        return not code.startswith(("08", "57P", "53", "58", "XX"))


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found is not None else _OLDEST
