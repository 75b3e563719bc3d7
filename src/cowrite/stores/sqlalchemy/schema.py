"""Bringing a database's tables to the state that this program needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from cowrite.stores.errors import StoreOutdated, StoreSetupError
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata

NEWEST = "0005"
"""The newest version file in ``cowrite/stores/migrations/versions``."""


def ensure_schema(connection: Connection, *, place: str, upgrade: bool) -> None:
    """Make or upgrade the tables, within the connection's transaction.

    Raises :class:`StoreOutdated` when they would have to be changed and ``upgrade`` is false, :class:`StoreSetupError` when
    they are newer than this program or belong to another one.
    """
    present = set(inspect(connection).get_table_names())
    version = _version(connection) if VERSION_TABLE in present else None
    if version == NEWEST:
        return
    if version is None:
        taken = sorted(present & metadata.tables.keys())
        if taken:
            raise StoreSetupError(
                f"There is a table {taken[0]!r} in {place} that is not cowrite's; give cowrite a database of its own."
            )
    if not upgrade:
        found = "has no tables yet" if version is None else f"has version {version} of the tables"
        place = place[0].upper() + place[1:]
        raise StoreOutdated(
            f"{place} {found}, and {NEWEST} is needed; `cowrite serve` makes and changes tables when it starts."
        )
    _run_migrations(connection, version, place)


def _version(connection: Connection) -> str | None:
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
    return found


def _run_migrations(connection: Connection, version: str | None, place: str) -> None:
    # Imported only when something is to be done: it takes longer than all the rest of opening a store.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(__file__).parent.parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreSetupError(
            f"The tables in {place} have version {version}, which this program does not know (its newest is {NEWEST}); "
            "they were made by a newer cowrite: install that one."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
