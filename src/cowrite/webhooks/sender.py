"""Tells of documents by webhooks, until it was heard.

Theory of operation. An edit writes nothing for this: how far a document was told of is compared with its head, and what lies
between is one message (see :class:`WebhookLog`). This process looks at what it commits itself, a pause after the first edit
that was not told; now and then one looks at all documents, for those whose process was killed. Whoever claims a document sends
its messages, one at a time; another may when the claim is over. So a message may be sent twice, never out of order and never
not at all, unless it is given up: then it is a dead letter, and those behind it are sent.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from cowrite.core.event_types import EventType
from cowrite.core.events import Event, VersionCreated
from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, News, StoreError
from cowrite.core.ports.events import Events
from cowrite.core.ports.webhooks import Happened, Message, WebhookLog
from cowrite.core.records import AccessChange
from cowrite.core.rooms.deletion import NO_SESSION
from cowrite.webhooks.content import ContentReader, Said
from cowrite.webhooks.receiver import ANSWER_SECONDS, Receiver
from cowrite.webhooks.signing import signed_headers

SCHEDULE: Final = (1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0)
"""Seconds before each further attempt, with a fifth of jitter: two days in all. Then it is a dead letter."""
CLAIM_SECONDS: Final = 3 * ANSWER_SECONDS
"""After so long another process may send what this one has claimed."""
AT_ONCE: Final = 8
"""Documents of which messages are sent at a time."""
DEAD_AT_ONCE: Final = 4
"""Dead letters that are sent again at a time, beside those: neither waits for the other, however slow the receiver is."""
LOOK_SECONDS: Final = 5.0
"""How often it is looked for what is due."""
SWEEP_SECONDS: Final = 60.0
"""How often all documents are looked at."""
_PORTION: Final = 1000
_JITTER: Final = 0.2
_RETRY_SECONDS: Final = 2.0
"""After the database did not work."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SenderTimes:
    """When things are done, in seconds."""

    pause: float = 2.0
    """Between the first edit that was not told and telling of it."""
    schedule: Sequence[float] = SCHEDULE
    look: float = LOOK_SECONDS
    sweep: float = SWEEP_SECONDS
    claim: float = CLAIM_SECONDS


