"""The command that makes load, and measures what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cowrite.startup import AWAY, WRONG, StartError


def _option(name: str, text: str, metavar: str = "N", **more: Any) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=text, **more)


def load(
    *,
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="http://… of a cowrite server, or ws://… of any y-websocket or Hocuspocus server."),
    ] = "http://127.0.0.1:8000",
    protocol: Annotated[str, _option("protocol", "yjs, hocuspocus, json or poll.", "NAME")] = "yjs",
    mix: Annotated[str | None, _option("mix", "Several: yjs=70,poll=20,json=10.", "SHARES", show_default=False)] = None,
    documents: Annotated[int, _option("documents", "How many documents.")] = 1,
    people: Annotated[int, _option("people", "How many people in each document.")] = 10,
    typing: Annotated[int | None, _option("typing", "How many of them type; else all.", show_default=False)] = None,
    rate: Annotated[float, _option("rate", "Edits a second of each who types; 0: nobody types.", "RATE")] = 1.0,
    cursors: Annotated[float, _option("cursors", "Cursor moves a second of everybody; 0: no cursors.", "RATE")] = 0.0,
    document_bytes: Annotated[
        str, _option("document-bytes", "How large each document is before anybody comes: 200K, 4M.", "SIZE")
    ] = "0",
    seconds: Annotated[float, _option("seconds", "How long is measured.", "SECONDS")] = 10.0,
    warm_up: Annotated[float, _option("warm-up", "How long they work before it counts.", "SECONDS")] = 2.0,
    ramp_up: Annotated[
        float, _option("ramp-up", "How many people come a second; 0: as fast as they are let in.", "RATE")
    ] = 0.0,
    settle: Annotated[float, _option("settle", "How long what has not arrived is waited for.", "SECONDS")] = 10.0,
    join_storm: Annotated[int, _option("join-storm", "How many more come at once in the middle.")] = 0,
    replicas: Annotated[int, _option("replicas", "How many of each document keep it, to compare (20 in all).")] = 2,
    sampled: Annotated[int, _option("sampled", "At how many people latency is taken.")] = 50,
    poll_every: Annotated[float, _option("poll-every", "Seconds between two polls; 0: long polls.", "SECONDS")] = 0.0,
    source: Annotated[
        list[str] | None,
        _option(
            "source", "An address of this machine to connect from; may be given several times.", "ADDRESS", show_default=False
        ),
    ] = None,
    processes: Annotated[int, _option("processes", "How many processes make the load.")] = 1,
    token: Annotated[str | None, _option("token", "A session token for all.", "TOKEN", show_default=False)] = None,
    secret: Annotated[
        str | None, _option("secret", "The server's secret, to make tokens. Else COWRITE_SECRET.", "SECRET", show_default=False)
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", metavar="", help="The server wants no token; COWRITE_SECRET is not used.")
    ] = False,
    server_pid: Annotated[
        int | None, _option("server-pid", "The server's process here, to look at what it uses.", "PID", show_default=False)
    ] = None,
    prefix: Annotated[
        str | None, _option("prefix", "What the documents' ids begin with; else new ones.", "TEXT", show_default=False)
    ] = None,
    json: Annotated[
        str | None, _option("json", "Write the report as JSON to this file; -: print it.", "FILE", show_default=False)
    ] = None,
    html: Annotated[str | None, _option("html", "Write the report as a page to this file.", "FILE", show_default=False)] = None,
) -> None:
    """Measure a server under load: people who come, type and point, and whether all of it arrives everywhere, and how late.

    The exit code is 1 when something did not arrive.
    """
    import os

    from cowrite.loadtest.command import execute
    from cowrite.loadtest.errors import LoadError, PlanError
    from cowrite.loadtest.option_values import protocols, size
    from cowrite.loadtest.plan import Plan

    try:
        if secret is None and token is None and not demo:
            secret = os.environ.get("COWRITE_SECRET") or None
        named = {} if prefix is None else {"prefix": prefix}
        plan = Plan(
            url=url,
            protocols=protocols(protocol, mix),
            documents=documents,
            people=people,
            typing=typing,
            rate=rate,
            cursors=cursors,
            document_bytes=size(document_bytes),
            seconds=seconds,
            warm_up=warm_up,
            ramp_up=ramp_up,
            settle=settle,
            join_storm=join_storm,
            replicas=replicas,
            sampled=sampled,
            poll_every=poll_every,
            sources=tuple(source or ()),
            processes=processes,
            token=token,
            secret=secret,
            server_pid=server_pid,
            **named,
        )
        raise typer.Exit(execute(plan, json_file=json, html_file=html))
    except PlanError as error:
        raise StartError(str(error), code=WRONG) from None
    except LoadError as error:
        raise StartError(str(error), code=AWAY) from None
