"""The command that lets an assistant work on documents."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from cowrite.startup import StartError


def mcp(
    *,
    url: Annotated[str, typer.Option(metavar="URL", help="Where cowrite is served.")] = "http://127.0.0.1:8000",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            show_default=False,
            help="The assistant's session token. Else COWRITE_MCP_TOKEN, which other users of this machine do not see.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What people see at its cursor.")] = "Assistant",
    colour: Annotated[str, typer.Option(metavar="#RRGGBB", help="The colour of its cursor.")] = "#7c3aed",
    http: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            show_default=False,
            help="Serve http://127.0.0.1:PORT/mcp, to every program of this machine, instead of the standard streams.",
        ),
    ] = None,
) -> None:
    """Let an AI assistant list, read and edit documents under its own name and grant: an MCP server, which assistants start."""
    import os

    if find_spec("mcp") is None:
        raise StartError("this needs the package mcp: pip install 'cowrite[mcp]'")
    from cowrite.mcp.api import check_address
    from cowrite.mcp.serving import run

    try:
        check_address(url)
    except ValueError as error:
        raise StartError(f"--url: {error}") from None
    try:
        run(url, token or os.environ.get("COWRITE_MCP_TOKEN") or None, name=name, colour=colour, port=http)
    except KeyboardInterrupt:
        raise typer.Exit from None
