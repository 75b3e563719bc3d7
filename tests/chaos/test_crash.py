"""A real server, killed with SIGKILL at random moments under 50 writers, round after round on the same data folder."""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from pathlib import Path

import pytest

from demo_server import DemoServer
from socket_writers import Writer, read_text, until
from timing import MS

ROUNDS = 3 * int(os.environ.get("COWRITE_CHAOS", "1"))
WRITERS = 50
DOCUMENTS = 5


def more_is_durable(writers: list[Writer], than: int) -> bool:
    return sum(len(writer.durable) for writer in writers) > than


async def check_nothing_is_lost(port: int, writers: list[Writer]) -> None:
    """What a new client is shown, before any writer comes back with what it still has."""
    texts = {document: await read_text(port, document) for document in {writer.document for writer in writers}}
    lost = [word for writer in writers for word in writer.durable if word not in texts[writer.document]]
    assert not lost, f"acknowledged and lost: {lost[:5]}"


@pytest.mark.chaos
@pytest.mark.rule("JO1")
@pytest.mark.timeout(16_000 * MS * ROUNDS)
@pytest.mark.parametrize("seed", [20261123, 20261128])
async def test_every_acknowledged_update_survives_kill_minus_nine(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    server = DemoServer(tmp_path)
    writers = [Writer(f"w{n}", f"crash/{n % DOCUMENTS}") for n in range(WRITERS)]
    for _ in range(ROUNDS):
        with server:
            await check_nothing_is_lost(server.port, writers)
            promised = sum(len(writer.durable) for writer in writers)
            typing = [asyncio.create_task(writer.write(server.port, rng)) for writer in writers]
            # Without something new to lose a kill would prove nothing.
            await until(partial(more_is_durable, writers, promised))
            await asyncio.sleep(rng.uniform(0, 0.8))
            await asyncio.to_thread(server.kill)
            await asyncio.gather(*typing)
    with server:
        await check_nothing_is_lost(server.port, writers)
    assert sum(len(writer.durable) for writer in writers) >= 20 * ROUNDS
