"""Talking: messages in and out, however they are cut, and how a conversation ends."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import Acknowledged, AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.testing.client import BINARY, CONTINUATION, PING, PONG, WebSocketClient, encode_frame, live_client
from cowrite.testing.transport_contract.server import (
    EMPTY_STATE_VECTOR,
    ServerOptions,
    StartServer,
    edit,
    everybody_writes,
    expect,
    join,
    text_of,
)
from cowrite.testing.yjs_client import YjsClient

_ANA = yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),)))


class ConversationContract:
    """What happens between coming in and leaving."""

    @pytest.mark.rule("TR10")
    async def test_editors_converge(self, start: StartServer) -> None:
        """Two clients that write at the same time end with the same text, and know that it is stored."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc") as one, live_client(f"{url}/yjs/doc") as other:
            for number in range(20):
                one.yjs.text += f"a{number}"
                other.yjs.text += f"b{number}"
                await asyncio.sleep(0)
            for client in (one, other):
                await client.until(lambda: client.yjs.saved and len(str(client.yjs.text)) == 100)  # noqa: B023 - used at once
            assert str(one.yjs.text) == str(other.yjs.text)

    @pytest.mark.rule("TR10")
    async def test_offline_edits_are_asked_for(self, start: StartServer) -> None:
        """What a client wrote without a connection is there once it has one."""
        url = await start(ServerOptions())
        yjs_client = YjsClient()
        yjs_client.text += "written on a train"
        async with live_client(f"{url}/yjs/doc", yjs_client) as client:
            await client.until(lambda: client.yjs.sent and client.yjs.saved)
        assert await text_of(f"{url}/yjs/doc") == "written on a train"

    @pytest.mark.rule("TR11")
    async def test_acknowledgements_go_to_those_who_understand_them(self, start: StartServer) -> None:
        """A stock client is sent no message that it does not know."""
        url = await start(ServerOptions())
        stock, told = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc", protocols=["cowrite.ack.v1"])
        stock.send(edit("from stock")[0])
        await expect(told, Update)
        told.send(edit("from told")[0])
        acknowledged = await expect(told, Acknowledged)
        assert isinstance(acknowledged, Acknowledged)
        assert acknowledged.count == 1
        assert isinstance(await expect(stock, (Update, Acknowledged)), Update)
        for client in (stock, told):
            await client.close()

    @pytest.mark.rule("TR12")
    async def test_awareness_comes_back(self, start: StartServer) -> None:
        """Everybody gets a new state, its sender too; and who asks gets all states."""
        url = await start(ServerOptions())
        one, other = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc")
        one.send(_ANA)
        assert yjs.encode(await expect(one, AwarenessUpdate)) == _ANA
        assert yjs.encode(await expect(other, AwarenessUpdate)) == _ANA
        other.send(yjs.encode(QueryAwareness()))
        assert yjs.encode(await expect(other, AwarenessUpdate)) == _ANA
        for client in (one, other):
            await client.close()

    @pytest.mark.rule("TR13")
    @pytest.mark.parametrize("code", [None, 1000, 1001])
    async def test_goodbye(self, start: StartServer, code: int | None) -> None:
        """Who closes the socket is gone at once."""
        url = await start(ServerOptions(limits=Limits(loss_grace_seconds=60)))
        one, other = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc")
        one.send(_ANA)
        await expect(other, AwarenessUpdate)
        await one.close(code)
        assert one.ended is not None
        assert one.ended.code == (code or 1005)
        assert await expect(other, AwarenessUpdate) == AwarenessUpdate((AwarenessEntry(7, 1, None),))
        await other.close()

    @pytest.mark.rule("TR13")
    async def test_lost_connection(self, start: StartServer) -> None:
        """Who vanishes stays for a moment, in case it comes back."""
        url = await start(ServerOptions(limits=Limits(loss_grace_seconds=0.5)))
        one, other = await join(f"{url}/yjs/doc"), await join(f"{url}/yjs/doc")
        one.send(_ANA)
        await expect(other, AwarenessUpdate)
        one.drop()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await expect(other, AwarenessUpdate) == AwarenessUpdate((AwarenessEntry(7, 1, None),))
        assert loop.time() - began > 0.4
        await other.close()

    @pytest.mark.rule("TR14")
    async def test_fragments(self, start: StartServer) -> None:
        """A message in fragments, with a ping between them, is the same message."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        update, _ = edit("in pieces")
        client.send(update[:5], final=False)
        client.send(b"are you there?", kind=PING)
        client.send(b"", kind=CONTINUATION, final=False)
        client.send(update[5:], kind=CONTINUATION)
        pong = await client.receive_frame()
        assert (pong.kind, pong.payload) == (PONG, b"are you there?")
        client.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
        answer = await expect(client, SyncStep2)
        assert isinstance(answer, SyncStep2)
        assert b"in pieces" in answer.update
        await client.close()

    @pytest.mark.rule("TR15")
    async def test_many_frames_in_one_segment(self, start: StartServer) -> None:
        """Frames that arrive together are taken one after the other."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        writer, sent = YjsClient(), list[bytes]()
        writer.connect(sent.append)
        for number in range(50):
            writer.text += f"{number} "
        client.send_raw(b"".join(map(encode_frame, sent)))
        await expect(client, SyncStep2)
        assert await text_of(f"{url}/yjs/doc") == str(writer.text)
        await client.close()

    @pytest.mark.rule("TR15")
    async def test_byte_by_byte(self, start: StartServer) -> None:
        """A frame that arrives in single bytes is the same frame."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        for byte in encode_frame(edit("drop by drop")[0]) + encode_frame(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR))):
            client.send_raw(bytes((byte,)))
            await asyncio.sleep(0.001)
        answer = await expect(client, SyncStep2)
        assert isinstance(answer, SyncStep2)
        assert b"drop by drop" in answer.update
        await client.close()

    @pytest.mark.rule("TR15")
    @pytest.mark.parametrize("size", [100, 126, 8190, 8193, 65_535, 65_536, 300_000, 900_000])
    async def test_every_size_arrives(self, start: StartServer, size: int) -> None:
        """Messages of all lengths arrive whole, in both directions."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc") as one, live_client(f"{url}/yjs/doc") as other:
            one.yjs.text += "x" * size
            one.yjs.text += "!"
            await other.until(lambda: str(other.yjs.text).endswith("!"))
            await one.until(lambda: one.yjs.saved)
            assert str(other.yjs.text) == "x" * size + "!"

    @pytest.mark.rule("TR16")
    async def test_order_behind_a_large_update(self, start: StartServer) -> None:
        """A large update is inspected beside the event loop; what its sender says after it is taken after it."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc") as one:
            for number in range(4):
                one.yjs.text += str(number) * 300_000
                one.yjs.text += f"[{number}]"
            one.yjs.point('{"user":"ana"}')
            await one.until(lambda: one.yjs.saved)
            assert one.yjs.acknowledged == one.yjs.sent == 9
        assert await text_of(f"{url}/yjs/doc") == str(one.yjs.text)

    @pytest.mark.rule("TR16")
    async def test_what_came_before_the_end_counts(self, start: StartServer) -> None:
        """An edit that had arrived when the socket was closed is taken, also when it was still being inspected."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        writer, sent = YjsClient(), list[bytes]()
        writer.connect(sent.append)
        writer.text += "x" * 500_000
        writer.text += "last words"
        for message in sent:
            client.send(message)
        await client.close()
        async with live_client(f"{url}/yjs/doc") as reader:
            await reader.until(lambda: str(reader.yjs.text).endswith("last words"))

    @pytest.mark.rule("TR17")
    async def test_lost_while_coming_in(self, start: StartServer) -> None:
        """Who is gone before the document is open never enters it; the next one does."""
        let_in = asyncio.Event()

        async def authorize(token: str | None, document_id: str) -> Access:
            if token == "slow":
                await let_in.wait()
            return await everybody_writes(token, document_id)

        url = await start(ServerOptions(authorize))
        client = await WebSocketClient.connect(f"{url}/yjs/doc?token=slow")
        client.send(edit("ghost")[0])
        client.drop()
        await asyncio.sleep(0.05)
        let_in.set()
        await asyncio.sleep(0.05)
        assert await text_of(f"{url}/yjs/doc?token=quick") == ""

    @pytest.mark.rule("TR18")
    async def test_read_only(self, start: StartServer) -> None:
        """What a reader writes is dropped, and it stays; a large one is not even inspected."""

        async def authorize(token: str | None, document_id: str) -> Access:
            return Access("ana", Grant.READ)

        url = await start(ServerOptions(authorize))
        client = await join(f"{url}/yjs/doc")
        client.send(edit("no")[0])
        client.send(b"\0\2" + edit("x" * 300_000)[0][2:], kind=BINARY)
        client.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
        answer = await expect(client, SyncStep2)
        assert answer == SyncStep2(b"\0\0")
        await client.close()
