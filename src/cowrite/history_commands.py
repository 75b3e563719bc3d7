"""The commands that look at documents' pasts. They work on the database itself, also while a server runs on it.

What they do is in ``history_work.py``, which is loaded when one of them runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cowrite.console import AsJson
from cowrite.startup import StartError

DocumentId = Annotated[str, typer.Argument(metavar="DOCUMENT", help="The document's id.")]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", metavar="VALUE", show_default=False, help="The folder of the documents. Else COWRITE_DATA_DIR."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", metavar="VALUE", show_default=False, help="The database. Else COWRITE_DATABASE_URL."),
]
Root = Annotated[str | None, typer.Option("--root", metavar="NAME", show_default=False, help="Only this root.")]
MOMENT = "an offset, a time (2026-11-28T14:02:00Z), or the id of a version or an operation"


def history(
    document: DocumentId,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="How many lines of activity.")] = 50,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Tell who did how much when, newest first, with the versions between.

    Where the document is damaged it says so, and what to do; the exit code is 1 then.
    """
    from cowrite import history_work as work

    raise typer.Exit(
        work.run(data_dir, database_url, lambda archive: work.print_history(archive, document, limit, as_json=as_json))
    )


def diff(
    document: DocumentId,
    first: Annotated[str, typer.Argument(metavar="FROM", help=f"A moment: {MOMENT}.")],
    second: Annotated[
        str | None, typer.Argument(metavar="[TO]", show_default=False, help="Another one; now, if left out.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="text, json, operations or html.")] = "text",
    root: Root = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Tell what changed between two moments, and whose the changes are."""
    from cowrite import history_work as work

    work.run(data_dir, database_url, lambda archive: work.print_diff(archive, document, first, second, form, root))


def restore(
    *,
    document: Annotated[str | None, typer.Argument(metavar="[DOCUMENT]", show_default=False, help="The document's id.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", show_default=False, help=f"{MOMENT[0].upper()}{MOMENT[1:]}.")
    ] = None,
    root: Root = None,
    by: Annotated[str, typer.Option("--by", metavar="USER", help="Whose edit it is to be.")] = "cowrite",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", show_default=False, help="Fill the database from this backup, in the place of all that."
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", metavar="", help="With --from: what is in the database already goes; no server may run."),
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a document, or one root of it, back to a moment, as an edit that everybody sees arrive: DOCUMENT --to MOMENT.

    Nothing is lost by it: what was there before is a version. Or bring a whole database back: --from FILE, which
    `cowrite backup` has made. That needs an empty database, or one that is not there yet.
    """
    if source is not None:
        if document is not None or to is not None or root is not None:
            raise StartError("--from restores all that is in the backup; leave DOCUMENT, --to and --root out")
        from cowrite.backup_work import restore_backup

        restore_backup(data_dir, database_url, source, replace=replace, as_json=as_json)
        return
    if document is None or to is None or replace:
        raise StartError("name a document and a moment (DOCUMENT --to MOMENT), or a backup (--from FILE)")
    from cowrite import history_work as work

    wanted = work.WantedRestore(document, to, root, by)
    work.run(data_dir, database_url, lambda archive: work.restore_document(archive, wanted, as_json=as_json))


def export(
    document: DocumentId,
    at: Annotated[
        str | None, typer.Option("--at", metavar="MOMENT", show_default=False, help="A moment; now, if left out.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="json, text, html, markdown, prosemirror or yjs.")
    ] = "json",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Write it there.")
    ] = None,
    root: Root = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write a document, as it is or was, to a file or to the standard output."""
    from cowrite import history_work as work

    work.run(data_dir, database_url, lambda archive: work.export_document(archive, document, at, form, root, output))


def verify(
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="[DOCUMENT]...", show_default=False, help="Documents' ids; none: all.")
    ] = None,
    backup: Annotated[
        Path | None,
        typer.Option("--backup", metavar="FILE", show_default=False, help="Those in this backup: it is restored aside for it."),
    ] = None,
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Replay documents' logs, and compare them with all that is stored of them.

    Prints a line for each document; the exit code is 1 when something does not agree.
    """
    from cowrite import history_work as work

    if backup is None:
        raise typer.Exit(
            work.run(data_dir, database_url, lambda archive: work.verify_all(archive, documents or [], as_json=as_json))
        )
    from cowrite.backup_work import restored_copy

    with restored_copy(backup) as url:
        raise typer.Exit(work.run(None, url, lambda archive: work.verify_all(archive, documents or [], as_json=as_json)))


COMMANDS = (history, diff, restore, export, verify)
