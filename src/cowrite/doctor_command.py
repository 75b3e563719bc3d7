"""The command that says what is wrong with a set-up."""

from __future__ import annotations

from typing import Annotated

import typer

from cowrite.console import AsJson
from cowrite.history_commands import DatabaseUrl, DataDir


def doctor(
    *,
    demo: Annotated[bool, typer.Option("--demo", metavar="", help="As `cowrite serve --demo` would start.")] = False,
    host: Annotated[
        str | None, typer.Option("--host", metavar="VALUE", show_default=False, help="The address. Else COWRITE_HOST.")
    ] = None,
    port: Annotated[
        str | None, typer.Option("--port", metavar="VALUE", show_default=False, help="The port. Else COWRITE_PORT.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis-url", metavar="VALUE", show_default=False, help="A Redis server. Else COWRITE_REDIS_URL."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, database, Redis, clocks and what the machine allows, and say what to do. It changes nothing.

    The exit code is 1 when something is a problem. A server may run meanwhile, or not.
    """
    from cowrite.doctor.examination import diagnose

    flags = {"host": host, "port": port, "data_dir": data_dir, "database_url": database_url, "redis_url": redis_url}
    raise typer.Exit(diagnose(flags, demo=demo, as_json=as_json))
