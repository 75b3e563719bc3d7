"""A real server whose disk takes no more, and then does again."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from cowrite.testing.client import live_client
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB at ``tmp_path/data``, where the server that is started in ``tmp_path`` keeps its database."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def run(program: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=folder)


def fill_up(path: Path) -> None:
    """Until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass


async def is_kept_back(server: DemoServer, writer: Writer) -> None:
    """Nothing is acknowledged, and the server says so; who looks for it at ``/metrics`` finds it, too."""
    while (await health(server))["store"] != "failing":  # noqa: ASYNC110
        await asyncio.sleep(20 * MS)
    before = len(writer.durable)
    words = len(writer.words)
    await until(lambda: len(writer.words) > words + 3)
    assert len(writer.durable) == before
    figures = await asyncio.to_thread(server.text, "metrics")
    assert 'cowrite_journal_failing{worker="1"} 1.0' in figures


@pytest.mark.chaos
@pytest.mark.rule("JO12", "JO6", "ST25", "CL9")
async def test_a_disk_that_is_full_a_database_that_is_locked_and_a_file_system_that_is_read_only(
    tmp_path: Path, small_disk: Path
) -> None:
    """Real ones, one after the other; what was acknowledged survives, and the server goes on by itself."""
    rng = random.Random(1)
    with DemoServer(tmp_path) as server:
        writer = Writer("ana", DOCUMENT)
        typing = asyncio.create_task(writer.write(server.port, rng, pause=0.1))
        await until(lambda: len(writer.durable) > 5)

        ballast = small_disk / "ballast"
        await asyncio.to_thread(fill_up, ballast)
        await is_kept_back(server, writer)
        # Who comes in with an editor does; sessions are stored, and there is no room for one.
        assert [word for word in writer.durable if word not in await read_text(server.port, DOCUMENT)] == []
        assert await read_text(server.port, "not-there-yet") == ""
        asked = {"document_id": DOCUMENT}
        refused = await asyncio.to_thread(httpx.post, f"{server.url}api/v2/realtime/connect", json=asked, timeout=30)
        assert refused.status_code == 503
        await asyncio.to_thread(ballast.unlink)
        durable = len(writer.durable)
        await until(lambda: len(writer.durable) > durable)

        with closing(sqlite3.connect(server.database, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            await is_kept_back(server, writer)
        durable = len(writer.durable)
        await until(lambda: len(writer.durable) > durable)
        assert (await health(server))["store"] == "ok"
        server.kill()
        await typing

        assert (await asyncio.to_thread(run, ["mount", "-o", "remount,ro", str(small_disk)], tmp_path)).returncode == 0
        program = [
            str(Path(sys.executable).parent / "cowrite"),
            "serve",
            "--demo",
            "--port",
            "0",
            "--data-dir",
            str(small_disk),
        ]
        answer = await asyncio.to_thread(run, program, tmp_path)
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
        assert "Read-only file system" in answer.stderr
        assert (await asyncio.to_thread(run, ["mount", "-o", "remount,rw", str(small_disk)], tmp_path)).returncode == 0
        server.start()
        text = await read_text(server.port, DOCUMENT)
        assert [word for word in writer.durable if word not in text] == []


@pytest.mark.chaos
@pytest.mark.rule("RE50", "RE53", "ST18", "VF2")
async def test_bytes_that_were_turned_in_the_database(tmp_path: Path) -> None:
    """The document is read as it was before, is left as it is, and opens for writing when mended; others do not notice."""
    with DemoServer(tmp_path) as server:
        for word in ("one", "two", "three"):
            async with live_client(f"ws://127.0.0.1:{server.port}/yjs/doc") as client:
                await client.until(lambda client=client: client.yjs.synced)  # type: ignore[misc]
                client.yjs.text += f"{word} "
                await client.until(lambda client=client: client.yjs.saved)  # type: ignore[misc]
        server.kill()
        place = "document_number = (SELECT number FROM documents WHERE document_id = 'doc')"
        rows = f"SELECT * FROM updates WHERE {place} ORDER BY entry_offset"
        with closing(sqlite3.connect(server.database)) as database, database:
            (update,) = database.execute(f"SELECT update_bytes FROM updates WHERE {place} AND entry_offset = 2").fetchone()
            damage = f"UPDATE updates SET update_bytes = ? WHERE {place} AND entry_offset = 2"
            database.execute(damage, (bytes(len(update)),))
            before = database.execute(rows).fetchall()
        server.start()
        url = f"ws://127.0.0.1:{server.port}/yjs"
        async with live_client(f"{url}/doc") as reader, live_client(f"{url}/other") as client:
            assert str(reader.yjs.text) == "one "
            reader.yjs.text += "kept "
            client.yjs.text += "not disturbed"
            await client.until(lambda: client.yjs.saved)
            assert (reader.yjs.saved, reader.socket.ended) == (False, None)
        health_now = await health(server)
        assert (health_now["status"], health_now["damaged_documents"]) == ("degraded", 1)
        assert 'cowrite_damaged_documents{worker="1"} 1.0' in await asyncio.to_thread(server.text, "metrics")
        (line,) = [json.loads(line) for line in server.errors() if "damaged" in line]
        assert (line["document"], line["readable_at"]) == ("doc", 1)
        with closing(sqlite3.connect(server.database)) as database:
            assert database.execute(rows).fetchall() == before
        for arguments, code, says in (
            (["verify"], 1, "'doc' differs at offset 2"),
            (["export", "doc", "--at", "1", "--format", "text"], 0, "one"),
        ):
            program = [str(Path(sys.executable).parent / "cowrite"), *arguments, "--data-dir", str(server.database.parent)]
            answer = await asyncio.to_thread(run, program, tmp_path)
            assert (answer.returncode, says in answer.stdout) == (code, True), answer.stderr
        server.kill()
        with closing(sqlite3.connect(server.database)) as database, database:
            database.execute(damage, (update,))
        server.start()
        async with live_client(f"{url}/doc", reader.yjs) as reader:
            await reader.until(lambda: reader.yjs.saved)
            assert sorted(str(reader.yjs.text).split()) == ["kept", "one", "three", "two"]
        assert (await health(server))["damaged_documents"] == 0
