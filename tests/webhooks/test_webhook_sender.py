"""Webhooks: from a database to a real server that receives them, or does not."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cowrite.core.clock import SystemClock
from cowrite.core.event_types import EventType
from cowrite.core.ids import Ids
from cowrite.core.ports import News, Storage
from cowrite.core.ports.webhooks import WebhookLog
from cowrite.stores import open_store
from cowrite.testing.records import fill, make_entry, make_version, new_id, write
from cowrite.testing.webhooks_contract import claimed
from cowrite.webhooks.receiver import Answer, Receiver
from cowrite.webhooks.sender import DEAD_AT_ONCE, SenderTimes, WebhookSender
from cowrite.webhooks.signing import parse_webhook_secrets, signed_headers
from timing import MS
from webhook_receiver import KEY, WEBHOOK_SECRET, Received, WebhookReceiver, says, webhook_receiver

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"
QUICK = SenderTimes(pause=0.01, schedule=(0.05, 0.05, 0.05), look=0.02, sweep=0.02)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await open_store(f"sqlite:///{tmp_path / 'cowrite.db'}")
    yield storage
    await storage.close()


@asynccontextmanager
async def sending(
    storage: Storage,
    receiver: WebhookReceiver,
    *,
    times: SenderTimes = QUICK,
    wanted: Sequence[EventType] = tuple(EventType),
    keys: Sequence[bytes] = (KEY,),
    seconds: float = 5.0,
) -> AsyncIterator[WebhookSender]:
    assert storage.webhooks is not None
    await storage.webhooks.begin()
    clock = SystemClock()
    to = Receiver(receiver.url, seconds=seconds)
    sender = WebhookSender(storage.webhooks, to, keys, clock, Ids(clock), process=new_id(), wanted=wanted, times=times)
    task = asyncio.get_running_loop().create_task(sender.run())
    try:
        yield sender
    finally:
        assert not task.done(), task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10_000 * MS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_async(call: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(10_000 * MS):
        while await call() != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def dead_letter(log: WebhookLog, storage: Storage, name: str) -> str:
    """The id of a message that was given up."""
    await log.begin()
    await write(storage.store, name, make_entry(1))
    message, _ = await claimed(log, document_id=name)
    body = json.dumps({"type": message.type, "data": {"document_id": name}})
    await log.failed(replace(message, body=body), "one", reason="the answer is 500", again=None)
    return message.event_id


async def never(condition: Callable[[], object], seconds: float = 0.3) -> None:
    """It is not so now, and not a while later."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert not condition()
        await asyncio.sleep(0.02)


@pytest.mark.rule("WH1", "WH2", "WH4")
async def test_what_is_received(storage: Storage) -> None:
    """Signed by two secrets, and with what the page says."""
    other = bytes(64)
    with webhook_receiver() as receiver:
        async with sending(storage, receiver, keys=(other, KEY)) as sender:
            await write(storage.store, "doc", make_entry(1, author="Åse", created_at=1_790_000_000_123))
            await until(lambda: receiver.accepted)
            (one,) = receiver.accepted
            assert one.is_signed_by(other)
            assert one.is_signed_by(KEY)
            assert not one.is_signed_by(b"another key" * 3)
            assert one.headers["content-type"] == "application/json"
            head = (await storage.store.heads(["doc"]))["doc"]
            assert one.told == {
                "type": "document.changed",
                "timestamp": "2026-09-21T14:13:20.123Z",
                "data": {
                    "document_id": "doc", "epoch": head.epoch, "after": 0, "offset": 1, "authors": ["Åse"],
                    "more_authors": False,
                },
            }  # fmt: skip
            await until(lambda: sender.delivered == 1)
            assert (sender.failed, sender.dead) == (0, 0)
            await never(lambda: len(receiver.received) > 1)


@pytest.mark.rule("WH1")
def test_the_example_of_the_specification() -> None:
    """https://github.com/standard-webhooks/standard-webhooks, tests of its libraries."""
    (key,) = parse_webhook_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"


@pytest.mark.rule("WH1")
async def test_the_receiver_of_the_page(storage: Storage) -> None:
    """What docs/hooks.md shows takes what is genuine, and nothing else."""
    program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)
    genuine = names["is_genuine"]
    with webhook_receiver() as receiver:
        async with sending(storage, receiver):
            await write(storage.store, "doc", make_entry(1))
            await until(lambda: receiver.accepted)
    (one,) = receiver.accepted
    assert genuine(WEBHOOK_SECRET, one.headers, one.body)
    assert not genuine(WEBHOOK_SECRET, one.headers, one.body + b" ")
    late = str(int(one.headers["webhook-timestamp"]) - 400)
    headers = signed_headers([KEY], one.id, int(late), one.body)
    assert not genuine(WEBHOOK_SECRET, headers, one.body)


