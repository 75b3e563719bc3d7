"""Two servers on one SQLite file, without a broker between them: what one commits the other finds."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demo_server import DemoServer
from socket_writers import Writer, read_text, until

WRITERS = 6
SECONDS = 4.0


def offsets(data: Path) -> list[int]:
    """The offsets of the document's entries, in the order in which they stand in the table's key."""
    with closing(sqlite3.connect(data / "cowrite.sqlite3")) as database:
        rows = database.execute("SELECT entry_offset FROM updates WHERE document_id = ? ORDER BY 1", ["shared"])
        return [row[0] for row in rows]


def typed(writers: list[Writer]) -> int:
    return sum(len(writer.words) for writer in writers)


@pytest.mark.chaos
@pytest.mark.rule("RE7")
@pytest.mark.rule("JO2")
@pytest.mark.timeout(90)
async def test_two_servers_on_one_file_write_one_log(tmp_path: Path) -> None:
    rng = random.Random(7)
    servers = [DemoServer(tmp_path), DemoServer(tmp_path)]
    for server in servers:
        await asyncio.to_thread(server.start)
    try:
        writers = [Writer(f"w{n}", "shared") for n in range(WRITERS)]
        typing = [asyncio.create_task(w.write(servers[n % 2].port, rng, pause=0.1)) for n, w in enumerate(writers)]
        await asyncio.sleep(SECONDS)
        for writer in writers:
            writer.typing = False
        await until(lambda: all(w.client.saved and str(w.client.text).count(";") == typed(writers) for w in writers))
        texts = {str(writer.client.text) for writer in writers}
        assert len(texts) == 1
        assert texts == {await read_text(server.port, "shared") for server in servers}
        assert typed(writers) > 20
        log = offsets(tmp_path / "data")
        assert log == list(range(1, len(log) + 1))
        for task in typing:
            task.cancel()
        await asyncio.gather(*typing, return_exceptions=True)
        assert [server.errors() for server in servers] == [[], []]
    finally:
        for server in servers:
            await asyncio.to_thread(server.kill)
