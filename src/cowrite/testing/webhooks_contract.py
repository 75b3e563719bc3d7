"""What every :class:`cowrite.core.ports.webhooks.WebhookLog` must do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from cowrite.core.event_types import EventType
from cowrite.core.ports import Storage
from cowrite.core.ports.webhooks import Happened, Message, WebhookLog
from cowrite.core.records import Head
from cowrite.testing.records import fill, make_change, make_entry, make_version, new_id, write
from cowrite.testing.store_contract import StoreBackend


def _written(happened: Happened) -> tuple[str, str]:
    return new_id(), json.dumps({"type": happened.type, "at": happened.at, **happened.fields})


async def claim(
    log: WebhookLog,
    process: str = "one",
    *,
    document_id: str = "doc",
    seconds: float = 30.0,
    wanted: Collection[EventType] = tuple(EventType),
    until: Head | None = None,
) -> Message | Happened | float | None:
    """What the log says when its next message is claimed."""
    return await log.claim(document_id, process, seconds=seconds, wanted=wanted, write=_written, until=until)


async def claimed(log: WebhookLog, process: str = "one", **options: Any) -> tuple[Message, dict[str, Any]]:
    """The next message, which there is, and what it tells."""
    message = await claim(log, process, **options)
    assert isinstance(message, Message)
    return message, json.loads(message.body)


class WebhooksContract:
    """Derive from it, with a fixture ``backend``."""

    async def begun(self, backend: StoreBackend) -> tuple[Storage, WebhookLog]:
        storage = await backend.open_storage()
        log = storage.webhooks
        assert log is not None
        await log.begin()
        return storage, log

    @pytest.mark.rule("WH2", "WH8")
    async def test_changes_since_the_last_message_are_one(self, backend: StoreBackend) -> None:
        storage = await backend.open_storage()
        log = storage.webhooks
        assert log is not None
        await fill(storage.store, "old", number=2)
        await storage.versions.add(make_version(1, document_id="old"))
        await log.begin()
        assert await claim(log, document_id="old") is None
        assert await claim(log, document_id="never written") is None
        entries = [make_entry(1, author="ben"), make_entry(2, author="ana"), make_entry(3, author="ben", created_at=5)]
        await write(storage.store, "doc", *entries)
        assert (await log.waiting(limit=9, thorough=False)).documents == []
        assert (await log.waiting(limit=9, thorough=True)).documents == ["doc"]
        message, told = await claimed(log)
        head = (await storage.store.heads(["doc"]))["doc"]
        assert told == {
            "type": "document.changed", "at": 5, "epoch": head.epoch, "after": 0, "offset": 3, "authors": ["ana", "ben"],
            "more_authors": False,
        }  # fmt: skip
        assert (message.type, message.attempts) == ("document.changed", 0)
        # What comes meanwhile is the next one's; this one stays as it is.
        await write(storage.store, "doc", make_entry(4))
        assert await claim(log) == message
        await log.sent(message, "one")
        _, told = await claimed(log)
        assert (told["after"], told["offset"]) == (3, 4)
        await log.begin()  # again: it says nothing new
        await write(storage.store, "old", make_entry(3))
        assert (await claimed(log, document_id="old"))[1]["after"] == 2

    @pytest.mark.rule("WH12")
    async def test_a_message_tells_up_to_where_it_is_asked_to(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        await write(storage.store, "doc", *(make_entry(offset, author=f"user {offset}") for offset in (1, 2, 3)))
        head = (await storage.store.heads(["doc"]))["doc"]
        elsewhere = replace(head, epoch=new_id(), offset=1)
        for until, expected in ((replace(head, offset=2), (0, 2, 2)), (replace(head, offset=2), (2, 3, 1))):
            message, told = await claimed(log, until=until)
            assert (told["after"], told["offset"], len(told["authors"])) == expected
            await log.sent(message, "one")
        await write(storage.store, "doc", make_entry(4), make_entry(5))
        assert (await claimed(log, until=elsewhere))[1]["offset"] == 5

    @pytest.mark.rule("WH3", "WH12")
    async def test_what_is_to_be_told_before_it_is_written(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)

        async def ask(process: str = "one", *, wanted: Collection[EventType] = tuple(EventType)) -> object:
            return await log.claim("doc", process, seconds=30.0, wanted=wanted, write=None)

        assert await ask() is None  # nobody has ever written it
        await write(storage.store, "doc", make_entry(1, author="ana"), make_entry(2))
        await storage.versions.add(make_version(1))
        first = await ask()
        assert isinstance(first, Happened)
        assert (first.type, first.document_id, first.fields["offset"]) == (EventType.CHANGED, "doc", 2)
        assert await ask("two") is None  # it is the first one's
        assert (await log.waiting(limit=9, thorough=True)).documents == []
        assert await ask() == first  # it was not told by being asked for
        head = (await storage.store.heads(["doc"]))["doc"]
        message, told = await claimed(log, until=replace(head, offset=1))
        assert (told["after"], told["offset"]) == (0, 1)
        assert await ask() == message
        await log.sent(message, "one")
        # What is not wanted is passed over, but nothing that is.
        version = await ask(wanted=[EventType.VERSION_CREATED])
        assert isinstance(version, Happened)
        assert version.type is EventType.VERSION_CREATED
        assert await ask(wanted=[]) is None
        assert (await log.waiting(limit=9, thorough=True)).documents == []

    @pytest.mark.rule("WH9", "WH12")
    async def test_what_was_erased_is_in_no_message_any_more(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)

        def says(happened: Happened) -> tuple[str, str]:
            content = {"format": "text", "value": "secret", "path": "/doc"}
            return new_id(), json.dumps({"data": {"offset": happened.fields.get("offset"), "content": content}})

        await fill(storage.store, "doc", number=1)
        message = await log.claim("doc", "one", seconds=30.0, wanted=tuple(EventType), write=says)
        assert isinstance(message, Message)
        assert "secret" in message.body
        await storage.directory.delete("doc", make_change(document_id="doc", created_at=1))
        assert await storage.erasure.purge("doc", deleted_before=2, at=3, scrub=False)
        again, told = await claimed(log)
        assert again.event_id == message.event_id
        assert told["data"] == {"offset": 1, "content": {"format": "text", "value": None, "path": "/doc"}}

    @pytest.mark.rule("WH3", "WH4")
    async def test_the_order_of_a_document(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        await fill(storage.store, "doc", number=2)
        later, first = make_version(1, created_at=9_000, name="b"), make_version(2, created_at=8_000, name="a")
        for version in (later, first):
            await storage.versions.add(version)
        assert await storage.directory.delete("doc", make_change(document_id="doc"))
        found = []
        while isinstance(message := await claim(log), Message):
            found.append((message.type, json.loads(message.body).get("name")))
            await log.sent(message, "one")
        changed, created = EventType.CHANGED.value, EventType.VERSION_CREATED.value
        assert found == [(changed, None), (created, "a"), (created, "b"), (EventType.DELETED.value, None)]
        # One that was made before and came later, by the clock of another process.
        assert await storage.directory.undelete("doc", make_change(document_id="doc"))
        await storage.versions.add(make_version(1, created_at=8_500, name="late", author="eve", document_id="doc"))
        message, told = await claimed(log)
        assert (told["name"], told["offset"], told["kind"], told["authors"]) == ("late", 1, "named", ["eve"])
        await log.sent(message, "one")
        message, _ = await claimed(log)
        assert message.type == EventType.UNDELETED
        await log.sent(message, "one")
        assert await claim(log) is None
        assert (await log.waiting(limit=9, thorough=True)).documents == []

    @pytest.mark.rule("WH3")
    async def test_what_is_not_wanted_is_passed_over(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        await fill(storage.store, "doc", number=2)
        await storage.versions.add(make_version(1))
        message, _ = await claimed(log, wanted=[EventType.VERSION_CREATED])
        assert message.type == EventType.VERSION_CREATED
        await log.sent(message, "one")
        assert await claim(log, wanted=[EventType.VERSION_CREATED]) is None
        assert await claim(log) is None  # it is not told later either

    @pytest.mark.rule("WH6")
    async def test_one_process_at_a_time(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        _, other = await self.begun(backend)
        await fill(storage.store, "doc", number=1)
        both = await asyncio.gather(claim(log, "one"), claim(other, "two"))
        (first,) = [one for one in both if isinstance(one, Message)]
        winner = "one" if isinstance(both[0], Message) else "two"
        loser, its = ("two", other) if winner == "one" else ("one", log)
        assert await claim(its, loser) is None
        assert (await log.waiting(limit=9, thorough=True)).documents == []
        # A claim that is over is anybody's.
        assert await claim(log if winner == "one" else other, winner, seconds=0.0) == first
        await asyncio.sleep(0.01)
        assert (await log.waiting(limit=9, thorough=False)).documents == ["doc"]
        again, _ = await claimed(its, loser)
        assert again == first
        # Who has lost the claim says nothing any more.
        await log.failed(first, winner, reason="late", again=None)
        assert not await log.dead()
        await its.sent(again, loser)
        assert await claim(log) is None

    @pytest.mark.rule("WH4", "WH5")
    async def test_what_fails_is_due_again_and_then_dead(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        await fill(storage.store, "doc", number=1)
        message, _ = await claimed(log)
        await log.failed(message, "one", reason="the answer is 500", again=60.0)
        later = await claim(log)
        assert isinstance(later, float)
        assert 50 < later <= 60
        waiting = await log.waiting(limit=9, thorough=True)
        assert waiting.documents == []
        assert waiting.oldest is not None
        assert 0 <= waiting.oldest < 60_000
        await log.failed(message, "one", reason="late", again=0.0)  # not claimed by now
        assert isinstance(await claim(log), float)

        await fill(storage.store, "other", number=1)
        message, _ = await claimed(log, document_id="other")
        await log.failed(message, "one", reason="the answer is 500", again=0.0)
        message, _ = await claimed(log, document_id="other")
        assert message.attempts == 1
        await log.failed(message, "one", reason="the answer is 503", again=None)
        assert await claim(log, document_id="other") is None
        (letter,) = await log.dead()
        assert (letter.event_id, letter.document_id, letter.attempts) == (message.event_id, "other", 2)
        assert (letter.type, letter.body, letter.reason) == (message.type, message.body, "the answer is 503")
        assert not await log.dead(after=letter.event_id)
        # The next one goes on.
        await write(storage.store, "other", make_entry(2))
        assert (await claimed(log, document_id="other"))[1]["after"] == 1

    @pytest.mark.rule("WH5", "WH9")
    async def test_dead_letters(self, backend: StoreBackend) -> None:
        storage, log = await self.begun(backend)
        letters = []
        for name in ("a", "b", "c"):
            await fill(storage.store, name, number=1)
            message, _ = await claimed(log, document_id=name)
            await log.failed(message, "one", reason="no", again=None)
            letters.append(message.event_id)
        first, second, third = letters
        assert [one.event_id for one in await log.dead(limit=2)] == sorted(letters)[:2]
        assert await log.count_dead() == 3
        assert await log.dead_letter(second) == next(one for one in await log.dead() if one.event_id == second)
        assert await log.dead_letter(new_id()) is None
        assert await log.claim_dead(first) is None
        assert await log.retry(first)
        assert not await log.retry(new_id())
        assert (await log.waiting(limit=9, thorough=False)).dead_letters == [first]
        message_again = await log.claim_dead(first)
        assert message_again is not None
        assert (message_again.event_id, message_again.attempts) == (first, 1)
        assert await log.claim_dead(first) is None
        await log.failed(message_again, "one", reason="still no", again=None)
        letter = next(one for one in await log.dead() if one.event_id == first)
        assert (letter.attempts, letter.reason, letter.due_at) == (2, "still no", None)
        assert await log.retry(first)
        message_again = await log.claim_dead(first)
        assert message_again is not None
        await log.sent(message_again, "one")
        assert await log.drop(second)
        assert not await log.drop(second)
        assert [one.event_id for one in await log.dead()] == [third]
        assert (await log.count_dead(), await log.dead_letter(second)) == (1, None)
        await storage.directory.delete("c", make_change(document_id="c", created_at=1))
        assert await storage.erasure.purge("c", deleted_before=2, at=3, scrub=False)
        assert not await log.dead()
        message, _ = await claimed(log, document_id="c")
        assert message.type == EventType.PURGED
