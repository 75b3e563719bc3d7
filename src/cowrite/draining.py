"""The end of a process, as its clients see it: they are sent away one after the other, each after its acknowledgements.

All at once they would all come back at once, to the other processes or to this one's successor: each of them shows its token,
and asks for the document and what it has missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from cowrite.core.ports import Clock
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.services import Connection, Services

REASON: Final = "the server is restarting"
_PATIENCE_SECONDS: Final = 1.0
"""How long a connection may wait for what it has sent to be stored; what was not, its client sends again elsewhere."""
_STEP_SECONDS: Final = 0.05
"""How often it is looked who can go."""

_log = structlog.get_logger(__name__)


async def send_away(services: Services, seconds: float) -> None:
    """Close all sockets with 1012, spread evenly over so many seconds, each once what it has sent is stored, if that is soon.

    With 0 all are closed at once. Nobody may come in meanwhile.
    """
    if not services.connections:
        return
    if seconds <= 0:
        services.close_connections(CloseCode.SERVICE_RESTART, REASON)
        return
    clock = services.clock
    leaving = list(services.connections)
    _log.info("connections are sent away", connections=len(leaving), seconds=seconds)
    began, due = clock.monotonic(), 0
    waiting: list[tuple[float, Connection]] = []
    while services.connections and (due < len(leaving) or waiting):
        now = clock.monotonic()
        # The first one goes at once: a server with one client is not kept up by it.
        count = min(len(leaving), 1 + int((now - began) * len(leaving) / seconds))
        waiting += [(now + _PATIENCE_SECONDS, connection) for connection in leaving[due:count]]
        due = max(due, count)
        waiting = _close_settled(waiting, now)
        if due < len(leaving) or waiting:
            await clock.sleep(_pause(clock, began, due, leaving, seconds))


def _close_settled(waiting: Sequence[tuple[float, Connection]], now: float) -> list[tuple[float, Connection]]:
    """Close those that can go, and return the others."""
    left = []
    for until, connection in waiting:
        if connection.settled or now >= until:
            connection.close(CloseCode.SERVICE_RESTART, REASON)
        else:
            left.append((until, connection))
    return left


def _pause(clock: Clock, began: float, due: int, leaving: Sequence[Connection], seconds: float) -> float:
    """Until the next one is due, and not longer than a step."""
    if due == len(leaving):
        return _STEP_SECONDS
    next_one = began + due * seconds / len(leaving) - clock.monotonic()
    return min(max(next_one, 0.001), _STEP_SECONDS)
