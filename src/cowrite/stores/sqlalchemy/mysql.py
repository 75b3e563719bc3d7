"""MariaDB and MySQL by asyncmy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Engine, event, text

from cowrite.core.ports import StoreRefused, StoreUnavailable
from cowrite.stores.sqlalchemy.database import Stay
from cowrite.stores.sqlalchemy.server_kinds import Place, ServerKind, at_work, being_filled

_OLDEST: Final = {"MariaDB": (10, 6), "MySQL": (8, 0, 1)}
_DATABASE: Final = "LEFT(SHA2(DATABASE(), 256), 32)"
"""Names of locks are the server's, not the database's, and have 64 characters at most. (MySQL 9.6 and newer have no MD5.)"""
_SCHEMA_LOCK: Final = f"CONCAT('cowrite schema ', {_DATABASE})"
_ALONE_LOCK: Final = f"CONCAT('cowrite alone ', {_DATABASE})"
# Locks are not shared: each connection has its own. So whoever is at work takes that, then looks for one who is alone, and
# whoever is alone takes theirs, then looks for all others: of two that come at once, one at least sees the other.
_OWN_LOCK: Final = f"CONCAT('cowrite ', {_DATABASE}, ' ', CONNECTION_ID())"
_AT_WORK: Final = f"""
    SELECT SUBSTRING_INDEX(HOST, ':', 1) FROM information_schema.PROCESSLIST
    WHERE IS_USED_LOCK(CONCAT('cowrite ', {_DATABASE}, ' ', ID)) = ID
