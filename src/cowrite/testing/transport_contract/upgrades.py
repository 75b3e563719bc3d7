"""Coming in: addresses, sub-protocols, origins, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import SyncStep1, SyncStep2
from cowrite.testing.client import ACK_PROTOCOL, UpgradeRefused, WebSocketClient, live_client
from cowrite.testing.transport_contract.server import ServerOptions, StartServer, edit, ended, join, text_of

PATHS = {
    "doc": "doc",
    "a/b": "a/b",
    "a%2Fb": "a/b",
    "a/": "a/",
    "/a": "/a",
    "%C3%BC%20%F0%9F%98%80": "ü 😀",
    "a%252Fb": "a%2Fb",
    "100%": "100%",
    "a+b&c=d": "a+b&c=d",
    "%E2%82%AC" * 255: "€" * 255,
}
"""What follows /yjs/ in an address, and the id that it is."""


class UpgradeContract:
    """What happens before the first message is taken."""

    @pytest.mark.rule("TR1")
    async def test_path_is_decoded_once(self, start: StartServer) -> None:
        """What follows /yjs/ is the document's id, with percent-encoding undone exactly once."""
        asked: list[str] = []

        async def authorize(token: str | None, document_id: str) -> Access:
            asked.append(document_id)
            return Access("ana", Grant.WRITE)

        url = await start(ServerOptions(authorize))
        for path in PATHS:
            await (await join(f"{url}/yjs/{path}?token=x")).close()
        assert asked == list(PATHS.values())

    @pytest.mark.rule("TR1")
    async def test_names_of_one_document(self, start: StartServer) -> None:
        """A slash is the same document whether it is escaped or not; a trailing one is another document."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/a/b") as one:
            one.yjs.text += "hello"
            await one.until(lambda: one.yjs.saved)
        assert await text_of(f"{url}/yjs/a%2Fb") == "hello"
        assert await text_of(f"{url}/yjs/a/b/") == ""

    @pytest.mark.rule("TR2")
    async def test_impossible_ids_are_closed_for_good(self, start: StartServer) -> None:
        """An address without a possible id opens, and is closed with 4404, so that the client does not come back."""
        url = await start(ServerOptions())
        for path in ("", "%00", "a%00b", "%FF", "%C3", "%ED%A0%80", "a" * 256, "%E2%82%AC" * 256):
            end = await ended(await WebSocketClient.connect(f"{url}/yjs/{path}"))
            assert end.code == CloseCode.BAD_DOCUMENT_ID, path
            assert "255 characters" in end.reason

    @pytest.mark.rule("TR3")
    async def test_other_paths_are_not_found(self, start: StartServer) -> None:
        """No other address has a WebSocket."""
        url = await start(ServerOptions())
        for path in ("/", "/yjs", "/other/doc", "/yjsx/doc"):
            assert await _status(url + path) == 404, path

    @pytest.mark.rule("TR4")
    async def test_sub_protocol(self, start: StartServer) -> None:
        """Acknowledgements are selected where they are on offer, else the first of the offered ones: browsers insist on one."""
        url = await start(ServerOptions())
        for offered, selected in (
            ([], None),
            ([ACK_PROTOCOL], ACK_PROTOCOL),
            (["x", ACK_PROTOCOL], ACK_PROTOCOL),
            (["one", "two"], "one"),
        ):
            client = await join(f"{url}/yjs/doc", protocols=offered)
            assert client.protocol == selected
            await client.close()

    @pytest.mark.rule("TR5")
    async def test_first_bytes(self, start: StartServer) -> None:
        """The server asks for what the client has without waiting, and answers SyncStep1 with SyncStep2."""
        url = await start(ServerOptions())
        client = await WebSocketClient.connect(f"{url}/yjs/doc")
        assert await client.receive() == bytes.fromhex("00000100")
        client.send(bytes.fromhex("00000100"))
        assert await client.receive() == bytes.fromhex("0001020000")
        await client.close()

    @pytest.mark.rule("TR6")
    async def test_token_comes_with_the_query(self, start: StartServer) -> None:
        """The authorizer gets the first ``token`` of the query, decoded."""
        asked: list[str | None] = []

        async def authorize(token: str | None, document_id: str) -> Access:
            asked.append(token)
            return Access("ana", Grant.WRITE)

        url = await start(ServerOptions(authorize))
        queries = {"?token=x%20y%C3%BC": "x yü", "?a=b&token=t": "t", "": None, "?token=": "", "?token=1&token=2": "1"}
        for query in queries:
            await (await join(f"{url}/yjs/doc{query}")).close()
        assert asked == list(queries.values())
        assert await _status(f"{url}/yjs/doc?{'a=b&' * 200}token=t") == 400

    @pytest.mark.rule("TR6")
    @pytest.mark.parametrize(("known", "code"), [(False, CloseCode.UNAUTHORIZED), (True, CloseCode.FORBIDDEN)])
    async def test_refused_access(self, start: StartServer, known: bool, code: CloseCode) -> None:
        """Who is not let in is told why, with a code that says to stay away."""

        async def authorize(token: str | None, document_id: str) -> Access:
            raise AccessDenied("Not you.", known=known)

        url = await start(ServerOptions(authorize))
        end = await ended(await WebSocketClient.connect(f"{url}/yjs/doc"))
        assert (end.code, end.reason) == (code, "Not you.")

    @pytest.mark.rule("TR7")
    async def test_origins(self, start: StartServer) -> None:
        """A page of the server itself and of a listed origin may connect, and whoever is no browser."""
        url = await start(ServerOptions(allowed_origins=("https://app.example",)))
        host = url.removeprefix("ws://")
        for origin in (None, f"http://{host}", f"https://{host}", "https://app.example", "HTTPS://App.Example"):
            headers = {"Origin": origin} if origin is not None else {}
            assert await _status(f"{url}/yjs/doc", headers) == 101, origin
        local = f"http://localhost:{host.rpartition(':')[2]}"
        others = (
            "https://app.example:8443",
            "http://app.example",
            "https://evil.example",
            local,
            "null",
            "http://[",
            "http://x:y",
        )
        for origin in others:
            with capture_logs() as logs:
                assert await _status(f"{url}/yjs/doc", {"Origin": origin}) == 403, origin
            told = [one for one in logs if one["log_level"] != "debug"]  # one who was here before may be seen going just now
            assert told == [{"event": "web page refused", "log_level": "info", "origin": origin, "host": host}]

    @pytest.mark.rule("TR7")
    async def test_any_origin(self, start: StartServer) -> None:
        """With ``*`` every page may connect."""
        url = await start(ServerOptions(allowed_origins=("*",)))
        await (await join(f"{url}/yjs/doc", headers={"Origin": "https://evil.example"})).close()

    @pytest.mark.rule("TR8")
    async def test_demo_is_for_this_machine(self, start: StartServer) -> None:
        """The demo, where nobody needs a token, serves pages of this machine under this machine's names."""
        url = await start(ServerOptions(demo=True, allowed_origins=("https://friend.example",)))
        for host in ("localhost:8000", "127.1.2.3", "[::1]:80", "demo.localhost", "friend.example:99"):
            assert await _status(f"{url}/yjs/doc", {"Host": host}) == 101, host
        for host in ("evil.example", "10.0.0.1", "["):
            assert await _status(f"{url}/yjs/doc", {"Host": host}) == 403, host
        for origin in ("http://127.0.0.1:5173", "https://friend.example"):
            assert await _status(f"{url}/yjs/doc", {"Host": "localhost", "Origin": origin}) == 101, origin
        assert await _status(f"{url}/yjs/doc", {"Host": "localhost", "Origin": "https://evil.example"}) == 403
        assert await _status(f"{url}/yjs/doc", {"Host": "evil.example", "Origin": "http://evil.example"}) == 403

    @pytest.mark.rule("TR9")
    async def test_early_frames_wait(self, start: StartServer) -> None:
        """What a client sends while its token is checked is taken afterwards, in order."""
        let_in = asyncio.Event()

        async def authorize(token: str | None, document_id: str) -> Access:
            await let_in.wait()
            return Access("ana", Grant.WRITE)

        url = await start(ServerOptions(authorize))
        client = await WebSocketClient.connect(f"{url}/yjs/doc")
        client.send(edit("early")[0])
        client.send(yjs.encode(SyncStep1(b"\0")))
        await asyncio.sleep(0.05)
        let_in.set()
        assert isinstance(yjs.decode(await client.receive()), SyncStep1)
        answer = yjs.decode(await client.receive())
        assert isinstance(answer, SyncStep2)
        assert b"early" in answer.update
        await client.close()

    @pytest.mark.rule("TR9")
    async def test_early_frames_are_bounded(self, start: StartServer) -> None:
        """A client that sends more than 4 MB before its document is open is closed."""

        async def authorize(token: str | None, document_id: str) -> Access:
            await asyncio.sleep(60)
            raise AssertionError

        url = await start(ServerOptions(authorize))
        client = await WebSocketClient.connect(f"{url}/yjs/doc")
        for _ in range(5):
            client.send(bytes(1 << 20))
        assert (await ended(client)).code == CloseCode.TOO_FAST


async def _status(url: str, headers: Mapping[str, str] | None = None) -> int:
    """The status of the answer to an upgrade."""
    try:
        client = await WebSocketClient.connect(url, headers=headers)
    except UpgradeRefused as refused:
        return refused.status
    await client.close()
    return 101
