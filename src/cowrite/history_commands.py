"""The commands that look at documents' pasts. They work on the database itself, also while a server runs on it.

What they do is in ``history_work.py``, which is loaded when one of them runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", metavar="VALUE", show_default=False, help="The folder of the documents. Else COWRITE_DATA_DIR."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", metavar="VALUE", show_default=False, help="The database. Else COWRITE_DATABASE_URL."),
]


def verify(
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="[DOCUMENT]...", show_default=False, help="Documents' ids; none: all.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Replay documents' logs, and compare them with all that is stored of them.

    Prints a line for each document; the exit code is 1 when something does not agree.
    """
    from cowrite import history_work as work

    raise typer.Exit(work.run(data_dir, database_url, lambda storage: work.verify_all(storage, documents or [])))
