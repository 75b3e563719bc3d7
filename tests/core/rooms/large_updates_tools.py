"""Large updates, and processes that take them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from cowrite.core.delivery.peer import Peer
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.rooms.large_updates import LargeUpdates
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Connection, Process
from cowrite.testing.yjs_writer import block, embed, varuint, write_update

STRUCTS = 3 * SLICE_PARTS
LONG = b"\x01" + varuint(1_900_000) + b"\x01\x00" + b"\x00\x01" * 1_900_000 + b"\x00"
"""Nearly as many structs as an update may have: seconds of CPU time, and some hundred megabytes."""


def embeds(count: int, *, client: int = 1, start: int = 0) -> bytes:
    """An update of so many structs of one client in a text."""
    first = [embed(1, root="t")] if not start else [embed(1, origin=(client, start - 1))]
    rest = [embed(1, origin=(client, clock - 1)) for clock in range(start + 1, start + count)]
    return write_update([block(client, start, *first, *rest)])


async def receive(server: Process, connection: Connection, update: bytes, *, everything: bool = True) -> float:
    """As the transport does it."""
    return await server.room().large.receive(connection.peer, update, inspect(update, SYNC_LIMITS), everything=everything)


def state(server: Process, client: int = 1) -> int:
    live = server.room().replicas.live
    assert live is not None
    return live.state.get(client, 0)


def looking(large: LargeUpdates, peer: Peer) -> int | None:
    """The id of the process that looks at something of this peer."""
    place = large._places.get(peer)
    process = place.process._process if place is not None and place.process is not None else None
    return process.pid if process is not None else None


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


async def turn(server: Process, *, until: Callable[[], object], seconds: float = 0.05) -> None:
    """Turn the clock while threads work."""
    assert isinstance(server.clock, ManualClock)
    for _ in range(2000):
        if until():
            return
        server.clock.advance(seconds)
        await asyncio.sleep(0.001)
    raise AssertionError
