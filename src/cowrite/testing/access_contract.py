"""Every promise of the port ``AccessLog``, as tests. An adapter's own tests subclass :class:`AccessContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import AccessLog, Grant, InvalidId, Storage, StoreRefused, StoreUnavailable
from cowrite.core.records import AccessChange
from cowrite.testing.records import make_change, make_entry, make_session, new_id, write
from cowrite.testing.store_contract import StoreBackend

_HOUR = 3_600_000


class AccessContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database."""
        return await backend.open_storage()

    @pytest.fixture
    def access(self, storage: Storage) -> AccessLog:
        """Its access log."""
        return storage.access

    # ---- sessions ----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST42")
    async def test_session(self, backend: StoreBackend, access: AccessLog) -> None:
        """A session comes back equal in every field, on every process; also one with little in it, in a document that is not
        there.
        """
        sessions = [
            *(make_session(grant=grant) for grant in Grant),
            make_session(session_id="a", name=None, colour=None, issued_at=0),
            make_session(session_id="A", document_id="x" * 255, user_id="😀" * 255, name="n" * 255, ended_at=5),
        ]
        for session in sessions:
            await access.begin_session(session)
        other = (await backend.open_storage()).access
        assert [await other.session(session.session_id) for session in sessions] == sessions
        assert await other.session("á") is None
        assert await other.session("a ") is None

    @pytest.mark.rule("ST42")
    async def test_taken_session_id(self, access: AccessLog) -> None:
        """A session does not take another one's place."""
        session = make_session()
        await access.begin_session(session)
        with pytest.raises(StoreRefused, match=session.session_id):
            await access.begin_session(replace(session, user_id="eve"))
        assert await access.session(session.session_id) == session

    @pytest.mark.rule("ST42")
    async def test_update_session(self, access: AccessLog) -> None:
        """A session is prolonged, and its name, colour and grant are changed, as long as it has not ended; it does not change
        hands.
        """
        session, bystander = make_session(), make_session()
        await access.begin_session(session)
        await access.begin_session(bystander)
        longer = replace(session, expires_at=2**50, issued_at=7, grant=Grant.ADMIN, name=None, colour="red")
        for wrong in (make_session(), replace(longer, user_id="eve"), replace(longer, document_id="other")):
            assert not await access.update_session(wrong)
        assert await access.session(session.session_id) == session
        assert await access.update_session(replace(longer, ended_at=5))
        assert await access.session(session.session_id) == longer
        await access.end_session(session.session_id, 8)
        assert not await access.update_session(session)
        assert await access.session(session.session_id) == replace(longer, ended_at=8)
        assert await access.session(bystander.session_id) == bystander

    @pytest.mark.rule("ST42")
    async def test_end_session(self, backend: StoreBackend, access: AccessLog) -> None:
        """A session ends once, for all processes; one that is not there cannot end."""
        session, bystander = make_session(), make_session()
        await access.begin_session(session)
        await access.begin_session(bystander)
        other = (await backend.open_storage()).access
        await other.end_session(session.session_id, 5)
        await access.end_session(session.session_id, 6)
        await access.end_session(new_id(), 7)
        assert await access.session(session.session_id) == replace(session, ended_at=5)
        assert await access.session(bystander.session_id) == bystander
        late = make_session(ended_at=9)
        await access.begin_session(late)
        assert [await access.ended_sessions(since=since) for since in (5, 6, 10)] == [
            {session.session_id: 5, late.session_id: 9},
            {late.session_id: 9},
            {},
        ]

    # ---- tokens for one use ------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST43")
    async def test_used_once(self, backend: StoreBackend) -> None:
        """Of many that use a token at once, on several processes, exactly one is told that it could."""
        accesses = [(await backend.open_storage()).access for _ in range(3)]
        later = SystemClock().now() + _HOUR
        for jti in ("a", "A", "a ", new_id()):
            answers = await asyncio.gather(*(access.use_token(jti, later) for access in accesses for _ in range(4)))
            assert sorted(answers) == [False] * 11 + [True]
        assert not await accesses[0].use_token("a", later)

    @pytest.mark.rule("ST43")
    async def test_used_tokens_are_forgotten(self, access: AccessLog) -> None:
        """A used token is known for an hour after it has expired, and then forgotten."""
        now = SystemClock().now()
        for jti, expires_at in (("long ago", now - _HOUR - 60_000), ("just now", now - _HOUR + 600_000)):
            assert await access.use_token(jti, expires_at)
        assert await access.use_token("long ago", now)
        assert not await access.use_token("just now", now)

    # ---- changes -----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST44")
    async def test_changes(self, backend: StoreBackend, access: AccessLog) -> None:
        """Changes come back equal in every field, in the order of their revisions, which begin at 1."""
        changes = [
            make_change(),
            make_change(document_id=None, user_id=None, session_id=None, grant=None, reason=None, changed_by=""),
            make_change(grant=Grant.ADMIN, reason="r" * 1000, document_id="a", created_at=0),
            make_change(revision=77, document_id="A", user_id="á", session_id="a "),
        ]
        assert await access.changes(after=0) == ()
        assert [await access.change(change) for change in changes] == [1, 2, 3, 4]
        expected = [replace(change, revision=revision) for revision, change in enumerate(changes, 1)]
        other = (await backend.open_storage()).access
        for after in range(5):
            assert list(await other.changes(after=after)) == expected[after:]
        assert await other.changes(after=9) == ()

    @pytest.mark.rule("ST44")
    async def test_sent_twice(self, backend: StoreBackend, access: AccessLog) -> None:
        """A change that is sent again, because nobody knows whether it arrived, is there once."""
        change = make_change()
        assert await access.change(change) == 1
        assert await access.change(make_change()) == 2
        assert await (await backend.open_storage()).access.change(replace(change, reason="again")) == 1
        assert await access.change(make_change()) == 3
        assert (await access.changes(after=0))[0] == replace(change, revision=1)

    @pytest.mark.rule("ST44")
    async def test_no_gaps(self, backend: StoreBackend) -> None:
        """Writers on several processes get consecutive revisions, and no reader sees one before those that come before it."""
        storages = [await backend.open_storage() for _ in range(3)]
        written: list[int] = []

        async def writer(access: AccessLog, name: str) -> None:
            for _ in range(10):
                revision = await access.change(make_change(changed_by=name))
                written.append(revision)
                assert (await access.changes(after=revision - 1))[0].changed_by == name

        async def reader(access: AccessLog) -> None:
            seen: list[AccessChange] = []
            while len(seen) < 30:
                seen += await access.changes(after=len(seen))
                assert [change.revision for change in seen] == list(range(1, len(seen) + 1))
                await asyncio.sleep(0)

        writers = [writer(storage.access, f"writer {number}") for number, storage in enumerate(storages)]
        await asyncio.gather(*writers, *(reader(storage.access) for storage in storages))
        assert sorted(written) == list(range(1, 31))
        changes = await storages[0].access.changes(after=0)
        assert {change.changed_by for change in changes} == {"writer 0", "writer 1", "writer 2"}

    @pytest.mark.rule("ST45")
    async def test_transactions_know_the_revision(self, backend: StoreBackend, storage: Storage) -> None:
        """A transaction knows the revision as of its lock; the changes up to it can be read meanwhile."""
        async with storage.store.writing(["doc"]) as transaction:
            assert transaction.access_revision == 0
        other = (await backend.open_storage()).access
        for revision in (1, 2):
            assert await other.change(make_change()) == revision
            async with storage.store.writing(["doc", "other"]) as transaction:
                assert transaction.access_revision == revision
                assert len(await storage.access.changes(after=0)) == revision
        async with storage.store.writing([]) as transaction:
            assert transaction.access_revision == 2

    @pytest.mark.rule("ST45")
    @pytest.mark.parametrize("outcome", ["commit", "rollback"])
    async def test_changes_wait_for_transactions(self, backend: StoreBackend, storage: Storage, outcome: str) -> None:
        """A change returns only when the transactions that do not know it are over; whoever writes after it knows it."""
        other = await backend.open_storage()
        await write(storage.store, "doc", make_entry(1))

        async def transaction() -> None:
            async with storage.store.writing(["doc"]) as transaction:
                assert transaction.access_revision == 0
                changing.append(asyncio.create_task(other.access.change(make_change())))
                await asyncio.sleep(0.1)
                assert not changing[0].done()
                assert await storage.access.changes(after=0) == ()
                await transaction.append("doc", [make_entry(2)])
                if outcome == "rollback":
                    raise ZeroDivisionError

        changing: list[asyncio.Task[int]] = []
        if outcome == "commit":
            await transaction()
        else:
            with pytest.raises(ZeroDivisionError):
                await transaction()
        assert await changing[0] == 1
        async with other.store.writing(["doc"]) as after:
            assert after.access_revision == 1
            assert after.heads["doc"].offset == (2 if outcome == "commit" else 1)

    # ---- what is refused ---------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["a\0", "a\ud800", "x" * 1001], ids=lambda text: repr(text)[:10])
    async def test_invalid_texts(self, access: AccessLog, text: str) -> None:
        """Texts that no database can keep are refused by every call, and nothing is kept of it."""
        for field in ("session_id", "document_id", "user_id", "name", "colour"):
            session = make_session(**{field: text})
            with pytest.raises(InvalidId):
                await access.begin_session(session)
            with pytest.raises(InvalidId):
                await access.update_session(session)
        for field in ("id", "document_id", "user_id", "session_id", "changed_by", "reason"):
            with pytest.raises(InvalidId):
                await access.change(make_change(**{field: text}))
        for call in (access.session(text), access.end_session(text, 1), access.use_token(text, 1)):
            with pytest.raises(InvalidId):
                await call
        assert await access.changes(after=0) == ()

    @pytest.mark.rule("ST20")
    async def test_empty_ids(self, access: AccessLog) -> None:
        """An id has at least one character."""
        for field in ("session_id", "document_id", "user_id"):
            with pytest.raises(InvalidId, match="empty"):
                await access.begin_session(make_session(**{field: ""}))
        for field in ("id", "document_id", "user_id", "session_id"):
            with pytest.raises(InvalidId, match="empty"):
                await access.change(make_change(**{field: ""}))
        for call in (access.session(""), access.end_session("", 1), access.use_token("", 1)):
            with pytest.raises(InvalidId, match="empty"):
                await call

    @pytest.mark.rule("ST13")
    async def test_closed(self, storage: Storage) -> None:
        """Closing the storage closes all that it consists of."""
        await storage.close()
        await storage.close()
        for call in (
            storage.store.heads(["doc"]),
            storage.history.locate("doc", "a"),
            storage.access.session("a"),
            storage.access.change(make_change()),
            storage.directory.info("doc"),
        ):
            with pytest.raises(StoreUnavailable, match="closed"):
                await call
