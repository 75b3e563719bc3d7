"""A WebSocket as a link."""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from typing import Final

from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from cowrite.client.errors import Failure, broken, closed_with, described
from cowrite.client.ways import Listener

ACK_PROTOCOL: Final = "cowrite.ack.v1"
"""Offering this sub-protocol asks the server for acknowledgements."""
OPEN_SECONDS: Final = 15.0
QUIET_SECONDS: Final = 15.0
"""After so long without a word the server is sent a ping …"""
PONG_SECONDS: Final = 8.0
"""… and given up when nothing comes within this time."""
_CLOSE_SECONDS: Final = 2.0
_MAX_FRAME_BYTES: Final = 1 << 30
_LONGEST_REST: Final = 60.0


class SocketLink(WSListener):
    """One WebSocket. Get it by :func:`open_socket`."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        """Of a message that comes in several frames."""
        self._over = False

    @property
    def opened(self) -> bool:
        """The server has let it in."""
        return self._transport is not None

    def send(self, frame: bytes) -> None:
        if self._transport is not None and not self._over:
            self._transport.send(WSMsgType.BINARY, frame)

    async def close(self) -> None:
        transport, self._over = self._transport, True
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(WSCloseCode.OK)
        try:
            # The server closes once it has read what was sent.
            async with asyncio.timeout(_CLOSE_SECONDS):
                await transport.wait_disconnected()
        except (TimeoutError, WSError):
            transport.disconnect(graceful=False)

    # ---- what picows says --------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._lost(closed_with(code, payload[2:].decode(errors="replace")))
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.BINARY, WSMsgType.CONTINUATION}:
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                message = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                if not self._over:
                    self._listener.received(message)
        elif frame.msg_type == WSMsgType.TEXT:
            self._lost(broken("a text came where the protocol has bytes; is this the address of a cowrite server?"))
            transport.disconnect(graceful=False)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._lost(broken("the connection was lost"))

    def _lost(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self._listener.lost(failure)


async def open_socket(url: str, listener: Listener, trust: SSLContext | None) -> SocketLink:
    """Open a WebSocket. Raises :class:`Failure`."""
    link = SocketLink(listener)
    try:
        await ws_connect(
            lambda: link,
            url,
            ssl_context=trust,
            websocket_handshake_timeout=OPEN_SECONDS,
            extra_headers={"Sec-WebSocket-Protocol": ACK_PROTOCOL},
            max_frame_size=_MAX_FRAME_BYTES,
            max_redirects=0,  # the token is for this server
            enable_auto_ping=True,
            auto_ping_idle_timeout=QUIET_SECONDS,
            auto_ping_reply_timeout=PONG_SECONDS,
        )
    except WSHandshakeError as error:
        status, retry = (
            (None, None) if error.response is None else (error.response.status, error.response.headers.get("Retry-After"))
        )
        said = str(error) if status is None else f"the server answered the WebSocket with HTTP status {int(status)}"
        raise broken(said, rest_of(retry)) from None
    except (OSError, WSError, TimeoutError) as error:
        raise broken(f"no WebSocket could be opened: {described(error)}") from None
    if not link.opened:
        # picows 2.3.1 raises nothing where the connection is lost before the answer.
        raise broken("the connection was lost while the WebSocket was opened")
    return link


def rest_of(retry_after: str | None) -> float:
    """Seconds for which a server asks to be left alone; 0 when it does not, or not in seconds."""
    try:
        return min(_LONGEST_REST, max(0.0, float(retry_after or 0)))
    except ValueError:
        return 0.0
