"""What only the WebSocket of cowrite's own server does: pings, the close handshake, memory, joined writes."""

from __future__ import annotations

import asyncio
import struct
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import pairwise
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import cast

import psutil
import pytest
from picows import WSFrame
from structlog.testing import capture_logs

from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1, SyncStep2, Update
from cowrite.testing.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    ConnectionEnded,
    UpgradeRefused,
    WebSocketClient,
    encode_frame,
    live_client,
)
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.server import edit, ended, expect, join, text_of
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.framing import WriteTurn
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import SocketTimes
from cowrite.transports.websocket import SocketProtocol
from cowrite.transports.yjs import YjsConnection
from live_server import LiveServer, live_server
from socket_writers import until
from timing import MS

QUICK = SocketTimes(ping_after=100 * MS, pong_within=100 * MS, close_within=200 * MS)


async def serve(stack: AsyncExitStack, times: SocketTimes | None = None) -> LiveServer:
    return await stack.enter_async_context(live_server(ServerOptions(), picows=True, times=times))


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
    kinds = await _rest(client)
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


@pytest.mark.rule("TR29")
@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN)
async def test_broken_framing(stack: AsyncExitStack, frames: bytes) -> None:
    """Frames that RFC 6455 does not allow close with its codes 1002 and 1007; the process goes on."""
    url = (await serve(stack)).url
    client = await join(f"{url}/yjs/doc")
    with capture_logs() as logs:
        client.send_raw(frames)
        assert (await ended(client)).code in {1002, 1007}
    assert [line["event"] for line in logs] == ["connection closed"]
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


# ---- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("TR31")
async def test_one_turn_is_one_write(stack: AsyncExitStack) -> None:
    """What a flush has for a peer (an edit and a moved caret, say) leaves in one piece."""
    url = (await serve(stack)).url
    writer, reader = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc")
    caret = yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),)))
    writer.send_raw(encode_frame(edit("x")[0]) + encode_frame(caret))
    received = await reader._reader.read(1 << 16)
    assert received[0] == received[received[1] + 2] == 0x80 | BINARY
    assert received[2] == 0  # Sync
    assert received[received[1] + 4] == 1  # Awareness
    for client in (writer, reader):
        await client.close()


@pytest.mark.rule("TR31")
async def test_joined_once_for_all() -> None:
    """Sockets that get the same messages in a turn share the same bytes, and each turn begins anew."""
    turn = WriteTurn()
    written: list[bytes] = []

    class Socket:
        def __init__(self, *messages: bytes) -> None:
            self.messages = list(messages)

        def flush(self) -> None:
            written.append(turn.join(self.messages))

    update, caret = b"update", b"x" * 200
    for socket in (Socket(update, caret), Socket(update, caret), Socket(caret), Socket(update)):
        turn.add(socket)
    await asyncio.sleep(0)
    assert written[0] is written[1]
    assert written == [b"\x82\x06update\x82\x7e\0\xc8" + caret] * 2 + [b"\x82\x7e\0\xc8" + caret, b"\x82\x06update"]
    turn.add(Socket(update))
    await asyncio.sleep(0)
    assert written[-1] == b"\x82\x06update"
    assert written[-1] is not written[-2]


@pytest.mark.rule("TR24")
async def test_state_is_not_copied_for_each_reader(stack: AsyncExitStack) -> None:
    """Twenty readers that ask for 8 MB and do not read cost far less than 160 MB, and each gets everything in the end."""
    url = f"{(await serve(stack)).url}/yjs/doc"
    author = YjsClient()
    author.text += "x" * 8_000_000
    async with live_client(url, author) as client:
        await client.until(lambda: client.yjs.sent and client.yjs.saved)
    warm = await _ask(url)
    await asyncio.sleep(200 * MS)  # the state is made, which is there once
    before = psutil.Process().memory_info().rss
    readers = [await _ask(url) for _ in range(20)]
    await asyncio.sleep(200 * MS)
    # Each client reads 2 MB ahead, in this process.
    assert psutil.Process().memory_info().rss - before < 80_000_000
    for reader in (warm, readers[-1]):
        state = await expect(reader, SyncStep2)
        assert isinstance(state, SyncStep2)
        assert len(state.update) > 8_000_000
        await reader.close()
    for reader in readers:
        reader.drop()


