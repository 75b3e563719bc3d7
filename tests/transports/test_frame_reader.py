"""How frames are read on cowrite's own server: by a few readers, which all sockets share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise

import pytest
from picows import WSFrame

from cowrite.testing.client import (
    CLOSE,
    encode_frame,
)
from cowrite.testing.transport_contract.server import edit, ended, join
from cowrite.transports.picows_wire import PicowsWire
from live_server import LiveServer
from socket_writers import until
from timing import MS
from transports.own_server import BROKEN, protocols, serve


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
    assert [protocol._reader for protocol in protocols(server)] == [None] * 4
    for client in clients:
        await client.close()


@pytest.mark.rule("TR43")
async def test_idle_sockets_have_no_reader(stack: AsyncExitStack) -> None:
    """A socket has a reader of its own only while half a frame has come; a buffer that has grown large is let go."""
    server = await serve(stack)
    clients = [await join(f"{server.url}/yjs/doc") for _ in range(3)]
    large = encode_frame(edit("x" * 500_000)[0])
    clients[0].send_raw(large[:-1])
    await until(lambda: sum(protocol._reader is not None for protocol in protocols(server)) == 1)
    clients[0].send_raw(large[-1:])
    await until(lambda: all(protocol._reader is None for protocol in protocols(server)))
    (readers,) = {protocol._readers for protocol in protocols(server)}
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


def _has(server: LiveServer, document_id: str, text: str) -> bool:
    services = server.runtime.serving()
    assert services is not None
    room = services.registry.get(document_id)
    return room is not None and room.replicas.live is not None and text.encode() in room.replicas.live.encode()
