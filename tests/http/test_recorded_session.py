"""A real paper's editing session, key by key through the server; then the server is asked what it was like on the way."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from cowrite.testing.yjs_client import YjsClient
from demo_server import DemoServer
from socket_writers import ACKNOWLEDGED
from traces import Key, automerge_paper, play

KEYS = min(1.0, 0.02 * float(os.environ.get("COWRITE_FUZZ", "1")))
"""The part of the session that is played; ``make random`` plays all of it."""
MOMENTS = 10
PAPER = "/api/v2/documents/paper"
_AT_ONCE = 50


@pytest.mark.fuzz
@pytest.mark.rule("HV1")
async def test_any_moment_of_a_recorded_session(tmp_path: Path) -> None:
    keys = automerge_paper()
    keys = keys[: int(KEYS * len(keys))]
    with DemoServer(tmp_path) as server:
        durable = await _play(server.port, keys)
        assert max(durable) == len(keys)
        moments = random.Random(7).sample(sorted(durable.items()), MOMENTS)
        async with httpx.AsyncClient(base_url=server.url) as client:
            text: list[str] = []
            played = 0
            for count, offset in sorted(moments):
                play(text, keys[played:count])
                played = count
                answer = await client.get(PAPER, params={"at": f"offset:{offset}", "format": "text", "root": "body"})
                assert answer.text.removesuffix("\n") == "".join(text).removesuffix("\n"), f"after {count} keys, at {offset}"
            runs = (await client.get(f"{PAPER}/blame", params={"root": "body"})).json()["runs"]
            whole: list[str] = []
            play(whole, keys)
            assert sum(run["length"] for run in runs) == len(whole)
        server.stop()


async def _play(port: int, keys: list[Key]) -> dict[int, int]:
    """Type all keys; returns, by how many of them were durable together, the offset of the log with exactly these."""
    durable: dict[int, int] = {}
    client = YjsClient()
    url = f"ws://127.0.0.1:{port}/yjs/paper"
    async with connect(url, subprotocols=ACKNOWLEDGED, compression=None, max_size=None) as socket:
        frames: list[bytes] = []
        client.connect(frames.append)

        async def receive() -> None:
            async for frame in socket:
                assert isinstance(frame, bytes)
                client.receive(frame)
                if client.acknowledged > 1:  # the first message is the answer to the server's handshake
                    durable[client.acknowledged - 1] = client.offset

        receiving = asyncio.create_task(receive())
        while not client.synced:
            await _send(socket, frames)
            await asyncio.sleep(0.01)
        for start in range(0, len(keys), _AT_ONCE):
            for index, character in keys[start : start + _AT_ONCE]:
                if character:
                    client.text.insert(index, character)
                else:
                    del client.text[index : index + 1]
            await _send(socket, frames)
            while client.sent - client.acknowledged > 4 * _AT_ONCE:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        while not client.saved:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        receiving.cancel()
    return durable


async def _send(socket: ClientConnection, frames: list[bytes]) -> None:
    for frame in frames:
        await socket.send(frame)
    frames.clear()