"""
_SCHEMA_LOCK_SECONDS: Final = 3600
_LARGE: Final = 64 << 10
_STATEMENT_BYTES: Final = 16 << 10
"""What a statement takes beside the values of a large row, at most."""


class MySQL(ServerKind):
    """MariaDB 10.6, MySQL 8.0.1, and later."""

    title = "MariaDB and MySQL"
    package = "asyncmy"
    extra = "mysql"
    # Lock time-out, deadlock, a row that has changed under a snapshot, statements that took too long or were killed, NOWAIT, a
    # table that another connection is making.
    busy = frozenset({"1205", "1213", "1020", "1969", "3024", "1317", "3572", "1684"})
    refused = frozenset(
        {"1048", "1062", "1118", "1153", "1264", "1292", "1300", "1301", "1366", "1406", "1451", "1452", "3140", "3819", "4025"}
    )
    corrupt = frozenset({"1034", "1194", "1195", "1712", "1877"})
    # Errors of the network, too many connections, stopping.
    away = frozenset({"2002", "2003", "2005", "2006", "2013", "2055", "1040", "1053", "1203", "1927"})
    advice: ClassVar[Mapping[str, str]] = {
        "1021": "make room on the disk of the database server",
        "1114": "make room on the disk of the database server",
        "1040": "raise max_connections of the server, or lower COWRITE_DATABASE_POOL_SIZE",
        "1203": "raise max_user_connections of the server, or lower COWRITE_DATABASE_POOL_SIZE",
        "1044": "give the user the permissions that docs/databases.md lists",
        "1045": "see user and password in the database's URL",
        "1698": "see user and password in the database's URL, and how the server identifies that user",
        "1142": "give the user the permissions that docs/databases.md lists",
        "1143": "give the user the permissions that docs/databases.md lists",
        "1049": "create that database, or name another one in the database's URL",
        "1053": "the server is stopping; wait for it",
        "1129": "the server has blocked this machine after failures; FLUSH HOSTS there lets it in again",
        "1130": "the server does not take connections from this machine",
        "1290": "it can only be read, so it is a replica: name the primary in the database's URL",
        "1792": "it can only be read, so it is a replica: name the primary in the database's URL",
        "1836": "it can only be read, so it is a replica: name the primary in the database's URL",
        "1927": "the server has ended the connection; see its log",
        "4031": "the server has ended the connection, because nothing happened on it",
        "20": "see that the database server runs and can be reached from here",
    }
    # With autocommit off the transaction begins with the statement after it.
    read_begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

    def __init__(self) -> None:
        self._mariadb = True
        self._packet_bytes = 1 << 24

    def drivername(self, version: str) -> str:
        return "mariadb+asyncmy" if _product(version) == "MariaDB" else "mysql+asyncmy"

    def connect_arguments(self, place: Place) -> dict[str, Any]:
        arguments = {
            "host": place.host,
            "port": place.port,
            "user": place.user,
            # asyncmy would take text for Latin-1.
            "password": (place.password or "").encode(),
            "database": place.database,
            "charset": "utf8mb4",
            "conv": _conversions(),
            "connect_timeout": self.deadlines.connect,
            "ssl": place.tls,
        }
        return arguments if place.socket_path is None else arguments | {"unix_socket": place.socket_path}

    async def probe(self, place: Place) -> str:
        import asyncmy

        connection = await asyncmy.connect(**self.connect_arguments(place))
        try:
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT VERSION(), @@max_allowed_packet")
                version, self._packet_bytes = await cursor.fetchone()
        finally:
            connection.close()
        self._mariadb = _product(version) == "MariaDB"
        return str(version)

    def too_old(self, version: str) -> str | None:
        product = _product(version)
        found = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
        needed = _OLDEST[product]
        return None if found >= needed else f"{product} {'.'.join(map(str, needed))}"

    def set_up(self, connection: Any) -> Sequence[str]:
        collation = "utf8mb4_nopad_bin" if self._mariadb else "utf8mb4_0900_bin"
        settings = [
            "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'",
            "time_zone = '+00:00'",
            # The driver would ask for each warning, such as of a row that is there already and is left as it is.
            "max_error_count = 0",
            f"innodb_lock_wait_timeout = {self.deadlines.lock}",
        ]
        if self._mariadb:
            settings += [
                f"max_statement_time = {self.deadlines.statement}",
                f"idle_transaction_timeout = {self.deadlines.idle}",
            ]
        else:
            # MySQL ends only connections on which nothing happens, in a transaction or not: the pool makes new ones.
            settings += [f"max_execution_time = {self.deadlines.statement * 1000}", f"wait_timeout = {2 * self.deadlines.idle}"]
        return f"SET NAMES utf8mb4 COLLATE {collation}", "SET SESSION " + ", ".join(settings)

    def stay(self, connection: Any, stay: Stay, place: str) -> None:
        if stay is Stay.GUEST:
            return
        cursor = connection.cursor()
        if stay is Stay.AT_WORK:
            cursor.execute(f"SELECT GET_LOCK({_OWN_LOCK}, 0), IS_FREE_LOCK({_ALONE_LOCK})")
            if cursor.fetchone() != (1, 1):
                raise being_filled(place)
        else:
            cursor.execute(f"SELECT GET_LOCK({_ALONE_LOCK}, 0)")
            if cursor.fetchone() != (1,):
                raise being_filled(place)
            cursor.execute(_AT_WORK)
            if hosts := [host for (host,) in cursor.fetchall()]:
                raise at_work(place, hosts)
        cursor.close()
        connection.rollback()

    def watch_statements(self, engine: Engine) -> None:
        @event.listens_for(engine, "before_cursor_execute", retval=True)
        def look(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> Any:
            if not many:
                return statement, self._fitted(parameters) if self._is_large(parameters) else parameters
            if any(map(self._is_large, parameters)):
                parameters = [self._fitted(row) for row in parameters]
            return statement, parameters

    def _is_large(self, row: Any) -> bool:
        return isinstance(row, tuple) and any(isinstance(value, bytes | str) and len(value) > _LARGE for value in row)

    def _fitted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row with large bytes in a form that is made quickly. Raises :class:`StoreRefused`.

        The server ends the connection when a statement is larger than it takes, so that nobody would know why.
        """
        values = tuple(_Hexadecimal(value) if isinstance(value, bytes) and len(value) > _LARGE else value for value in row)
        size = sum(
            len(value) * 4 if isinstance(value, str) else len(value) * 2 for value in values if hasattr(value, "__len__")
        )
        if size + _STATEMENT_BYTES > self._packet_bytes:
            raise StoreRefused(
                f"This takes up to {size >> 20} MB in a statement, and the server takes {self._packet_bytes >> 20} MB; "
                "raise max_allowed_packet there."
            )
        return values

    def transport(self, driver: Any) -> Any:
        return getattr(driver, "_transport", None)

    def wait_for_locks(self, connection: Connection, seconds: float | None) -> None:
        # In whole seconds; MySQL does not take 0, which is not to wait at all.
        wanted = self.deadlines.lock if seconds is None else max(0 if self._mariadb else 1, round(seconds))
        # A setting of the session: it stays with the connection, whoever has it.
        if connection.info.get("waits", self.deadlines.lock) != wanted:
            connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {wanted}")
            connection.info["waits"] = wanted

    def patient(self, connection: Connection) -> None:
        if self._mariadb:
            connection.exec_driver_sql("SET SESSION max_statement_time = 0, idle_transaction_timeout = 0")
        else:
            connection.exec_driver_sql("SET SESSION wait_timeout = 28800")

    def lock_schema(self, connection: Connection) -> None:
        had = connection.execute(text(f"SELECT GET_LOCK({_SCHEMA_LOCK}, {_SCHEMA_LOCK_SECONDS})")).scalar_one()
        if had != 1:
            raise StoreUnavailable("Another process changes the tables of this database for over an hour; see what keeps it.")

    def unlock_schema(self, connection: Connection) -> None:
        """The connection had it, and is thrown away."""

    def vacuum(self, tables: Sequence[str]) -> Sequence[str]:
        return ()

    def code_of(self, error: BaseException | None) -> str:
        code = error.args[0] if error is not None and error.args else None
        return str(code) if isinstance(code, int) and type(error).__module__.startswith("asyncmy") else ""

    def undone(self, code: str) -> bool:
        return code in self.busy or code in self.refused


class _Hexadecimal:
    """Bytes that are written as X'…': escaping many of them takes the driver ten times as long."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __len__(self) -> int:
        return len(self.value)


def _conversions() -> dict[Any, Any]:
    from asyncmy.converters import conversions

    return {**conversions, _Hexadecimal: lambda one, _mapping: f"X'{one.value.hex()}'"}


def _product(version: str) -> str:
    return "MariaDB" if "mariadb" in version.lower() else "MySQL"
