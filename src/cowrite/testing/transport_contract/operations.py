"""The socket for JSON operations at ``/api/v2/realtime/ws``."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.testing.client import TEXT, WebSocketClient, live_client
from cowrite.testing.model import Model
from cowrite.testing.transport_contract.server import ServerOptions, StartServer, ended

PROTOCOL = "cowrite.v2.json"
PATH = "/api/v2/realtime/ws"


class JsonClient:
    """A client of the protocol: it replays what it is sent, and keeps the other messages."""

    def __init__(self, socket: WebSocketClient) -> None:
        self.socket = socket
        self.model = Model()
        self.head: str | None = None
        self.offset = 0

    @classmethod
    async def connect(cls, url: str, document: str = "doc", token: str = "bot", **hello: Any) -> JsonClient:
        """Connect, say hello, and read the welcome."""
        client = cls(await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL]))
        client.send({"type": "hello", "access_token": token, "document_id": document} | hello)
        await client.expect("welcome")
        return client

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self.socket.send(json.dumps(message).encode(), kind=TEXT)

    def write(self, *operations: dict[str, Any], request: Any = None, **more: Any) -> None:
        """Submit operations made for what was read."""
        self.send({"type": "operations", "request": request, "base": self.head, "operations": list(operations)} | more)

    async def receive(self) -> dict[str, Any]:
        """The next message, applied."""
        message: dict[str, Any] = json.loads(await self.socket.receive())
        if "state" in message and message["type"] in {"welcome", "reset"}:
            self.model = Model(message["state"])
        if message["type"] in {"welcome", "operations"}:
            for operation in message.get("operations", ()):
                self.model.apply(operation)
        if message["type"] in {"welcome", "operations", "reset"}:
            self.head, self.offset = message["head"] or self.head, message["offset"]
        return message

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are applied and passed over."""
        async with asyncio.timeout(10):
            while True:
                message = await self.receive()
                if message["type"] == kind:
                    return message

    @property
    def text(self) -> str:
        """What the root ``body`` shows."""
        delta: list[dict[str, str]] = self.model.state.get("body", {}).get("$text", [])
        return "".join(piece.get("insert", "") for piece in delta)


def insert(index: int, content: Any, **more: Any) -> dict[str, Any]:
    """An insertion into the text ``body``."""
    return {"type": "insert", "position": ["body", index], "content": content} | more


