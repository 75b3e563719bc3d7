"""The store in memory: the contract, and the failures that it can be told to have."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import get_args

import pytest

from cowrite.core.ports import CommitDoubtful, Storage, Store, StoreBusy, StoreRefused, StoreUnavailable
from cowrite.core.ports.webhooks import Message
from cowrite.core.records import Checkpoint
from cowrite.stores.memory import Call, MemoryDatabase, memory_storage
from cowrite.testing.records import (
    fill,
    make_change,
    make_entry,
    make_operation,
    make_quarantined,
    make_session,
    make_submitted,
    make_version,
    new_id,
    write,
)
from cowrite.testing.store_contract import StoreBackend, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def backend(self, memory: StoreBackend) -> StoreBackend:
        return memory


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
def storage(database: MemoryDatabase) -> Storage:
    return memory_storage(database)


@pytest.fixture
def store(storage: Storage) -> Store:
    return storage.store


async def everything(storage: Storage, document_id: str = "doc") -> None:
    """Every call of the ports once."""
    store, history, access, directory = storage.store, storage.history, storage.access, storage.directory
    await store.load(document_id)
    await store.heads([document_id])
    await store.entries(document_id, start=1, limit=1)
    await store.clients(document_id)
    async with store.writing([document_id]) as transaction:
        entry = make_entry(transaction.heads[document_id].offset + 1)
        await transaction.entries(document_id, start=1)
        await transaction.submitted(["a"])
        await transaction.own_updates(document_id, "session 1", after=0)
        await transaction.append(document_id, [entry], [make_submitted(document_id, entry)])
        await transaction.renew_epoch(document_id, new_id())
        await transaction.quarantine([make_quarantined(document_id)])
    await store.save_checkpoint(document_id, Checkpoint(1, "x", b"", {}))
    await history.load_at(document_id, 1)
    await history.damaged_checkpoints(document_id)
    await history.locate(document_id, "a")
    await history.operations(document_id, after=0, limit=1, size=1)
    await history.last_operation(document_id, until=1)
    await history.offset_at(document_id, 1)
    await history.authored(document_id, after=0, limit=1)
    await history.activity(document_id, before=None, pause=1, limit=1)
    version = make_version(document_id=document_id)
    await storage.versions.add(version)
    await storage.versions.list(document_id)
    await storage.versions.get(document_id, version.id)
    await storage.versions.change(version)
    await storage.versions.remove(document_id, version.id)
    await storage.versions.thin(document_id, now=1, keep=(), older=None)
    session = make_session(document_id=document_id)
    await access.begin_session(session)
    await access.session(session.session_id)
    await access.update_session(session)
    await access.end_session(session.session_id, 1)
    await access.ended_sessions(since=0)
    await access.use_token(new_id(), 2**50)
    await access.change(make_change(document_id=document_id))
    await access.changes(after=0)
    await directory.list(after=None, limit=1)
    await directory.info(document_id)
    name = new_id()
    await directory.create(name)
    await directory.delete(name, make_change(document_id=name))
    await directory.undelete(name, make_change(document_id=name))
    await storage.erasure.forget(name, Checkpoint(1, "x", b"", {}))
    await storage.erasure.purge(name, deleted_before=1, at=1)
    await storage.erasure.purgeable(deleted_before=1, limit=1)
    await storage.erasure.unfinished()
    await storage.erasure.finish(name)
    await storage.erasure.recreate(name, make_change(document_id=name))
    await storage.erasure.retired_clients(name)
    await everything_told(storage, name)


async def everything_told(storage: Storage, name: str) -> None:
    log, message = storage.webhooks, Message("x", name, "document.changed", "{}", 0)
    assert log is not None
    await log.begin()
    await log.waiting(limit=1, thorough=True)
    await log.claim(name, "one", seconds=1.0, wanted=(), write=lambda _: ("x", "{}"))
    await log.claim_dead("x")
    await log.sent(message, "one")
    await log.failed(message, "one", reason="no", again=None)
    await log.dead()
    await log.dead_letter("x")
    await log.count_dead()
    await log.retry("x")
    await log.drop("x")


CALLS: tuple[Call, ...] = get_args(Call)


@pytest.mark.rule("ST34")
@pytest.mark.parametrize("call", CALLS)
async def test_fail_next(database: MemoryDatabase, storage: Storage, call: Call) -> None:
    """A call fails as it was told to, as often as was told, without effect; then it works again."""
    await everything(storage)
    database.fail_next(call, StoreBusy("told to"), times=2)
    for _ in range(2):
        held = database.hold_next(call)
        failing = asyncio.create_task(everything(storage))
        await held.reached.wait()
        before = deepcopy(database.tables)
        held.release()
        with pytest.raises(StoreBusy, match="told to"):
            await failing
        assert database.tables == before
    await everything(storage)


@pytest.mark.rule("ST34")
async def test_fail_one_document(database: MemoryDatabase, store: Store) -> None:
    """A failure of one document spares the others."""
    database.fail_next("append", StoreRefused("told to"), document_id="b")
    await write(store, "a", make_entry(1))
    with pytest.raises(StoreRefused):
        await write(store, "b", make_entry(1))
    await write(store, "b", make_entry(1))


@pytest.mark.rule("ST34")
async def test_doubtful_commit(database: MemoryDatabase, store: Store) -> None:
    """A doubtful COMMIT has happened or not, as was told; the caller gets the same exception."""
    for applied, offset in ((False, 0), (True, 1)):
        database.fail_next("commit", CommitDoubtful("connection lost"), applied=applied)
        with pytest.raises(CommitDoubtful):
            await write(store, "doc", make_entry(1))
        assert (await store.heads(["doc"]))["doc"].offset == offset
    with pytest.raises(ValueError, match="Only a commit"):
        database.fail_next("append", CommitDoubtful(""), applied=True)


@pytest.mark.rule("ST34")
async def test_unavailable(database: MemoryDatabase, storage: Storage, store: Store) -> None:
    """While the database is unavailable nothing works and nothing is lost, also not what a transaction had begun."""
    entry = make_entry(1)
    await write(store, "doc", entry)

    async def interrupted() -> None:
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [make_entry(2)])
            database.unavailable = True

    with pytest.raises(StoreUnavailable):
        await interrupted()
    for call in (store.load("doc"), store.heads(["doc"]), everything(storage)):
        with pytest.raises(StoreUnavailable):
            await call
    database.unavailable = False
    assert await store.entries("doc", start=1, limit=5) == (entry,)
    assert database.commits == 1
    await everything(storage)


@pytest.mark.rule("ST34")
async def test_hold(database: MemoryDatabase, store: Store) -> None:
    """A held call waits until it is released, and holds are used one after the other."""
    first, second = database.hold_next("commit"), database.hold_next("commit")
    second.release()
    writing = asyncio.create_task(write(store, "doc", make_entry(1)))
    await first.reached.wait()
    assert (await store.heads(["doc"]))["doc"].offset == 0
    assert not second.reached.is_set()
    first.release()
    await writing
    await write(store, "doc", make_entry(2))
    assert second.reached.is_set()
    assert (await store.heads(["doc"]))["doc"].offset == 2


@pytest.mark.rule("ST34")
async def test_refuse(database: MemoryDatabase, store: Store) -> None:
    """Entries that the test points out are refused; the transaction can go on without them."""
    bad = make_entry(1, author="bad")
    database.refuse = lambda document_id, entry: document_id == "doc" and entry.author == "bad"
    async with store.writing(["doc", "other"]) as transaction:
        with pytest.raises(StoreRefused, match=bad.id):
            await transaction.append("doc", [bad])
        await transaction.append("other", [bad])
        await transaction.append("doc", [make_entry(1)])


@pytest.mark.rule("ST6")
async def test_operation_id_twice_in_one_transaction(store: Store) -> None:
    """Also within one transaction an operation's id is taken once."""
    operation = make_operation()
    with pytest.raises(StoreRefused, match="taken"):
        await write(store, "doc", make_entry(1, operations=(operation, operation)))


@pytest.mark.rule("ST8")
async def test_waiting_is_cancelled(store: Store) -> None:
    """A writer that is cancelled while it waits for a lock gives back those that it has."""
    await fill(store, "a", number=1)
    async with store.writing(["b"]):
        waiting = asyncio.create_task(write_both(store))
        await asyncio.sleep(0.01)
        async with store.writing(["a"]) as transaction:
            assert not transaction.heads
        waiting.cancel()
        await asyncio.wait([waiting])
        async with store.writing(["a"]) as transaction:
            assert transaction.heads


@pytest.mark.rule("ST45")
async def test_change_gives_up(monkeypatch: pytest.MonkeyPatch, storage: Storage) -> None:
    """A change that waits too long for a transaction is told that it could not be made, and is not."""
    monkeypatch.setattr("cowrite.stores.memory.database._PATIENCE", 0.01)
    async with storage.store.writing(["doc"]):
        for call in (storage.access.change(make_change()), storage.directory.delete("doc", make_change())):
            with pytest.raises(StoreBusy):
                await call
    assert await storage.access.changes(after=0) == ()
    assert await storage.access.change(make_change()) == 1


async def write_both(store: Store) -> None:
    async with store.writing(["a", "b"], wait=5):
        pytest.fail("entered")
