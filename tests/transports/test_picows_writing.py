"""How frames are written on cowrite's own server: a turn of the event loop at once, large messages in parts and by turns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import psutil
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1, SyncStep2, Update
from cowrite.testing.client import (
    BINARY,
    CONTINUATION,
    WebSocketClient,
    encode_frame,
    live_client,
)
from cowrite.testing.transport_contract.server import edit, expect, join
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.framing import WriteTurn
from timing import MS
from transports.own_server import rest, serve


@pytest.mark.rule("TR31")
async def test_one_turn_is_one_write(stack: AsyncExitStack) -> None:
    """What a flush has for a peer (an edit and a moved caret, say) leaves in one piece."""
    url = (await serve(stack)).url
    writer, reader = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc")
    try:
        # On a busy machine the two may be taken in two turns of the loop, and are two flushes then.
        assert True in [await comes_in_one_piece(writer, reader, clock) for clock in range(1, 10)]
    finally:
        for client in (writer, reader):
            await client.close()


async def comes_in_one_piece(writer: WebSocketClient, reader: WebSocketClient, clock: int) -> bool:
    """Whether one read has an edit and a caret that were sent together."""
    caret = yjs.encode(AwarenessUpdate((AwarenessEntry(7, clock, '{"user":"ana"}'),)))
    writer.send_raw(encode_frame(edit("x")[0]) + encode_frame(caret))
    received = await reader._reader.read(1 << 16)
    assert received[0] == 0x80 | BINARY
    assert received[2] == 0  # Sync
    behind = received[1] + 2
    together = len(received) > behind
    if not together:
        received, behind = await reader._reader.read(1 << 16), 0
    assert received[behind] == 0x80 | BINARY
    assert received[behind + 2] == 1  # Awareness
    return together


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
    kinds = await rest(reader)
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
