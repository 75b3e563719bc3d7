"""The command that brings files into documents. What it does is in ``import_work.py``, which is loaded when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cowrite.console import AsJson
from cowrite.history_commands import DatabaseUrl, DataDir


def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, and folders of files: each file becomes a document.")
    ],
    *,
    document: Annotated[
        str | None, typer.Option("--document", metavar="ID", show_default=False, help="The document; only for one file.")
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", show_default=False, help="What the documents' ids begin with.")
    ] = "",
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORM",
            show_default=False,
            help="markdown, html, text, prosemirror or yjs. Else by the files' names: .md, .html, .txt, .json, .yjs.",
        ),
    ] = None,
    shape: Annotated[
        str, typer.Option("--as", metavar="EDITOR", help="Which editor opens it: tiptap, prosemirror, text or quill.")
    ] = "tiptap",
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="NAME",
            show_default=False,
            help="The root; else default, prosemirror or text, as the editor has it.",
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", metavar="MODE", help="empty: nothing may be there; append; replace.")
    ] = "empty",
    by: Annotated[str, typer.Option("--by", metavar="USER", help="Whose edit it is to be.")] = "cowrite",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write files into documents, as edits that everybody sees arrive.

    A file's document has its name, without the ending; in a folder, with the folders within it before that. What was in a
    document before is a version. The exit code is 1 when a file was not imported.
    """
    from cowrite import import_work as work
    from cowrite.history_work import run

    wanted = work.Wanted(paths, document, prefix, form, shape, root, mode, by)
    raise typer.Exit(run(data_dir, database_url, lambda archive: work.import_files(archive, wanted, as_json=as_json)))
