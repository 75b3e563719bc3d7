"""A real server whose disk takes no more, and then does again."""

from __future__ import annotations

import asyncio
import random
import resource
from functools import partial
from pathlib import Path

import psutil
import pytest

from demo_server import DemoServer
from socket_writers import Writer, read_text, until
from timing import MS

DOCUMENT = "disk"
FULL = 1000
"""Bytes that a file may have while the disk is "full"."""
STILL_UNDER_WAY_SECONDS = 1000 * MS


def limit_files(server: DemoServer, size: int) -> None:
    """From now on the process cannot write beyond this size of any file: the kernel says EFBIG, as a full disk says ENOSPC."""
    process = psutil.Process(server.pid)
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))


async def health(server: DemoServer) -> dict[str, object]:
    answer: dict[str, object] = await asyncio.to_thread(server.health)
    return answer


def shows(writer: Writer, word: str) -> bool:
    return word in str(writer.client.text)


@pytest.mark.chaos
@pytest.mark.rule("JO12", "JO6", "ST25")
@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="the system cannot limit another process's files")
async def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """Nothing is acknowledged, relaying goes on, /healthz tells; then all is committed, and a kill finds it on the disk."""
    rng = random.Random(1)
    with DemoServer(tmp_path) as server:
        writers = [Writer(name, DOCUMENT) for name in ("ana", "bo")]
        typing = [asyncio.create_task(writer.write(server.port, rng, pause=0.1)) for writer in writers]
        await until(lambda: all(len(writer.durable) > 5 for writer in writers))
        assert (await health(server))["status"] == "ok"

        limit_files(server, FULL)
        await asyncio.sleep(STILL_UNDER_WAY_SECONDS)
        before = [len(writer.durable) for writer in writers]
        word = f"ana-{len(writers[0].words)};"
        await until(partial(shows, writers[1], word))
        await asyncio.sleep(STILL_UNDER_WAY_SECONDS)
        assert [len(writer.durable) for writer in writers] == before
        answer = await health(server)
        assert (answer["status"], answer["store"]) == ("degraded", "failing")
        assert isinstance(answer["pending_bytes"], int)
        assert answer["pending_bytes"] > 0

        limit_files(server, resource.RLIM_INFINITY)
        for writer in writers:
            writer.typing = False
        await until(lambda: all(writer.client.saved for writer in writers))
        assert (await health(server))["status"] == "ok"
        server.kill()
        await asyncio.gather(*typing)
        server.start()
        text = await read_text(server.port, DOCUMENT)
        assert [word for writer in writers for word in writer.words if word not in text] == []
