"""What rude people do. Each runs until it is cancelled, and sets ``in_place`` once it does all that it is going to do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pycrdt import Doc, Text

from bench.rudeness.peers import SYNC, Peer, Town, upgrade
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, Update
from cowrite.testing.client import PING, TEXT, encode_frame

_HOCUSPOCUS, _JSON = "/hocuspocus", "/api/v2/realtime/ws"
_LATE: Final = "408 after 10 s (LM4)"
_IDLE: Final = "4508 after 40 s (TR27)"
_LATER: Final = "read and served later than others (TR45, RO20); 4529 after 30 s (RO21)"
_FEW_MESSAGES: Final = 2000
"""Of a flood that is only tried out."""
_CHUNK: Final = 100
"""Messages of a flood that are given to the socket at a time."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to be rude."""

    name: str
    title: str
    run: Callable[[Town], Awaitable[None]]
    limit: str | None = None
    """By which the server ends each of its connections in the end, as its metric has it; None: they may stay."""
    end: str = ""
    """How, for people."""
    silent: bool = False
    """It only takes place: its end comes with time."""
    frozen: Literal["no", "process", "network"] = "no"
    """Once in place, nothing of it is heard any more: its process stops, or its network is gone."""


# ---- those who do not finish ---------------------------------------------------------------------------------------------


async def _drip(town: Town, requests: Sequence[bytes], rest: bytes, *, every: float = 0.5) -> None:
    """After each request a byte now and then."""
    peers = await town.open_many(requests)
    town.did["connections"] += len(peers)
    town.in_place.set()
    for byte in itertools.cycle(rest):
        await asyncio.sleep(every)
        for peer in [peer for peer in peers if peer.is_open]:
            peer.send(bytes((byte,)))
            town.did["bytes dripped"] += 1


async def drip_head(town: Town) -> None:
    await _drip(town, [b"GET /api/v2/documents/a HTTP/1.1\r\nHost: rude\r\nX-Long: "] * town.many(200), b"x")


async def drip_body(town: Town) -> None:
    head = b"POST /api/v2/realtime/connect HTTP/1.1\r\nHost: rude\r\nContent-Length: 60000\r\n\r\n"
    await _drip(town, [head] * town.many(200), b" ")


async def drip_frame(town: Town) -> None:
    """The beginning of a frame of a megabyte, as somebody who reads along."""
    begun = SYNC + encode_frame(bytes(1 << 20))[:64]
    requests = [town.yjs(town.honest[0], f"dripping-{n}", "read") for n in range(town.many(200))]
    peers = await town.open_many(requests, answered=True)
    for peer in peers:
        peer.send(begun)
    town.did["connections"] += len(peers)
    town.in_place.set()
    while True:
        await asyncio.sleep(0.5)
        for peer in [peer for peer in peers if peer.is_open]:
            peer.send(b"\0")
            town.did["bytes dripped"] += 1


async def _wait(town: Town, requests: Sequence[bytes], *, then: bytes = b"", answered: bool = False) -> None:
    """Say that much, and nothing more."""
    peers = await town.open_many(requests, answered=answered)
    if then:
        for peer in peers:
            peer.send(then)
    town.did["connections"] += len(peers)
    town.in_place.set()
    await asyncio.Event().wait()


async def silence(town: Town) -> None:
    await _wait(town, [b""] * town.many(1000))


async def half_upgrade(town: Town) -> None:
    await _wait(town, [upgrade("/yjs/a")[:-20]] * town.many(200))


async def no_login(town: Town) -> None:
    """Hocuspocus, whose clients log in by a message."""
    await _wait(town, [upgrade(_HOCUSPOCUS)] * town.many(200), answered=True)


async def no_hello(town: Town) -> None:
    await _wait(town, [upgrade(_JSON)] * town.many(200), answered=True)


async def no_pong(town: Town) -> None:
    """Reads all, and says nothing, not even to a ping."""
    requests = [town.yjs(town.honest[0], f"mute-{n}") for n in range(town.many(200))]
    await _wait(town, requests, then=SYNC, answered=True)