async def _rest(client: WebSocketClient) -> list[int]:
    """The kinds of all frames until the connection ends."""
    kinds = []
    with suppress(ConnectionEnded):
        while True:
            kinds.append((await client.receive_frame()).kind)
    return kinds


async def _ask(url: str) -> WebSocketClient:
    client = await WebSocketClient.connect(url, receive_buffer=32_768)
    client.send(yjs.encode(SyncStep1(b"\0")))
    return client


@pytest.mark.rule("TR24")
async def test_fragments_of_a_large_state(stack: AsyncExitStack) -> None:
    """A large message goes out in parts of 64 KB, and a close frame does not wait for all of them."""
    server = await serve(stack)
    author = YjsClient()
    author.text += "x" * 8_000_000
    async with live_client(f"{server.url}/yjs/doc", author) as client:
        await client.until(lambda: client.yjs.sent and client.yjs.saved)
    reader = await _ask(f"{server.url}/yjs/doc")
    assert (await reader.receive_frame()).final  # SyncStep1
    first, second = await reader.receive_frame(), await reader.receive_frame()
    assert (first.final, first.kind, len(first.payload)) == (False, BINARY, 65536)
    assert (second.final, second.kind, len(second.payload)) == (False, CONTINUATION, 65536)
    server.runtime.refuse_connections()
    kinds = await _rest(reader)
    assert set(kinds) == {CONTINUATION}
    assert len(kinds) < 100
    assert reader.ended is not None
    assert reader.ended.code == CloseCode.SERVICE_RESTART


@pytest.mark.rule("TR25")
async def test_small_messages_wait_behind_a_large_one(stack: AsyncExitStack) -> None:
    """Messages stay in their order when some are large and the socket is full."""
    url = f"{(await serve(stack)).url}/yjs/doc"
    reader = await _ask(url)
    writer = await join(url)
    author, sent = YjsClient(), list[bytes]()
    author.connect(sent.append)
    for number in range(60):
        author.text += str(number % 10) * (20_000 if number % 2 else 3)
    for message in sent[1:]:
        writer.send(message)
        await asyncio.sleep(0)
    copy = YjsClient()
    while copy.state != author.state:
        came = yjs.decode(await reader.receive())
        if isinstance(came, Update | SyncStep2):
            copy.doc.apply_update(came.update)
    assert str(copy.text) == str(author.text)
    for client in (reader, writer):
        await client.close()


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
    assert [line["event"] for line in logs] == ["picows failed", "connection closed"]


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
    (protocol,) = _protocols(server)
    opened = protocol._socket.get_extra_info("socket")
    assert opened.getsockopt(IPPROTO_TCP, TCP_NODELAY)
    await client.close()


class Large:
    """A socket that takes everything, and has so many megabytes to write."""

    def __init__(self, turn: WriteTurn, megabytes: int) -> None:
        self.turn = turn
        self.left = megabytes

    def go_on(self) -> None:
        while self.left and self.turn.spend(1 << 20):
            self.left -= 1
        if self.left:
            self.turn.pause(self)


@pytest.mark.rule("TR44")
async def test_large_messages_take_turns() -> None:
    """So much of all of them in a turn of the loop, and those that have waited first."""
    turn = WriteTurn()
    sockets = [Large(turn, megabytes) for megabytes in (5, 6, 2)]
    seen = []
    for socket in sockets:
        socket.go_on()
    for _ in range(6):
        seen.append([socket.left for socket in sockets])
        await asyncio.sleep(0)
    assert seen[:4] == [[1, 6, 2], [0, 3, 2], [0, 1, 0], [0, 0, 0]]
    assert turn.spend(1 << 20)


@pytest.mark.rule("TR44")
async def test_crowd_of_joiners_is_served_in_turns(stack: AsyncExitStack) -> None:
    """Everybody gets a state of several turns whole, also when one of them goes in the middle of it."""
    url = f"{(await serve(stack)).url}/yjs/doc"
    author = YjsClient()
    author.text += "x" * 3_000_000
    async with live_client(url, author) as client:
        await client.until(lambda: client.yjs.sent and client.yjs.saved)
    going, *readers = [await _ask(url) for _ in range(5)]
    await asyncio.sleep(20 * MS)
    going.drop()
    for reader in readers:
        state = await expect(reader, SyncStep2)
        assert isinstance(state, SyncStep2)
        assert len(state.update) > 3_000_000
        await reader.close()


