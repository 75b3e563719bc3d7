"""How long it takes from opening a socket until the first state has come of a document that nobody has open."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from pathlib import Path
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from pycrdt import Doc, Text

from bench.side_by_side.servers import GENERATOR_CORE, Server, on_core, running
from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep1, SyncStep2, Update

DOCUMENT_BYTES, PIECE = 200_000, 100
_SECONDS = 60.0


class Opener(WSListener):
    """Opens a document; ``state`` is done when all of the first state has come, ``saved`` when all updates are on the disk."""

    def __init__(self, updates: list[bytes]) -> None:
        self._updates = updates
        self._parts: list[bytes] = []
        self.transport: WSTransport | None = None
        self.state: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, yjs.encode(SyncStep1(b"\x00")))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in {WSMsgType.BINARY, WSMsgType.CONTINUATION}:
            return
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            data, self._parts = b"".join(self._parts), []
            self._read(data, transport)

    def _read(self, data: bytes, transport: WSTransport) -> None:
        if data[:1] == b"\x64":
            message = yjs.decode(data)
            if isinstance(message, Acknowledged) and message.count >= len(self._updates) + 1 and not self.saved.done():
                self.saved.set_result(None)
        elif data[:2] == b"\x00\x00":
            transport.send(WSMsgType.BINARY, yjs.encode(SyncStep2(b"\x00\x00")))
        elif data[:2] == b"\x00\x01" and not self.state.done():
            self.state.set_result(len(data))
            for update in self._updates:
                transport.send(WSMsgType.BINARY, yjs.encode(Update(update)))


def typed_updates(size: int, seed: int) -> list[bytes]:
    """What somebody sends who types so many characters, in pieces, each at some place of what is there."""
    chance, doc, updates = random.Random(seed), Doc[Any](), list[bytes]()
    text = doc.get("body", type=Text)
    subscription = doc.observe(lambda event: updates.append(event.update))
    for length in range(0, size, PIECE):
        text.insert(chance.randint(0, length), "".join(chance.choices("etaoinshrdlu ", k=PIECE)))
    doc.unobserve(subscription)
    return updates


async def opened(port: int, document: str, updates: list[bytes] | None = None) -> tuple[float, int]:
    """Milliseconds until the first state, and its size; afterwards the updates are sent, and all of them saved."""
    began = time.perf_counter()
    listener = Opener(updates or [])
    url = f"ws://127.0.0.1:{port}/yjs/{document}"
    headers = {"Sec-WebSocket-Protocol": "cowrite.ack.v1"}
    await ws_connect(lambda: listener, url, extra_headers=headers, websocket_handshake_timeout=_SECONDS, max_frame_size=1 << 26)
    size = await asyncio.wait_for(listener.state, _SECONDS)
    took = (time.perf_counter() - began) * 1000
    if updates:
        await asyncio.wait_for(listener.saved, _SECONDS)
    assert listener.transport is not None
    listener.transport.disconnect()
    return took, size


def measure(server: Server, folder: Path, *, documents: int) -> dict[str, float]:
    """The median and the longest of that many documents, each opened once after the server was started anew."""
    names = ["warm-up", *(f"cold-{number}" for number in range(documents))]
    with running(server, folder) as one:
        asyncio.run(_write(one.port, names))
    with running(server, folder) as one, on_core(GENERATOR_CORE):
        took = asyncio.run(_open(one.port, names))
    return {"first_state_ms": statistics.median(took), "first_state_max_ms": max(took)}


async def _write(port: int, names: list[str]) -> None:
    for seed, name in enumerate(names):
        await opened(port, name, typed_updates(DOCUMENT_BYTES, seed))


async def _open(port: int, names: list[str]) -> list[float]:
    took = []
    for name in names:
        milliseconds, size = await opened(port, name)
        assert size >= DOCUMENT_BYTES, f"{name} came with {size} bytes"
        took.append(milliseconds)
        await asyncio.sleep(0.05)
    # The first one warms up what a server does once.
    return took[1:]
