"""Bad input: whoever sends it is closed with the code of the table and one log line, and nobody else notices."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from cowrite.core.limits import Limits
from cowrite.core.ports import Access
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Acknowledged, PermissionDenied, SyncStep1, SyncStep2, Update
from cowrite.testing.client import CONTINUATION, TEXT, WebSocketClient, live_client
from cowrite.testing.transport_contract.server import EMPTY_STATE_VECTOR, ServerOptions, StartServer, edit, ended, expect, join

_MALFORMED = {
    "empty": b"",
    "cut": b"\0\2\x7f",
    "too much": b"\0\0\1\0\0",
    "unknown step": b"\0\3\0",
    "state vector": b"\0\0\1\xff",
    "awareness": b"\1\2\1\1",
    "not JSON": b"\1\5\1\7\1\1{",
}
_TOLD = "message refused", "connection closed"


class RefusalContract:
    """What a client may not send."""

    @pytest.mark.rule("TR19")
    async def test_malformed_messages(self, start: StartServer) -> None:
        """A message that cannot be read closes its sender with 4400, tells why, and is logged in one line."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc?token=ben") as other:
            for what, message in _MALFORMED.items():
                client = await join(f"{url}/yjs/doc?token=ana")
                with capture_logs() as logs:
                    client.send(message)
                    end = await ended(client)
                assert end.code == CloseCode.MALFORMED_FRAME, what
                assert end.reason
                (line,) = logs
                assert (line["event"], line["code"], line["user"], line["document"]) == (
                    "connection closed",
                    4400,
                    "ana",
                    "doc",
                )
            other.yjs.text += "going on"
            await other.until(lambda: other.yjs.saved)

    @pytest.mark.rule("TR19")
    @pytest.mark.parametrize("final", [True, False])
    async def test_text(self, start: StartServer, final: bool) -> None:
        """A text message closes with 4400."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        client.send(b"hello", kind=TEXT, final=final)
        if not final:
            client.send(b"", kind=CONTINUATION)
        assert (await ended(client)).code == CloseCode.MALFORMED_FRAME

    @pytest.mark.rule("TR20")
    @pytest.mark.parametrize(
        "message", [b"\x2a", yjs.encode(Acknowledged(1, 1)), yjs.encode(PermissionDenied("no"))], ids=["42", "100", "2"]
    )
    async def test_unknown_messages(self, start: StartServer, message: bytes) -> None:
        """A message of a type that clients do not send is passed over four times, each with a log line; the fifth closes."""
        url = await start(ServerOptions())
        client = await join(f"{url}/yjs/doc")
        with capture_logs() as logs:
            for _ in range(4):
                client.send(message)
            client.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
            await expect(client, SyncStep2)
            assert [line["event"] for line in logs if line["event"] in _TOLD] == ["message refused"] * 4
            client.send(message)
            assert (await ended(client)).code == CloseCode.MALFORMED_FRAME
        assert [line["event"] for line in logs if line["event"] in _TOLD] == ["message refused"] * 4 + ["connection closed"]

    @pytest.mark.rule("TR21")
    @pytest.mark.parametrize("size", [0, 300_000])
    async def test_hostile_updates(self, start: StartServer, size: int) -> None:
        """An update that is refused closes its sender alone, and nothing of it is logged; small and large ones alike."""
        url = await start(ServerOptions())
        async with live_client(f"{url}/yjs/doc") as other:
            client = await join(f"{url}/yjs/doc")
            with capture_logs() as logs:
                client.send(yjs.encode(Update(b"\1\1\1\0\x3f" + b"secret words" + bytes(size))))
                end = await ended(client)
            assert end.code == CloseCode.HOSTILE_UPDATE
            assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["connection closed"]
            assert "secret words" not in str(logs)
            other.yjs.text += "going on"
            await other.until(lambda: other.yjs.saved)
            assert str(other.yjs.text) == "going on"

    @pytest.mark.rule("TR22")
    @pytest.mark.parametrize("fragments", [1, 4, 16])
    async def test_too_large_messages(self, start: StartServer, fragments: int) -> None:
        """A message over the limit closes with 4413, which the client gets to read although it is still sending."""
        url = await start(ServerOptions(limits=Limits(update_bytes=1 << 20, sync_bytes=1 << 20)))
        client = await join(f"{url}/yjs/doc")
        part = bytes((8 << 20) // fragments)
        for number in range(fragments):
            client.send(part, kind=CONTINUATION if number else 2, final=number == fragments - 1)
        assert (await ended(client)).code == CloseCode.MESSAGE_TOO_LARGE

    @pytest.mark.rule("TR22")
    async def test_too_large_updates(self, start: StartServer) -> None:
        """An Update over its own limit closes with 4413, a SyncStep2 of the same size does not."""
        url = await start(ServerOptions(limits=Limits(update_bytes=1000)))
        update, everything = edit("x" * 1000)
        client = await join(f"{url}/yjs/doc", protocols=["cowrite.ack.v1"])
        client.send(everything)
        await expect(client, Acknowledged)
        client.send(update)
        assert (await ended(client)).code == CloseCode.MESSAGE_TOO_LARGE

    @pytest.mark.rule("TR23")
    async def test_failures_of_the_server(self, start: StartServer) -> None:
        """When something unforeseen fails, that connection is closed with 4500, and the log has the traceback, but no token."""

        async def authorize(token: str | None, document_id: str) -> Access:
            raise RuntimeError("the user database is away")

        url = await start(ServerOptions(authorize))
        with capture_logs() as logs:
            end = await ended(await WebSocketClient.connect(f"{url}/yjs/doc?token=very-secret"))
        assert end.code == CloseCode.INTERNAL_ERROR
        (line,) = logs
        assert (line["event"], line["log_level"]) == ("connection failed", "error")
        assert isinstance(line["exc_info"], RuntimeError)
        assert "very-secret" not in str(logs)