# ---- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("TR43")
async def test_frames_in_pieces_of_many(stack: AsyncExitStack) -> None:
    """Messages that are cut anywhere, and come by turns with those of others, arrive whole; then nothing is kept of any."""
    server = await serve(stack)
    clients = [await join(f"{server.url}/yjs/doc-{number}") for number in range(4)]
    for message, cuts in (("short", range(1, 12)), ("m" * 3000, range(1, 3000, 331)), ("l" * 70_000, range(1, 70_000, 9973))):
        sent = [encode_frame(edit(f"{message}{number}")[0]) for number in range(4)]
        for start, end in pairwise((0, *cuts, 1 << 20)):
            for client, frame in zip(clients, sent, strict=True):
                client.send_raw(frame[start:end])
            await asyncio.sleep(MS)
        for number in range(4):
            await until(partial(_has, server, f"doc-{number}", f"{message}{number}"))
    assert [protocol._reader for protocol in _protocols(server)] == [None] * 4
    for client in clients:
        await client.close()


@pytest.mark.rule("TR43")
async def test_idle_sockets_have_no_reader(stack: AsyncExitStack) -> None:
    """A socket has a reader of its own only while half a frame has come; a buffer that has grown large is let go."""
    server = await serve(stack)
    clients = [await join(f"{server.url}/yjs/doc") for _ in range(3)]
    large = encode_frame(edit("x" * 500_000)[0])
    clients[0].send_raw(large[:-1])
    await until(lambda: sum(protocol._reader is not None for protocol in _protocols(server)) == 1)
    clients[0].send_raw(large[-1:])
    await until(lambda: all(protocol._reader is None for protocol in _protocols(server)))
    (readers,) = {protocol._readers for protocol in _protocols(server)}
    assert all(len(reader.get_buffer(-1)) < 64 << 10 for reader in readers._readers)
    for client in clients:
        await client.close()


@pytest.mark.rule("TR43", "TR29")
async def test_who_ends_disturbs_nobody(stack: AsyncExitStack) -> None:
    """One who says goodbye, or breaks the protocol, leaves nothing behind for those who are read next."""
    server = await serve(stack)
    staying = await join(f"{server.url}/yjs/doc")
    for number, last in enumerate((encode_frame(b"\x03\xe8", kind=CLOSE), *BROKEN.values())):
        leaving = await join(f"{server.url}/yjs/doc")
        leaving.send_raw(last)
        await ended(leaving)
        staying.send(edit(f"<{number}>")[0])
        await until(partial(_has, server, "doc", f"<{number}>"))
    await staying.close()


@pytest.mark.rule("TR43")
async def test_what_breaks_at_one_is_not_read_for_another(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panic at the first of several frames ends that socket; the frames behind it reach nobody else."""
    server = await serve(stack)
    breaking, staying = await join(f"{server.url}/yjs/breaking"), await join(f"{server.url}/yjs/doc")
    told: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
    take, panics = PicowsWire.take, [_Panic()]

    def panic(wire: PicowsWire, frame: WSFrame) -> None:
        take(wire, frame)
        if panics:
            raise panics.pop()

    monkeypatch.setattr(PicowsWire, "take", panic)
    breaking.send_raw(b"".join(encode_frame(edit(f"secret{number}")[0]) for number in range(4)))
    await ended(breaking)
    staying.send(edit("staying")[0])
    await until(partial(_has, server, "doc", "staying"))
    assert not _has(server, "doc", "secret")
    assert [type(error) for error in told] == [_Panic]
    await staying.close()


class _Panic(BaseException):
    """As the engine's."""


def _protocols(server: LiveServer) -> list[SocketProtocol]:
    services = server.runtime.serving()
    assert services is not None
    sockets = [cast("PicowsWire", cast("YjsConnection", one)._wire)._socket for one in services.connections]
    return [cast("SocketProtocol", socket.get_protocol()) for socket in sockets]


def _has(server: LiveServer, document_id: str, text: str) -> bool:
    services = server.runtime.serving()
    assert services is not None
    room = services.registry.get(document_id)
    return room is not None and room.replicas.live is not None and text.encode() in room.replicas.live.encode()
