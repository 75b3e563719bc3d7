"""``cowrite`` with shorter times for sockets, to try out in seconds what takes a minute. They are no settings."""

from __future__ import annotations

from functools import partial
from typing import Final

from cowrite import server
from cowrite.app import create_app
from cowrite.cli import main
from cowrite.transports import json_connection
from cowrite.transports.services import SocketTimes

TIMES: Final = SocketTimes(ping_after=1.0, pong_within=3.0, close_within=0.5, idle_after=4.0)


def run() -> None:
    """As the command does."""
    setattr(server, "create_app", partial(create_app, times=TIMES))  # noqa: B010
    setattr(json_connection, "HELLO_SECONDS", 1.0)  # noqa: B010 - it is Final
    main()
