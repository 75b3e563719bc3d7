"""People type on several processes while moments are brought back, changes taken back and history forgotten, and everything
goes wrong that can. Seeded; no time, no network.

In the end everything is healed, and then: each restore and undo took away only what it was to take away, no text is there
twice, all clients and fresh processes show the same, what is told of who wrote what covers all of it, and the log agrees with
itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import pytest

from core.test_simulation import EVENTS, Simulation, Writer
from cowrite.brokers.local import LocalBroker
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.history.automatic import VersionTimes
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moment
from cowrite.core.history.past import Past, open_past
from cowrite.core.history.verifying import verify
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Access, Grant, StoreCorrupt, StoreError
from cowrite.core.records import CauseKind, DocumentInfo, Entry
from cowrite.core.sessions.session import Session
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.state import text
from cowrite.stores.memory import memory_storage
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import new_id
from cowrite.testing.yjs_client import YjsClient

HISTORY_EVENTS = {**EVENTS, "restore": 10, "undo": 10, "forget": 1, "join": 20, "settle": 12}
SEEDS = 12 * int(os.environ.get("COWRITE_FUZZ", "1"))


class AtOnce(Executor):
    """Does all work when it is asked for: with a thread, the order of things would be another one each time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@dataclass
class Told:
    """What an entry of the log did."""

    entry: Entry
    shown: str
    """The text behind it."""
    base: int
    """Of a restore or undo: the head that it was made at."""


