"""Bringing a database's tables to the state that this program needs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from cowrite.stores.errors import StoreOutdated, StoreSetupError
from cowrite.stores.sqlalchemy import webhook_tables  # noqa: F401 - the metadata is whole with them
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata

NEWEST = "0006"
"""The newest version file in ``cowrite/stores/migrations/versions``."""
_MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"


class Tables(Enum):
    """What may be done to the tables of a database that is opened."""

    LEAVE = "leave"
    CREATE = "create"
    """Made where there are none."""
    UPGRADE = "upgrade"
    """Made, and brought up to date."""


def ensure_schema(connection: Connection, *, place: str, tables: Tables) -> str | None:
    """Make or upgrade the tables, within the connection's transaction. Returns the version that was found; None: none.

    Raises :class:`StoreOutdated` when they would have to be changed and may not be, :class:`StoreSetupError` when
    they are newer than this program or belong to another one.
    """
    present = set(inspect(connection).get_table_names())
    version = _version(connection) if VERSION_TABLE in present else None
    if version == NEWEST:
        return version
    if version is None:
        taken = sorted(present & metadata.tables.keys())
        # On MySQL each statement is for good: where the version table is empty, the making of the tables was cut.
        if taken and VERSION_TABLE not in present:
            raise StoreSetupError(
                f"There is a table {taken[0]!r} in {place} that is not cowrite's; give cowrite a database of its own."
            )
    if tables is Tables.LEAVE or (tables is Tables.CREATE and version is not None):
        raise _outdated(connection, version, place)
    run_migrations(connection, version, place)
    return version


def ensure_writable(connection: Connection) -> None:
    """Raise the driver's error where nothing can be written; nothing is changed.

    SQLite lets a writing transaction on a file that may not be written begin and end, as long as it writes nothing; on a server
    a user who may only read, or a replica, would be found when the first edit cannot be stored.
    """
    connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = version_num"))


def schema_version(connection: Connection) -> str | None:
    """The version of the tables; None: there are none, or somebody else's."""
    return _version(connection) if inspect(connection).has_table(VERSION_TABLE) else None


def _version(connection: Connection) -> str | None:
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
    return found


def _outdated(connection: Connection, version: str | None, place: str) -> StoreSetupError:
    _check_known(version, place)
    found = "has no tables yet" if version is None else f"has version {version} of the tables"
    place = place[0].upper() + place[1:]
    if connection.dialect.name == "sqlite":
        advice = "`cowrite serve` makes and changes tables when it starts"
    elif version is None:
        advice = "`cowrite migrate` makes them, as `cowrite serve` does when it starts"
    else:
        advice = "run: cowrite migrate"
    return StoreOutdated(f"{place} {found}, and {NEWEST} is needed; {advice}.")


def run_migrations(connection: Connection, version: str | None, place: str, *, to: str = NEWEST) -> None:
    """From that version (None: from nothing) to another, within the connection's transaction."""
    # Imported only when something is to be done: it takes longer than all the rest of opening a store.
    from alembic import command
    from alembic.config import Config

    import cowrite.stores.migrations.again  # noqa: F401  (MySQL's way to do it, which Alembic finds by itself)

    _check_known(version, place)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _check_known(version: str | None, place: str) -> None:
    if version is not None and version > NEWEST:
        raise StoreSetupError(
            f"The tables in {place} have version {version}, which this program does not know (its newest is {NEWEST}); "
            "they were made by a newer cowrite: install that one."
        )
