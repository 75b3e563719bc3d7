"""The commands on webhooks that were given up. They work on the database itself, also while a server runs on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import typer

from cowrite.console import AsJson
from cowrite.history_commands import DatabaseUrl, DataDir

WEBHOOKS_HELP: Final = "Look at webhooks that were given up, have them sent again, or drop them."

EventId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, or all.")]


def list_dead(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Tell which webhooks were given up, and why."""
    from cowrite import webhook_work as work

    work.print_dead(data_dir, database_url, as_json=as_json)


def retry(event_id: EventId, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Have a webhook sent again, once, by a server that runs on this database: within seconds, or when one is started."""
    from cowrite import webhook_work as work

    work.retry(data_dir, database_url, event_id)


def drop(event_id: EventId, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Forget a webhook that was given up."""
    from cowrite import webhook_work as work

    work.drop(data_dir, database_url, event_id)


WEBHOOK_COMMANDS: Final[Mapping[str, Callable[..., None]]] = {"list": list_dead, "retry": retry, "drop": drop}