class WebhookSender:
    """See the module's docstring. Start :meth:`run` as one task."""

    def __init__(
        self,
        log: WebhookLog,
        receiver: Receiver,
        keys: Sequence[bytes],
        clock: Clock,
        ids: Ids,
        *,
        process: str,
        wanted: Collection[EventType],
        times: SenderTimes,
    ) -> None:
        """``process``: its id, by which it claims documents."""
        self._webhooks = log
        self._receiver = receiver
        self._keys = keys
        self._clock = clock
        self._ids = ids
        self._process = process
        self._wanted = frozenset(wanted)
        self._times = times
        self.content: ContentReader | None = None
        """Not None: what documents say is told, too."""
        self._due: dict[str, float] = {}
        """When to look at which documents, by the monotonic clock; those that are being looked at are not among them."""
        self._busy: set[str] = set()
        self._again: dict[str, float] = {}
        """Of those that are being looked at: when to do so again."""
        self._dead = asyncio.Queue[str]()
        """Ids of dead letters that somebody wants sent again."""
        self._wake = asyncio.Event()
        self._failing = False
        self.stopped = False
        """The receiver has said that it is gone: nothing more is sent before a restart."""
        self.delivered = self.failed = self.dead = 0
        self.oldest: float | None = None
        """Seconds for which the oldest message waits, at the last look; None: none does."""

    # ---- what happens ------------------------------------------------------------------------------------------------

    def committed(self, news: News) -> None:
        """This process has committed something."""
        self._look_at(news.document_id, self._times.pause)

    def tell(self, event: Event) -> None:
        """As one of :class:`Events`."""
        if isinstance(event, VersionCreated):
            self._look_at(event.document_id, 0.0)

    def access_changed(self, change: AccessChange) -> None:
        """Deletions come this way."""
        if change.session_id == NO_SESSION and change.document_id is not None:
            self._look_at(change.document_id, 0.0)

    def _look_at(self, document_id: str, seconds: float) -> None:
        at = self._clock.monotonic() + seconds
        due = self._again if document_id in self._busy else self._due
        if at < due.get(document_id, float("inf")):
            due[document_id] = at
            self._wake.set()

    # ---- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled. What is being sent then is sent again by whoever comes next."""
        try:
            await self._begin()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look())
                for _ in range(AT_ONCE):
                    tasks.create_task(self._work())
                for _ in range(DEAD_AT_ONCE):
                    tasks.create_task(self._work_at_dead())
        finally:
            await self._receiver.close()

    async def _begin(self) -> None:
        while True:
            try:
                await self._webhooks.begin()
            except StoreError as error:
                self._fails(error)
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                return

    async def _look(self) -> None:
        """Now and then: what is due, and what others have left."""
        swept = float("-inf")
        while True:
            thorough = self._clock.monotonic() - swept >= self._times.sweep
            try:
                found = await self._webhooks.waiting(limit=_PORTION, thorough=thorough)
            except StoreError as error:
                self._fails(error)
            else:
                self._works()
                if thorough and len(found.documents) < _PORTION:
                    swept = self._clock.monotonic()
                self.oldest = None if found.oldest is None else found.oldest / 1000
                for document_id in found.documents:
                    if document_id not in self._due:
                        self._look_at(document_id, 0.0)
                if self._dead.empty():  # one that is found twice is claimed once
                    for event_id in found.dead_letters:
                        self._dead.put_nowait(event_id)
            await self._clock.sleep(self._times.look * random.uniform(1 - _JITTER, 1))

    async def _work(self) -> None:
        while True:
            document_id = await self._next()
            self._busy.add(document_id)
            try:
                after = await self._send_next(document_id)
            except StoreError as error:
                self._fails(error)
                after = _RETRY_SECONDS
            finally:
                self._busy.discard(document_id)
            asked = self._again.pop(document_id, None)
            if asked is not None:
                self._look_at(document_id, max(0.0, asked - self._clock.monotonic()))
            if after is not None:
                self._look_at(document_id, after)

    async def _work_at_dead(self) -> None:
        while True:
            await self._send_dead(await self._dead.get())

    async def _next(self) -> str:
        """The document that is due first, when it is."""
        while True:
            self._wake.clear()
            first = min(self._due, key=self._due.__getitem__, default=None)
            wait = None if first is None else self._due[first] - self._clock.monotonic()
            if first is not None and wait is not None and wait <= 0 and not self.stopped:
                del self._due[first]
                return first
            timer = None if wait is None else self._clock.call_later(max(wait, 0.0), self._wake.set)
            if self.stopped:
                await asyncio.Event().wait()
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    # ---- sending -----------------------------------------------------------------------------------------------------

    async def _send_next(self, document_id: str) -> float | None:
        """Send one message of the document. Returns after how many seconds to look again; None: there is nothing to do."""
        claim = partial(self._webhooks.claim, document_id, self._process, seconds=self._times.claim, wanted=self._wanted)
        claimed = await claim(write=partial(self._written, None) if self.content is None else None)
        if isinstance(claimed, Happened):
            # It is read where there is something to tell, and before there is a message, which then tells of no entry that is
            # not in it. Also where it is not yet of a change: one may come meanwhile, and be told first.
            said = await self._read(document_id)
            claimed = await claim(write=partial(self._written, said), until=None if said is None else said.head)
        assert not isinstance(claimed, Happened), "it could be written"
        if not isinstance(claimed, Message):
            return claimed
        if await self._send(claimed):
            # More that has come meanwhile waits as it would have without this.
            return self._times.pause if claimed.type == EventType.CHANGED else 0.0
        return None if self.stopped else 0.0

    async def _read(self, document_id: str) -> Said | None:
        if self.content is None or EventType.CHANGED not in self._wanted:
            return None
        return await self.content.read(document_id)

    async def _send_dead(self, event_id: str) -> None:
        if self.stopped:
            return  # whoever wants it sent again still does after the next start
        try:
            message = await self._webhooks.claim_dead(event_id)
            if message is not None:
                await self._send(message, dead=True)
        except StoreError as error:
            self._fails(error)

    async def _send(self, message: Message, *, dead: bool = False) -> bool:
        """True: it was received."""
        if self.stopped:  # since it was claimed: it waits for the next start
            if dead:
                await self._webhooks.retry(message.event_id)
            return False
        body = message.body.encode()
        headers = signed_headers(self._keys, message.event_id, self._clock.now() // 1000, body)
        answer = await self._receiver.send(headers, body)
        about = {"document": message.document_id, "webhook": message.event_id, "type": message.type}
        if answer.received:
            await self._webhooks.sent(message, self._process)
            self.delivered += 1
            return True
        self.failed += 1
        again = None if dead else self._pause_after(message.attempts, answer.seconds)
        if answer.gone:
            self.stopped = True
            again = None if dead else 0.0
            _log.error(
                "the receiver of webhooks says that it is gone (410): nothing more is sent to it; unset COWRITE_WEBHOOK_URL, "
                "or start again when it is back",
                **about,
            )
        elif again is None:
            _log.error("webhook given up; see `cowrite webhooks list`", **about, reason=answer.reason)
        else:
            _log.warning("webhook not received", **about, attempts=message.attempts + 1, reason=answer.reason)
        await self._webhooks.failed(message, self._process, reason=answer.reason, again=again)
        self.dead += again is None and not dead
        return False

    def _pause_after(self, attempts: int, wish: float) -> float | None:
        if attempts >= len(self._times.schedule):
            return None
        return max(wish, self._times.schedule[attempts] * random.uniform(1 - _JITTER, 1 + _JITTER))

    def _written(self, said: Said | None, happened: Happened) -> tuple[str, str]:
        at = datetime.fromtimestamp(happened.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {"document_id": happened.document_id, **happened.fields}
        if self.content is not None and happened.type is EventType.CHANGED:
            fits = said is not None and (said.head.epoch, said.head.offset) == (data["epoch"], data["offset"])
            data["content"] = self.content.told(happened.document_id, said if fits else None)
        return self._ids.new(), json.dumps({"type": happened.type, "timestamp": at, "data": data})

    def _fails(self, error: StoreError) -> None:
        if not self._failing:
            _log.warning("webhooks wait for the database", reason=str(error))
        self._failing = True

    def _works(self) -> None:
        if self._failing:
            _log.info("webhooks go on")
        self._failing = False


if TYPE_CHECKING:
    _: type[Events] = WebhookSender
