"""Yjs clients that count, for benchmarks of one thing that ``cowrite load`` does not measure."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from pycrdt import Doc, Text

from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep1, SyncStep2, Update

_TOKEN = re.compile(rb"\[(\d+)\]")


@dataclass
class Counts:
    """What the generator saw."""

    delivered: int = 0
    frames: int = 0
    latencies: list[float] = field(default_factory=list)
    acknowledgements: list[float] = field(default_factory=list)
    tokens_by_frame: dict[bytes, list[int]] = field(default_factory=dict)


class Reader(WSListener):
    """A peer that only counts. Frames are the same for all peers, so each is read once."""

    def __init__(self, counts: Counts, *, sample: bool) -> None:
        self.counts = counts
        self.sample = sample
        self.synced = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, yjs.encode(SyncStep1(b"\x00")))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.BINARY:
            return
        data = frame.get_payload_as_bytes()
        if data[:2] == b"\x00\x02":
            self._update(data)
        elif data[:2] == b"\x00\x00":
            transport.send(WSMsgType.BINARY, yjs.encode(SyncStep2(b"\x00\x00")))
        elif data[:2] == b"\x00\x01" and not self.synced.done():
            self.synced.set_result(None)
        elif data[:1] == b"\x64":
            self.acknowledged(data)

    def _update(self, data: bytes) -> None:
        counts = self.counts
        tokens = counts.tokens_by_frame.get(data)
        if tokens is None:
            tokens = counts.tokens_by_frame[data] = [int(token) for token in _TOKEN.findall(data)]
        counts.frames += 1
        counts.delivered += len(tokens) - self.echoes(tokens)
        if self.sample:
            now = time.perf_counter_ns()
            counts.latencies += [(now - token) / 1e6 for token in tokens]

    def echoes(self, tokens: list[int]) -> int:
        """How many of them are this peer's own: merged frames bring them back to it, and that is no delivery."""
        return 0

    def acknowledged(self, data: bytes) -> None:
        """A reader has nothing to be acknowledged."""

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.synced.done():
            self.synced.set_exception(ConnectionError("closed before the state came"))


class Writer(Reader):
    """A peer that types: each edit carries the time at which it was sent."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(counts, sample=False)
        self.doc: Doc[Any] = Doc()
        self.text = self.doc.get("body", type=Text)
        self.sent: list[int] = [0]
        self.told = 0
        self.typed: set[int] = set()
        self._subscription = self.doc.observe(self._changed)

    def type(self) -> None:
        token = time.perf_counter_ns()
        self.typed.add(token)
        self.text += f"[{token}]"

    def echoes(self, tokens: list[int]) -> int:
        return sum(token in self.typed for token in tokens)

    def _changed(self, event: object) -> None:
        self.sent.append(time.perf_counter_ns())
        assert self.transport is not None
        self.transport.send(WSMsgType.BINARY, yjs.encode(Update(event.update)))  # type: ignore[attr-defined]

    def acknowledged(self, data: bytes) -> None:
        message = yjs.decode(data)
        assert isinstance(message, Acknowledged)
        now = time.perf_counter_ns()
        self.counts.acknowledgements += [(now - at) / 1e6 for at in self.sent[max(self.told, 1) : message.count]]
        self.told = message.count


async def connect(port: int, listener: Reader) -> Reader:
    url = f"ws://127.0.0.1:{port}/yjs/bench"
    await ws_connect(
        lambda: listener, url, extra_headers={"Sec-WebSocket-Protocol": "cowrite.ack.v1"}, websocket_handshake_timeout=60
    )
    await asyncio.wait_for(listener.synced, 60)
    return listener


async def typing(writer: Writer, rate: float, until: float, *, phase: float) -> None:
    await asyncio.sleep(phase / rate)
    while time.monotonic() < until:
        writer.type()
        await asyncio.sleep(1 / rate)
