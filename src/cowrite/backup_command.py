"""The commands that make a backup, and mend a document from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cowrite.console import AsJson
from cowrite.history_commands import DatabaseUrl, DataDir, DocumentId


def backup(
    target: Annotated[
        str,  # a Path would forget a slash at the end
        typer.Argument(metavar="FILE", help="The file to write, or a folder for one named by the time; FOLDER/ is made."),
    ],
    *,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace the file when it is there already.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Copy all of the database as it is at this moment into a file, also while a server runs on it.

    `cowrite restore --from FILE` fills any kind of database from it. The exit code is 1 when something in the database was
    damaged before; it is in the backup as it is.
    """
    from cowrite import backup_work as work

    raise typer.Exit(work.make_backup(data_dir, database_url, target, force=force, as_json=as_json))


def repair(
    document: DocumentId,
    source: Annotated[Path, typer.Option("--from", metavar="FILE", help="A backup that has what is damaged.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put the entries of a document that are damaged in the database back from a backup, also while a server runs on it.

    Nothing else is touched. The exit code is 1 when something is damaged still.
    """
    from cowrite import backup_work as work

    raise typer.Exit(work.repair_document(data_dir, database_url, document, source, as_json=as_json))