class HistorySimulation(Simulation):
    likely = HISTORY_EVENTS

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        # Not at random ids: they decide the order of what is written at one place at the same time.
        self.writers = [Writer(writer.name, YjsClient(1000 - number)) for number, writer in enumerate(self.writers)]
        self.pasts: dict[Process, Past] = {}
        self.asked: dict[Process, list[asyncio.Task[None]]] = {}
        self.bases: dict[str, int] = {}
        """For the id of each restore and undo the head that it was last made at."""
        self.done: list[str] = []
        self.log: list[Told] = []
        """All entries ever, also those that were forgotten."""
        self._replayed = LogDocument.empty()

    async def start_process(self) -> None:
        await super().start_process()
        process = self.processes[-1]
        storage, registry, clock, ids = process.storage, process.registry, process.clock, process.ids
        accounts, limits, times = process.journal.accounts, process.limits, VersionTimes()
        past = open_past(storage, registry, accounts, clock, ids, limits, times=times, grace_days=30)
        past.worker._thread = AtOnce()  # type: ignore[assignment]
        submit = past.restoring._edits._submit

        async def noted(wanted: Any, head: Moment, *rest: Any) -> Any:
            self.bases[wanted.id] = head.offset
            return await submit(wanted, head, *rest)

        past.restoring._edits._submit = noted  # type: ignore[method-assign, assignment]
        self.pasts[process], self.asked[process] = past, []

    async def kill(self, writer: Writer) -> None:
        await super().kill(writer)
        for process in self.pasts.keys() - set(self.processes):
            await self.end(process)

    async def end(self, process: Process) -> None:
        tasks = self.asked.pop(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.kill()
        await self.pasts.pop(process).worker.close()

    async def step(self) -> None:
        await super().step()
        self.collect()

    def collect(self) -> None:
        """Read what is new in the log, past all failures."""
        document = self.database.tables.documents.get("doc")
        for row in document.rows if document is not None else ():
            entry = row.entry
            if entry.offset > len(self.log):
                assert entry.offset == len(self.log) + 1
                self._replayed.commit([entry.update], [outline_of_state(entry.update)])
                self.log.append(Told(entry, text(self._replayed, "body"), self.base_of(entry.offset)))

    # -- what is asked of the past --------------------------------------------------------------------------------------------

    async def restore(self, _: Writer) -> None:
        async def restored(past: Past, info: DocumentInfo, request: str) -> None:
            moment = await past.moments.at(info, self.offset(info))
            await past.restoring.restore(_session("keeper", Grant.WRITE), moment, id=request)

        self.ask(restored)

    async def undo(self, writer: Writer) -> None:
        async def undone(past: Past, info: DocumentInfo, request: str) -> None:
            first, last = sorted((self.offset(info), self.rng.choice((self.offset(info), info.head.offset))))
            after, until = await past.moments.at(info, first), await past.moments.at(info, last)
            await past.restoring.undo(_session("keeper", Grant.ADMIN), writer.name, after, until, id=request)

        self.ask(undone)

    async def forget(self, _: Writer) -> None:
        async def forgotten(past: Past, info: DocumentInfo, _: str) -> None:
            await past.erasing.forget(await past.moments.at(info, self.rng.randrange(info.head.offset // 2 + 1)))

        self.ask(forgotten)

    def offset(self, info: DocumentInfo) -> int:
        return self.rng.randrange(info.first_offset - 1, info.head.offset + 1)

    def ask(self, work: Callable[[Past, DocumentInfo, str], Coroutine[Any, Any, None]]) -> None:
        process = self.rng.choice(self.processes)
        request = new_id()

        async def asking() -> None:
            # Asked again with the same id when it is not known whether it happened, as a client does.
            for _ in range(3):
                try:
                    info = await process.storage.directory.info("doc")
                    if info is not None:
                        await work(self.pasts[process], info, request)
                        self.done.append(request)
                    return
                except StoreCorrupt:
                    raise
                except (StoreError, SubmissionRefused, HistoryRefused, RoomClosed, PeerError) as error:
                    if getattr(error, "code", "") in ("restore_failed", "root_unreadable"):
                        raise

        self.asked[process].append(asyncio.get_running_loop().create_task(asking()))

    async def heal(self) -> None:
        await super().heal()
        tasks = [task for asked in self.asked.values() for task in asked]
        async with asyncio.timeout(20):  # clients may be content before the last who asked has been answered
            while not all(task.done() for task in tasks):
                for process in self.processes:
                    process.clock.advance(0.5)  # type: ignore[attr-defined]
                await quiet(*self.processes)
                await asyncio.sleep(0.002)  # the past is read in threads
        for task in tasks:
            task.result()
        await super().heal()  # what was asked last has changed the document again
        self.collect()

    # -- what must hold -------------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        tokens = {token: writer.name for writer in self.writers for token in writer.tokens}
        first = self.first_shown(tokens)
        self.check_log(first)
        shown = str(self.writers[0].client.text)
        assert shown == self.log[-1].shown
        assert all(str(writer.client.text) == shown for writer in self.writers)
        assert all(token in first for writer in self.writers for token in writer.tokens), "a client's edit is nowhere"
        storage = memory_storage(self.database)
        verified = await verify(storage, "doc")
        assert verified is not None
        assert verified.difference is None
        assert verified.head == len(self.log)
        await self.check_authors(first)

    def first_shown(self, tokens: dict[str, str]) -> dict[str, int]:
        """The offset at which each token came."""
        first: dict[str, int] = {}
        for offset, told in enumerate(self.log, 1):
            for token in tokens:
                assert told.shown.count(token) <= 1, f"{token} is there twice behind entry {offset}"
                if token in told.shown:
                    first.setdefault(token, offset)
        return first

    def check_log(self, first: dict[str, int]) -> None:
        """Only restores and undos take anything away, and only what they are to take away; restores reach their target."""
        for offset, (before, told) in enumerate(zip([None, *self.log], self.log, strict=False), 1):
            was = before.shown if before is not None else ""
            gone = [token for token in first if token in was and token not in told.shown]
            cause = told.entry.cause
            if cause is None:
                assert not gone
                continue
            if cause.kind is CauseKind.RESTORE:
                there = self.log[cause.until - 1].shown if cause.until else ""
                assert all(first[token] <= told.base and token not in there for token in gone)
                assert all(token in told.shown for token in first if token in there)
                typed_since = "".join(token for token in first if told.base < first[token] < offset)
                assert len(told.shown) == len(there) + len(typed_since)
            else:
                assert cause.after is not None
                assert all(cause.after < first[token] <= cause.until for token in gone)
                assert {self.author_of(token, first[token]) for token in gone} <= {cause.author}

    def base_of(self, offset: int) -> int:
        rows = [row.record for row in self.database.tables.submitted.values() if row.record.offset == offset]
        return next((self.bases[record.id] for record in rows if record.id in self.bases), offset - 1)

    def author_of(self, token: str, offset: int) -> str | None:
        """Who sent it, unless they sent what may be others', in a SyncStep2: then whoever that Yjs client is bound to."""
        entry = self.log[offset - 1].entry
        if len({brought.client for brought in entry.ranges}) == 1 and entry.claims:
            return entry.author
        (client_id,) = [writer.client.client_id for writer in self.writers if token in writer.tokens]
        return self.database.clients("doc").get(client_id, None if entry.carries else entry.author)

    async def check_authors(self, first: dict[str, int]) -> None:
        """Who wrote what covers all that can be seen, once; what came back is theirs who wrote it."""
        process = self.processes[0]
        info = await process.storage.directory.info("doc")
        assert info is not None
        past, shown = self.pasts[process], self.log[-1].shown
        runs = json.loads(await past.blames.of(await past.moments.at(info, info.head.offset), None))
        credited: list[str | None] = []
        for run in runs:
            assert run["position"] == ["body", len(credited)]
            credited += [run["author"]] * run["length"]
        assert len(credited) == len(shown)
        for token, offset in first.items():
            if token in shown:
                at = shown.index(token)
                author = self.author_of(token, offset) if offset >= info.first_offset else None
                assert set(credited[at : at + len(token)]) == {author}, token


def _session(user: str, grant: Grant) -> Session:
    return Session(new_id(), "doc", Access(user, grant), 0)


async def _played(seed: int) -> HistorySimulation:
    simulation = HistorySimulation(seed)
    await simulation.start_process()
    await simulation.start_process()
    for _ in range(120):
        await simulation.step()
    await simulation.heal()
    try:
        await simulation.check()
        async with Process(memory_storage(simulation.database), LocalBroker()) as fresh:
            reader = await fresh.join(user="reader")
            await quiet(fresh)
            assert str(reader.client.text) == simulation.log[-1].shown
    finally:
        for process in list(simulation.processes):
            await simulation.end(process)
    return simulation


@pytest.mark.fuzz
@pytest.mark.rule("HV40", "HV42", "RS5", "RS7")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_history_while_everything_goes_wrong(seed: int) -> None:
    await _played(seed)


@pytest.mark.rule("HV40")
async def test_the_simulation_of_history_does_something() -> None:
    """A schedule in which nothing comes back or nothing goes would prove nothing."""
    causes = []
    for seed in (3, 5, 7):
        simulation = await _played(seed)
        causes += [told.entry.cause.kind for told in simulation.log if told.entry.cause is not None]
    assert min(causes.count(CauseKind.RESTORE), causes.count(CauseKind.UNDO)) > 1
