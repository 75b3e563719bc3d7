"""What only the WebSocket of cowrite's own server does: pings, the close handshake, memory, joined writes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from socket import IPPROTO_TCP, TCP_NODELAY

import pytest
from structlog.testing import capture_logs

from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import SyncStep1, SyncStep2
from cowrite.testing.client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    UpgradeRefused,
    WebSocketClient,
    encode_frame,
    live_client,
)
from cowrite.testing.transport_contract.server import edit, ended, expect, join, text_of
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import SocketTimes
from cowrite.transports.yjs import YjsConnection
from timing import MS
from transports.own_server import BROKEN, protocols, rest, serve

QUICK = SocketTimes(ping_after=100 * MS, pong_within=100 * MS, close_within=200 * MS)


# ---- pings -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("TR27")
async def test_silent_peer_is_dropped(stack: AsyncExitStack) -> None:
    """A peer that is silent is sent a ping, and dropped when it does not answer: its machine is gone."""
    url = (await serve(stack, QUICK)).url
    client = await join(f"{url}/yjs/doc")
    frame = await client.receive_frame()
    assert frame.kind == PING
    end = await ended(client)
    assert end.code == CloseCode.IDLE
    assert "nothing was heard" in end.reason


@pytest.mark.rule("TR27")
async def test_answering_peer_stays(stack: AsyncExitStack) -> None:
    """A peer that answers pings stays, however long it says nothing."""
    url = (await serve(stack, QUICK)).url
    async with live_client(f"{url}/yjs/doc") as client:
        await asyncio.sleep(500 * MS)
        assert client.socket.ended is None


@pytest.mark.rule("TR27")
async def test_talking_peer_is_not_pinged(stack: AsyncExitStack) -> None:
    """Whatever arrives is a sign of life; parts of a long message, too."""
    url = (await serve(stack, QUICK)).url
    client = await join(f"{url}/yjs/doc")
    for byte in encode_frame(yjs.encode(SyncStep1(b"\0"))) + encode_frame(b""):
        client.send_raw(bytes((byte,)))
        await asyncio.sleep(20 * MS)
    kinds = await rest(client)
    assert BINARY in kinds
    assert PING not in kinds


@pytest.mark.rule("TR41")
async def test_pings_of_a_peer_that_does_not_read(stack: AsyncExitStack) -> None:
    """Pongs do not pile up: when the peer reads again, of the pings that came meanwhile only the newest is answered."""
    server = await serve(stack)
    client = await WebSocketClient.connect(f"{server.url}/yjs/doc", receive_buffer=4096)
    pings, last = encode_frame(bytes(125), kind=PING) * 1000, b"the newest"
    for _ in range(100):
        client.send_raw(pings)
        await client.drain()
    client.send(last, kind=PING)
    await client.drain()
    services = server.runtime.serving()
    assert services is not None
    (connection,) = services.connections
    assert isinstance(connection, YjsConnection)
    assert isinstance(connection._wire, PicowsWire)
    for _ in range(10):
        await asyncio.sleep(10 * MS)
        assert connection._wire._socket.get_write_buffer_size() < 1 << 20
    pongs = 0
    while (frame := await client.receive_frame()).payload != last:
        pongs += frame.kind == PONG
    assert pongs < 90_000
    await client.close()


# ---- the close handshake ---------------------------------------------------------------------------------------------


@pytest.mark.rule("TR28")
async def test_close_is_not_waited_for_long(stack: AsyncExitStack) -> None:
    """A socket whose client does not answer a close frame is cut."""
    url = (await serve(stack, QUICK)).url
    client = await join(f"{url}/yjs/doc")
    client.send(b"")
    client.send(edit("ignored")[0])
    reader = client._reader
    frame = await reader.readexactly(4)
    assert frame[0] & 0xF == CLOSE
    await reader.readexactly(frame[1] - 2)
    began = asyncio.get_running_loop().time()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    assert asyncio.get_running_loop().time() - began < 5
    assert await text_of(f"{url}/yjs/doc") == ""
    client.drop()


@pytest.mark.rule("TR28")
async def test_full_socket_is_cut(stack: AsyncExitStack) -> None:
    """A client that says goodbye and reads nothing does not keep its socket open."""
    server = await serve(stack, SocketTimes(close_within=200 * MS))
    author = YjsClient()
    author.text += "x" * 8_000_000
    async with live_client(f"{server.url}/yjs/doc", author) as client:
        await client.until(lambda: client.yjs.sent and client.yjs.saved)
    deaf = await WebSocketClient.connect(f"{server.url}/yjs/doc", receive_buffer=4096)
    deaf.send(yjs.encode(SyncStep1(b"\0")))
    await asyncio.sleep(20 * MS)
    deaf.send(b"", kind=CLOSE)
    async with asyncio.timeout(10):
        while server.runtime.health().connections:  # noqa: ASYNC110 - nobody says when a socket is gone
            await asyncio.sleep(10 * MS)
    deaf.drop()


@pytest.mark.rule("TR28")
async def test_goodbye_is_echoed(stack: AsyncExitStack) -> None:
    """The answer to a close frame has its code."""
    url = (await serve(stack)).url
    client = await join(f"{url}/yjs/doc")
    await client.close(4321)
    assert client.ended is not None
    assert client.ended.code == 4321


# ---- what is no WebSocket --------------------------------------------------------------------------------------------


@pytest.mark.rule("TR29")
@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN)
async def test_broken_framing(stack: AsyncExitStack, frames: bytes) -> None:
    """Frames that RFC 6455 does not allow close with its codes 1002 and 1007; the process goes on."""
    url = (await serve(stack)).url
    client = await join(f"{url}/yjs/doc")
    with capture_logs() as logs:
        client.send_raw(frames)
        assert (await ended(client)).code in {1002, 1007}
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["connection closed"]
    assert await text_of(f"{url}/yjs/doc") == ""


@pytest.mark.rule("TR29")
async def test_refused_upgrades(stack: AsyncExitStack) -> None:
    """A request that is no proper WebSocket upgrade gets an HTTP status."""
    server = await serve(stack)
    cases = {"Sec-WebSocket-Version": ("8", 426), "Sec-WebSocket-Key": ("c2hvcnQ=", 400)}
    for name, (value, status) in (*cases.items(), ("Sec-WebSocket-Key", ("ü", 400))):
        with pytest.raises(UpgradeRefused) as refused:
            await WebSocketClient.connect(f"{server.url}/yjs/doc", headers={name: value})
        assert refused.value.status == status
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(b"POST /yjs/doc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 405 ")
    writer.close()


@pytest.mark.rule("TR29")
async def test_large_request_heads(stack: AsyncExitStack) -> None:
    """Cookies and other headers of any size do not hinder a connection."""
    url = (await serve(stack)).url
    headers = {"Cookie": "c=" + "x" * 20_000, "X-Latin": "é", **{f"X-{number}": "1" for number in range(150)}}
    await (await join(f"{url}/yjs/doc", headers=headers)).close()


@pytest.mark.rule("TR30")
async def test_stopping_server(stack: AsyncExitStack) -> None:
    """A server that stops answers upgrades with 503, and sends those who are here away with a code to come back."""
    server = await serve(stack)
    client = await join(f"{server.url}/yjs/doc")
    services = server.runtime.serving()
    assert services is not None
    (connection,) = services.connections
    server.runtime.refuse_connections()
    assert isinstance(connection, YjsConnection)
    connection.write(b"too late")
    assert (await ended(client)).code == CloseCode.SERVICE_RESTART
    with pytest.raises(UpgradeRefused) as refused:
        await WebSocketClient.connect(f"{server.url}/yjs/doc")
    assert refused.value.status == 503
    assert refused.value.headers["retry-after"] == "1"


# ---- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("TR23")
async def test_fault_below_the_connection(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the transport itself is logged, and closes one socket."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    url = (await serve(stack)).url
    client = await join(f"{url}/yjs/doc")
    monkeypatch.setattr(YjsConnection, "receive_text", fail)
    with capture_logs() as logs:
        client.send(b"text", kind=1)
        assert (await ended(client)).code == CloseCode.INTERNAL_ERROR
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["picows failed", "connection closed"]


@pytest.mark.rule("TR27")
async def test_unasked_pong(stack: AsyncExitStack) -> None:
    """A pong that nobody asked for is nothing."""
    url = (await serve(stack)).url
    client = await join(f"{url}/yjs/doc")
    client.send(b"", kind=PONG)
    client.send(yjs.encode(SyncStep1(b"\0")))
    await expect(client, SyncStep2)
    await client.close()


@pytest.mark.rule("TR31")
async def test_nothing_waits_for_more(stack: AsyncExitStack) -> None:
    server = await serve(stack)
    client = await join(f"{server.url}/yjs/doc")
    (protocol,) = protocols(server)
    opened = protocol._socket.get_extra_info("socket")
    assert opened.getsockopt(IPPROTO_TCP, TCP_NODELAY)
    await client.close()