@pytest.mark.rule("WH2")
async def test_edits_of_a_pause_are_one_message(storage: Storage) -> None:
    with webhook_receiver() as receiver:
        async with sending(storage, receiver, times=SenderTimes(pause=0.4)) as sender:
            await never(lambda: receiver.received)  # it has looked what others have left
            began = time.monotonic()
            await write(storage.store, "doc", *map(make_entry, range(1, 6)))
            for offset in range(1, 6):
                sender.committed(News("doc", "e", offset, ()))
            await until(lambda: receiver.accepted)
            assert receiver.accepted[0].at - began >= 0.4
            assert [(one["data"]["after"], one["data"]["offset"]) for one in receiver.of("doc")] == [(0, 5)]


@pytest.mark.rule("WH4", "WH5", "WH7")
async def test_a_receiver_that_fails(storage: Storage) -> None:
    """Down, slow, 500 and a redirect: the same message again, and nothing behind it before."""
    answers = {1: says(500, b"password"), 2: says(302, location="http://127.0.0.1:1/"), 3: says(200, b"x" * 100_000)}

    def answer(one: Received) -> tuple[int, object, bytes]:
        if len(receiver.received) == 4:
            time.sleep(0.5)
        return answers.get(len(receiver.received), says(204))(one)

    with webhook_receiver() as receiver, capture_logs() as logs:
        receiver.answer = answer  # type: ignore[assignment]
        async with sending(storage, receiver, seconds=0.3) as sender:
            await write(storage.store, "doc", make_entry(1))
            await until(lambda: len(receiver.received) == 2)
            await write(storage.store, "doc", make_entry(2))
            await until(lambda: len(receiver.accepted) >= 1)
            assert len({one.id for one in receiver.received[:3]}) == len({one.body for one in receiver.received[:3]}) == 1
            # The next one is answered too late.
            await until(lambda: sender.delivered == 2)
            offsets = [(one.data["after"], one.data["offset"]) for one in receiver.received]
            assert offsets == [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2)]
            assert sender.failed == 3
    reasons = [line["reason"] for line in logs if line["event"] == "webhook not received"]
    assert reasons == ["the answer is 500", "the answer is 302", "no complete answer within 0.3 s"]


