"""The command that brings the tables of a database up to date."""

from __future__ import annotations

from cowrite.console import AsJson, busy, say
from cowrite.history_commands import DatabaseUrl, DataDir
from cowrite.startup import StartError


def migrate(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Make the tables of the database, or bring them up to date. A server needs it after an upgrade; SQLite does it itself."""
    import asyncio

    from cowrite.composition import database_url as url_of
    from cowrite.log import configure
    from cowrite.settings import load_settings
    from cowrite.startup import prepare_folder
    from cowrite.stores.errors import StoreSetupError
    from cowrite.stores.opening import migrate as migrate_database
    from cowrite.stores.opening import place_name

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    configure("error", settings.log_format)
    if settings.database_file is not None:
        prepare_folder(settings.database_file.parent)
    url = url_of(settings)
    try:
        place = place_name(url)
        with busy("bringing the tables up to date"):
            before, after = asyncio.run(migrate_database(url))
    except StoreSetupError as error:
        raise StartError(str(error)) from None
    if before == after:
        done = f"the tables have version {after} already; nothing was changed"
    elif before is None:
        done = f"the tables were made, version {after}"
    else:
        done = f"the tables were brought from version {before} to {after}"
    # Which one it was: where the environment of a service is missing here, it is another one than the service's.
    say(f"{place[0].upper()}{place[1:]}: {done}", {"database": place, "before": before, "after": after}, as_json=as_json)