class OperationsContract:
    """What programs without a CRDT library are promised."""

    @pytest.mark.rule("JS1", "JS3")
    async def test_yjs_and_json_clients_edit_one_document(self, start: StartServer) -> None:
        """What either writes, both have; the writer is told when it is committed, after it was sent what came before."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc") as editor:
            editor.yjs.text += "hello"
            await editor.until(lambda: editor.yjs.saved)
            bot = await JsonClient.connect(url)
            assert bot.text == "hello"
            editor.yjs.text.insert(0, "<")
            bot.write(insert(5, " world", id="mine"), request=7)
            acknowledged = await bot.expect("acknowledged")
            assert (acknowledged["request"], [one["id"] for one in acknowledged["operations"]]) == (7, ["mine"])
            assert acknowledged["offset"] <= bot.offset
            await editor.until(lambda: str(editor.yjs.text) == "<hello world")
            while bot.text != "<hello world":
                await bot.expect("operations")
        await bot.socket.close()

    @pytest.mark.rule("JS1")
    async def test_welcome(self, start: StartServer) -> None:
        """It says who the client is, what it may do, who is here, and where the document stands."""
        url = await start(ServerOptions())
        socket = await WebSocketClient.connect(f"{url}{PATH}?token=ana", protocols=["other", PROTOCOL])
        assert socket.protocol == PROTOCOL
        client = JsonClient(socket)
        client.send({"type": "hello", "document_id": "doc"})
        welcome = await client.expect("welcome")
        assert welcome["user"] == {"id": "ana", "name": None, "colour": None}
        assert (welcome["grant"], welcome["document_id"], welcome["state"]) == ("write", "doc", {})
        assert (welcome["head"], welcome["offset"], welcome["presence"]) == (None, 0, [])
        await socket.close()

    @pytest.mark.rule("JS2")
    async def test_a_client_that_comes_back_gets_what_it_lacks(self, start: StartServer) -> None:
        """Operations behind its cursor, or the state anew when nobody knows that."""
        url = await start(ServerOptions())
        bot = await JsonClient.connect(url)
        bot.write(insert(0, "one"))
        await bot.expect("acknowledged")
        await bot.socket.close()
        other = await JsonClient.connect(url, token="other")
        other.write(insert(3, " two"))
        await other.expect("acknowledged")
        again = JsonClient(await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL]))
        again.model, again.head = bot.model, bot.head
        again.send({"type": "hello", "access_token": "bot", "document_id": "doc", "last_operation": bot.head})
        welcome = await again.expect("welcome")
        assert "state" not in welcome
        assert again.text == "one two"
        lost = await JsonClient.connect(url, last_operation="nobody knows it")
        assert lost.text == "one two"
        for client in (other, again, lost):
            await client.socket.close()

    @pytest.mark.rule("JS3")
    async def test_pipelined_operations_are_taken_in_order(self, start: StartServer) -> None:
        """Without waiting for answers; each counts in those before it."""
        url = await start(ServerOptions())
        bot = await JsonClient.connect(url)
        for number in range(50):
            bot.write(insert(number, chr(97 + number % 26)), request=number)
        answers = [(await bot.expect("acknowledged"))["request"] for _ in range(50)]
        assert answers == list(range(50))
        assert bot.text == "".join(chr(97 + number % 26) for number in range(50))
        await bot.socket.close()

    @pytest.mark.rule("JS4")
    async def test_refusals(self, start: StartServer) -> None:
        """What is refused says why, where, and whether to try again; the conversation goes on."""
        url = await start(ServerOptions())
        bot = await JsonClient.connect(url)
        bot.write(insert(0, "fine"), insert(99, "x"), request="r")
        refused = await bot.expect("refused")
        assert (refused["request"], refused["code"], refused["index"], refused["retry"]) == ("r", "range", 1, False)
        bot.write(insert(0, "x"), base="unknown")
        assert (await bot.expect("refused"))["code"] == "unknown_base"
        bot.write(insert(0, "fine"))
        await bot.expect("acknowledged")
        assert bot.text == "fine"
        await bot.socket.close()

    @pytest.mark.rule("JS4")
    async def test_readers_are_told_that_they_may_not_write(self, start: StartServer) -> None:
        """A comment grant may tell others something, a read grant may not; neither writes."""

        async def authorize(token: str | None, document_id: str) -> Access:
            return Access(token or "", Grant(token or ""))

        url = await start(ServerOptions(authorize=authorize))
        for grant in ("read", "comment"):
            client = await JsonClient.connect(url, token=grant)
            client.write(insert(0, "x"), request=1)
            assert (await client.expect("refused"))["code"] == "grant_too_low"
            client.send({"type": "presence", "cursor": 1})
            answer = await client.receive()
            while answer["type"] == "heartbeat" or answer.get("joined"):
                answer = await client.receive()
            if grant == "read":
                assert (answer["type"], answer["code"]) == ("refused", "grant_too_low")
            else:
                assert [one["sessions"][0]["cursor"] for one in answer["updated"]] == [1]
            await client.socket.close()

    @pytest.mark.rule("JS5", "PE1", "PE2")
    async def test_people(self, start: StartServer) -> None:
        """Who comes, tells something and goes is told to the others."""
        url = await start(ServerOptions())
        one = await JsonClient.connect(url, token="ana")
        other = await JsonClient.connect(url, token="ben")
        joined = await one.expect("presence")
        while [person["user"]["id"] for person in joined["joined"]] != ["ben"]:
            joined = await one.expect("presence")
        other.send({"type": "presence", "cursor": ["body", 3]})
        updated = await one.expect("presence")
        assert [person["sessions"][0]["cursor"] for person in updated["updated"]] == [["body", 3]]
        async with live_client(f"{url}/yjs/doc?token=cem"):
            joined = await one.expect("presence")
            (cem,) = joined["joined"]
            assert (cem["user"]["id"], [session["transport"] for session in cem["sessions"]]) == ("cem", ["yjs"])
            second = await JsonClient.connect(url, token="ben")
            assert [len(person["sessions"]) for person in (await one.expect("presence"))["updated"]] == [2]
            await second.socket.close()
            assert [len(person["sessions"]) for person in (await one.expect("presence"))["updated"]] == [1]
        await other.socket.close()
        left: list[str] = []
        while len(left) < 2:
            left += (await one.expect("presence"))["left"]
        assert sorted(left) == ["ben", "cem"]
        await one.socket.close()

    @pytest.mark.rule("JS6")
    async def test_heartbeats(self, start: StartServer) -> None:
        """The server tells how it and the link are, by itself and when it is asked."""
        url = await start(ServerOptions())
        client = await JsonClient.connect(url)
        await client.expect("heartbeat")
        client.send({"type": "heartbeat", "echo": "e"})
        beat = await client.expect("heartbeat")
        assert (beat["echo"], beat["link"]) == ("e", "ok")
        assert beat["server"] in {"ok", "degraded"}
        assert beat["heartbeat"] > 1_700_000_000_000
        await client.socket.close()

    @pytest.mark.rule("JS7")
    @pytest.mark.parametrize(
        "message",
        [
            b"no json",
            b"[]",
            b"{}",
            b'{"type": "what"}',
            b'{"type": "operations", "base": null, "operations": []}',
            b'{"type": "hello", "surplus": 1}',
            b'{"type": "hello", "access_token": 7}',
            b"\xff",
            b"[" * 100_000,
            b'{"type":"presence","state":7}',
        ],
    )
    async def test_first_messages_that_are_none(self, start: StartServer, message: bytes) -> None:
        """Each closes its own connection with 4400."""
        url = await start(ServerOptions())
        socket = await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL])
        socket.send(message, kind=TEXT)
        end = await ended(socket)
        assert end.code in {4400, 1007}, "some servers check UTF-8 themselves"

    @pytest.mark.rule("JS10")
    async def test_a_refresh_that_is_refused(self, start: StartServer) -> None:
        """It takes nothing away: the connection goes on."""
        client = await JsonClient.connect(await start(ServerOptions()))
        client.send({"type": "refresh", "access_token": "no token"})
        assert (await client.expect("refused"))["code"] == "unauthorized"
        client.write(insert(0, "x"))
        await client.expect("acknowledged")
        await client.socket.close()

    @pytest.mark.rule("JS7")
    @pytest.mark.parametrize(
        "message",
        [
            {"type": "hello"},
            {"type": "operations", "operations": []},
            {"type": "refresh"},
        ],
    )
    async def test_later_messages_that_are_none(self, start: StartServer, message: dict[str, Any]) -> None:
        """Each closes its own connection, and nobody else notices."""
        url = await start(ServerOptions())
        other, client = await JsonClient.connect(url, token="other"), await JsonClient.connect(url)
        client.send(message)
        assert (await ended(client.socket)).code == 4400
        other.write(insert(0, "x"))
        await other.expect("acknowledged")
        await other.socket.close()

    @pytest.mark.rule("JS14")
    async def test_what_may_not_be_told(self, start: StartServer) -> None:
        """It is refused with the code of HTTP, and the connection stays."""
        client = await JsonClient.connect(await start(ServerOptions()))
        for told, code in (
            ({"state": 7}, "unprocessable_entity"),
            ({"data": []}, "unprocessable_entity"),
            ({"colour": "red"}, "unprocessable_entity"),
            ({"data": {"large": "x" * 20_000}}, "too_large"),
        ):
            client.send({"type": "presence", **told})
            assert (await client.expect("refused"))["code"] == code
        client.write(insert(0, "x"))
        await client.expect("acknowledged")
        await client.socket.close()

    @pytest.mark.rule("JS7")
    async def test_binary_and_too_large_messages(self, start: StartServer) -> None:
        """A binary message closes with 4400, one over the limit with 4413."""
        url = await start(ServerOptions())
        client = await JsonClient.connect(url)
        client.socket.send(b"\x00")
        assert (await ended(client.socket)).code == 4400
        client = await JsonClient.connect(url)
        client.write(insert(0, "x" * 1_100_000))
        assert (await ended(client.socket)).code == 4413

    @pytest.mark.rule("JS8")
    async def test_who_is_not_let_in(self, start: StartServer) -> None:
        """4401 without a valid token, 4403 without a grant."""

        async def authorize(token: str | None, document_id: str) -> Access:
            raise AccessDenied("No.", known=token == "known")

        url = await start(ServerOptions(authorize=authorize))
        for token, code in (("known", 4403), ("unknown", 4401)):
            client = JsonClient(await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL]))
            client.send({"type": "hello", "access_token": token, "document_id": "doc"})
            assert (await ended(client.socket)).code == code
        client = JsonClient(await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL]))
        client.send({"type": "hello"})
        assert (await ended(client.socket)).code == 4401

    @pytest.mark.rule("JS9")
    async def test_a_reader_that_stops_has_everything_once_it_reads_again(self, start: StartServer) -> None:
        """However far it has fallen behind: from the feed, from the store, or by the state anew."""
        url = await start(ServerOptions())
        slow = JsonClient(await WebSocketClient.connect(f"{url}{PATH}", protocols=[PROTOCOL], receive_buffer=32_768))
        slow.send({"type": "hello", "access_token": "slow", "document_id": "doc"})
        await slow.expect("welcome")
        writer = await JsonClient.connect(url, token="writer")
        for number in range(30):
            writer.write(*(insert(0, {"embed": {"number": number, "weight": "x" * 2000}}) for _ in range(50)))
            await writer.expect("acknowledged")
        async with asyncio.timeout(20):
            while slow.offset < writer.offset:
                await slow.receive()
        assert slow.model.state == writer.model.state
        assert len(slow.model.state["body"]["$text"]) == 30 * 50
        for client in (slow, writer):
            await client.socket.close()