async def not_reading(town: Town) -> None:
    """Comes in, reads no more, and somebody writes much."""
    buffer = 4096
    peers = [
        await town.open(town.yjs(town.honest[0], f"full-{n}"), receive_buffer=buffer, keep=False) for n in range(town.many(100))
    ]
    for peer in peers:
        await peer.answered.wait()
        peer.send(SYNC)
        peer.transport.pause_reading()
    town.did["connections"] += len(peers)
    writer = await town.open(town.yjs(town.honest[0], "prolific"), keep=False)
    await writer.answered.wait()
    typed = _typed("x" * 8000)
    while True:
        writer.send(encode_frame(next(typed)))
        town.did["updates of 8 KB"] += 1
        if town.did["updates of 8 KB"] == 30:
            town.in_place.set()
        await asyncio.sleep(0.05)


# ---- those who come too often --------------------------------------------------------------------------------------------


async def reconnects(town: Town) -> None:
    """A hundred times a second: come in, ask for the document, go; every other one with a reset."""
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        for number in itertools.count():
            task = asyncio.create_task(_visit(town, number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if number == 50:
                town.in_place.set()
            await asyncio.sleep(max(0.0, began + (number + 1) / 100 - loop.time()))
    finally:
        for task in tasks:
            task.cancel()


async def _visit(town: Town, number: int) -> None:
    peer = await town.open(town.yjs(town.honest[number % len(town.honest)], "restless"))
    await peer.answered.wait()
    peer.send(SYNC)
    state = asyncio.Event()
    peer.on_data = state.set
    await state.wait()
    town.did["visits"] += 1
    if number % 2:
        peer.reset()
    else:
        peer.goes = True
        peer.transport.close()


async def _crowd(town: Town, users: int) -> None:
    requests = [town.yjs(f"crowd-{n % 100}", f"crowd-{n % users}") for n in range(town.many(5000))]
    # Where only few come the limit is lowered for them.
    town.did["connections"] += len(await town.open_many(requests, answered=True))
    town.in_place.set()
    await asyncio.Event().wait()


async def crowd_of_one(town: Town) -> None:
    await _crowd(town, 1)


async def crowd(town: Town) -> None:
    await _crowd(town, 5000)


# ---- those who say too much ----------------------------------------------------------------------------------------------


async def _flood(town: Town, document: str, frames: Iterator[bytes], *, sockets: int = 1) -> None:
    """As fast as the server reads; whoever is sent away comes again."""

    async def one(number: int) -> None:
        while True:
            peer = await town.open(town.yjs(document, f"flood-{number}"))
            await peer.answered.wait()
            town.did["sockets"] += 1
            town.in_place.set()
            await _pour(town, peer, frames)

    await asyncio.gather(*map(one, range(sockets)))


async def _pour(town: Town, peer: Peer, frames: Iterator[bytes]) -> None:
    while peer.is_open and not (peer.is_told_to_go or (town.few and town.did["messages"] >= _FEW_MESSAGES)):
        peer.send(b"".join(itertools.islice(frames, _CHUNK)))
        town.did["messages"] += _CHUNK
        await asyncio.sleep(0)
        await peer.room()
    if town.few:
        await asyncio.Event().wait()
    await asyncio.sleep(0.05)


def _typed(piece: str) -> Iterator[bytes]:
    """Updates of somebody who types; each appends this."""
    doc, updates = Doc[Any](), list[bytes]()
    subscription = doc.observe(lambda event: updates.append(event.update))
    text = doc.get("rude", type=Text)
    for number in itertools.count():
        if number % 2000 == 1999:  # appending takes longer in a long text
            text.clear()
        text += piece
        yield from (yjs.encode(Update(update)) for update in updates)
        updates.clear()
    doc.unobserve(subscription)


async def flood_elsewhere(town: Town) -> None:
    await _flood(town, "of-the-rude", (encode_frame(update) for update in _typed("x")))


async def flood_here(town: Town) -> None:
    await _flood(town, town.honest[0], (encode_frame(update) for update in _typed("x")))


async def flood_awareness(town: Town) -> None:
    def moves() -> Iterator[bytes]:
        for clock in itertools.count(1):
            entry = AwarenessEntry(7, clock, f'{{"user":{{"name":"Eve"}},"cursor":{clock}}}')
            yield encode_frame(yjs.encode(AwarenessUpdate((entry,))))

    await _flood(town, town.honest[0], moves())


async def flood_questions(town: Town) -> None:
    asked = [SYNC, encode_frame(yjs.encode(QueryAwareness())), encode_frame(yjs.encode(SyncStep1(b"\0")))]
    await _flood(town, town.honest[0], itertools.cycle(asked))


async def flood_pings(town: Town) -> None:
    await _flood(town, town.honest[0], itertools.repeat(encode_frame(b"", kind=PING)), sockets=5)


async def flood_heartbeats(town: Town) -> None:
    token = town.token("beating")
    hello = encode_frame(f'{{"type":"hello","document_id":"{town.honest[0]}","access_token":"{token}"}}'.encode(), kind=TEXT)
    beat = encode_frame(b'{"type":"heartbeat","echo":1}', kind=TEXT)
    while True:
        peer = await town.open(upgrade(_JSON))
        await peer.answered.wait()
        welcome = asyncio.Event()
        peer.on_data = welcome.set
        peer.send(hello)
        await welcome.wait()
        town.did["sockets"] += 1
        town.in_place.set()
        await _pour(town, peer, itertools.repeat(beat))


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    one.name: one
    for one in (
        Behaviour("silence", "1000 connections, and silence", silence, "head_seconds", "closed after 10 s (LM4)", silent=True),
        Behaviour("half_upgrade", "200 with half a request for a socket", half_upgrade, "head_seconds", _LATE, silent=True),
        Behaviour("drip_head", "200 who drip a head, a byte every half second", drip_head, "head_seconds", _LATE, silent=True),
        Behaviour("drip_body", "200 who drip a body", drip_body, "arrival_seconds", "408 after 60 s (LM22)", silent=True),
        Behaviour(
            "drip_frame",
            "200 who drip a frame of a WebSocket",
            drip_frame,
            "arrival_seconds",
            "4508 after 60 s (LM21)",
            silent=True,
        ),
        Behaviour(
            "no_login",
            "200 on Hocuspocus who never log in",
            no_login,
            "connection_timeout",
            "4408 after 60 s (HP24)",
            silent=True,
        ),
        Behaviour(
            "no_hello", "200 JSON sockets without a hello", no_hello, "hello_seconds", "4508 after 10 s (JS1)", silent=True
        ),
        Behaviour("no_pong", "200 who read, and answer no ping", no_pong, "idle", _IDLE, silent=True),
        Behaviour("not_reading", "100 who stop reading, and 160 KB/s for them", not_reading, "idle", _IDLE, silent=True),
        Behaviour("stopped", "200 whose process is stopped", no_pong, "idle", _IDLE, silent=True, frozen="process"),
        Behaviour(
            "vanished", "200 whose network is gone (half-open TCP)", no_pong, "idle", _IDLE, silent=True, frozen="network"
        ),
        Behaviour("reconnects", "100 connections a second that come and go", reconnects),
        Behaviour("crowd_of_one", "5000 sockets of one user", crowd_of_one, "user_sockets", "1000 stay, the others 4529 (LM1)"),
        Behaviour("crowd", "5000 sockets of as many users", crowd, None, "stay"),
        Behaviour("flood_elsewhere", "a flood of updates, in another document", flood_elsewhere, None, _LATER),
        Behaviour("flood_here", "a flood of updates, in the same document", flood_here, None, _LATER),
        Behaviour("flood_awareness", "a flood of awareness", flood_awareness, None, _LATER),
        Behaviour("flood_questions", "a flood of SyncStep1 and QueryAwareness", flood_questions, None, _LATER),
        Behaviour("flood_pings", "5 floods of pings", flood_pings, None, "stay"),
        Behaviour("flood_heartbeats", "a flood of heartbeats (JSON)", flood_heartbeats, None, _LATER),
    )
}
