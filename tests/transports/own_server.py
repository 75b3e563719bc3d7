"""cowrite's own server, as tests of its sockets look at it."""

from __future__ import annotations

import struct
from contextlib import AsyncExitStack, suppress
from typing import cast

from cowrite.testing.client import (
    CLOSE,
    CONTINUATION,
    PING,
    ConnectionEnded,
    WebSocketClient,
    encode_frame,
)
from cowrite.testing.transport_contract import ServerOptions
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import SocketTimes
from cowrite.transports.websocket import SocketProtocol
from cowrite.transports.yjs import YjsConnection
from live_server import LiveServer, live_server

BROKEN = {
    "no mask": b"\x82\x01x",
    "reserved bit": b"\xc2" + encode_frame(b"x")[1:],
    "nothing to continue": encode_frame(b"x", kind=CONTINUATION),
    "message in a message": encode_frame(b"x", final=False) + encode_frame(b"x"),
    "unknown kind": encode_frame(b"x", kind=3),
    "ping in parts": encode_frame(b"x", kind=PING, final=False),
    "long ping": encode_frame(bytes(126), kind=PING),
    "close code 1005": encode_frame(struct.pack("!H", 1005), kind=CLOSE),
    "half a close code": encode_frame(b"\x03", kind=CLOSE),
    "close reason not UTF-8": encode_frame(struct.pack("!H", 1000) + b"\xff", kind=CLOSE),
}
"""Frames that no WebSocket client sends, and that end the one who does."""


async def serve(stack: AsyncExitStack, times: SocketTimes | None = None) -> LiveServer:
    return await stack.enter_async_context(live_server(ServerOptions(), picows=True, times=times))


async def rest(client: WebSocketClient) -> list[int]:
    """The kinds of all frames until the connection ends."""
    kinds = []
    with suppress(ConnectionEnded):
        while True:
            kinds.append((await client.receive_frame()).kind)
    return kinds


def protocols(server: LiveServer) -> list[SocketProtocol]:
    services = server.runtime.serving()
    assert services is not None
    sockets = [cast("PicowsWire", cast("YjsConnection", one)._wire)._socket for one in services.connections]
    return [cast("SocketProtocol", socket.get_protocol()) for socket in sockets]