@pytest.mark.rule("WH4")
async def test_an_answer_that_is_not_http() -> None:
    """The reason has nothing of what came: it stands in the log and in the table."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"secret of the receiver\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        receiver = Receiver(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", seconds=5.0)
        assert await receiver.send({}, b"{}") == Answer(False, "the answer is not HTTP")
        await receiver.close()


@pytest.mark.rule("WH4", "WH5")
async def test_a_receiver_that_is_down_until_the_message_is_given_up(storage: Storage) -> None:
    with webhook_receiver() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
    assert storage.webhooks is not None
    log = storage.webhooks
    async with sending(storage, receiver) as sender:
        await write(storage.store, "doc", make_entry(1))
        await until(lambda: sender.dead == 1)
        assert sender.failed == 4
        (letter,) = await log.dead()
        assert (letter.document_id, letter.attempts) == ("doc", 4)
        with webhook_receiver(port) as back:
            # What comes after it is told; it is, too, once somebody wants it.
            await write(storage.store, "doc", make_entry(2))
            await until(lambda: [one["data"]["after"] for one in back.of("doc")] == [1])
            assert await log.retry(letter.event_id)
            await until(lambda: [one["data"]["after"] for one in back.of("doc")] == [1, 0])
            assert back.accepted[1].id == letter.event_id
            await until(lambda: sender.delivered == 2)
            assert not await log.dead()


@pytest.mark.rule("WH4")
async def test_when_it_is_sent_again(storage: Storage) -> None:
    """As late as the receiver asks for."""
    with webhook_receiver() as receiver:
        receiver.answer = says(503, retry_after="1")
        async with sending(storage, receiver) as sender:
            await write(storage.store, "doc", make_entry(1))
            await until(lambda: sender.failed == 1)
            receiver.answer = says(204)
            await until(lambda: receiver.accepted)
            assert receiver.accepted[0].at - receiver.received[0].at >= 1.0
            await until(lambda: sender.oldest is None)


@pytest.mark.rule("WH7")
async def test_a_receiver_that_is_gone(storage: Storage) -> None:
    """Nothing is lost, also of what was given up and is to be sent again: it waits for the next start."""
    assert storage.webhooks is not None
    log = storage.webhooks
    letter, claimed_as_it_stopped = [await dead_letter(log, storage, name) for name in ("dead", "claimed")]
    with webhook_receiver() as receiver:
        receiver.answer = says(410)
        async with sending(storage, receiver) as sender:
            await write(storage.store, "doc", make_entry(1))
            await until(lambda: sender.stopped)
            await write(storage.store, "other", make_entry(1))
            assert await log.retry(letter)
            await never(lambda: len(receiver.received) > 1)
            # Two that were on their way to being sent when another one was answered so.
            assert await log.retry(claimed_as_it_stopped)
            dead = await log.claim_dead(claimed_as_it_stopped)
            assert dead is not None
            assert not await sender._send(dead, dead=True)
            assert len(receiver.received) == 1
        receiver.answer = says(204)
        async with sending(storage, receiver):
            await until(lambda: all(map(receiver.of, ("doc", "other", "dead", "claimed"))))
            await until_async(log.count_dead, 0)
        assert receiver.received[0].id == next(one.id for one in receiver.accepted if one.data["document_id"] == "doc")


@pytest.mark.rule("WH5")
async def test_dead_letters_hold_nothing_up(storage: Storage) -> None:
    """Some are sent at a time; while the receiver does not answer, what others have left is found and sent."""
    assert storage.webhooks is not None
    log = storage.webhooks
    letters = [await dead_letter(log, storage, f"dead {number}") for number in range(DEAD_AT_ONCE + 1)]
    let_go = threading.Event()

    def answer(one: Received) -> tuple[int, dict[str, str], bytes]:
        if one.id in letters:
            let_go.wait(10)
        return 204, {}, b""

    with webhook_receiver() as receiver:
        receiver.answer = answer
        async with sending(storage, receiver) as sender:
            for letter in letters:
                assert await log.retry(letter)
            await until(lambda: len(receiver.received) == DEAD_AT_ONCE)
            await write(storage.store, "doc", make_entry(1))
            await until(lambda: receiver.of("doc"))
            assert len(receiver.received) == DEAD_AT_ONCE + 1
            let_go.set()
            await until(lambda: sender.delivered == len(letters) + 1)
            assert sorted(one.id for one in receiver.accepted if one.data["document_id"] != "doc") == sorted(letters)
    assert await log.count_dead() == 0


@pytest.mark.rule("WH6")
async def test_two_processes_on_one_database(storage: Storage, tmp_path: Path) -> None:
    """Both are told of everything, and each message is sent once."""
    second = await open_store(f"sqlite:///{tmp_path / 'cowrite.db'}")
    with webhook_receiver() as receiver:
        async with sending(storage, receiver) as one, sending(second, receiver) as other:
            for offset in range(1, 6):
                for name in ("a", "b", "c"):
                    await write(storage.store, name, make_entry(offset))
                    for sender in (one, other):
                        sender.committed(News(name, "e", offset, ()))
                await asyncio.sleep(0.03)
            names = ("a", "b", "c")
            await until(lambda: all(receiver.of(name) and receiver.of(name)[-1]["data"]["offset"] == 5 for name in names))
            for name in names:
                spans = [(told["data"]["after"], told["data"]["offset"]) for told in receiver.of(name)]
                assert [after for after, _ in spans] == [0, *(until for _, until in spans[:-1])]  # no gap, nothing twice
            assert len({one.id for one in receiver.received}) == len(receiver.received)
            await until(lambda: one.delivered + other.delivered == len(receiver.received))
    await second.close()


@pytest.mark.rule("WH3")
async def test_versions_and_what_is_wanted(storage: Storage) -> None:
    with webhook_receiver() as receiver:
        async with sending(storage, receiver, wanted=[EventType.VERSION_CREATED]):
            await fill(storage.store, "doc", number=2)
            await storage.versions.add(make_version(1, name="first", author="ana"))
            await until(lambda: receiver.accepted)
            (told,) = receiver.of("doc")
            assert told["type"] == "version.created"
            assert (told["data"]["offset"], told["data"]["name"], told["data"]["authors"]) == (1, "first", ["ana"])


@pytest.mark.rule("WH1")
@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_" + base64.b64encode(bytes(65)).decode(), "ä" * 40])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="is no secret for webhooks") as caught:
        parse_webhook_secrets(secret)
    assert "short" not in str(caught.value)
    assert len(parse_webhook_secrets(f"{WEBHOOK_SECRET}, {WEBHOOK_SECRET}")) == 2
