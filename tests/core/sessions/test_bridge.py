"""Sessions: opened, renewed, ended, and known again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cowrite.core.ids import Ids
from cowrite.core.ports import Access, AccessDenied, Grant, StoreUnavailable
from cowrite.core.records import AccessChange
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.bridge import RENEWAL_SECONDS, SESSION_MILLISECONDS, SessionBridge
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.tokens import AccessTokens, generate_secret, parse_secrets

NOW = 1_790_000_000_000
KEYS = parse_secrets(generate_secret())


@dataclass
class Host:
    """The host application: what it answers to each token."""

    answers: dict[str | None, Access] = field(default_factory=dict)

    async def __call__(self, token: str | None, document_id: str) -> Access:
        if token not in self.answers:
            raise AccessDenied("The token is not valid.", known=False)
        return self.answers[token]


class Desk:
    """One process of a deployment."""

    def __init__(self, database: MemoryDatabase, clock: ManualClock, host: Host) -> None:
        self.storage = memory_storage(database)
        self.access = AccessControl(self.storage.access, clock)
        ids = Ids(clock)
        self.bridge = SessionBridge(host, AccessTokens(KEYS, clock), self.storage.access, self.access, clock, ids)
        self.ids = ids


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=NOW)


@pytest.fixture
def host() -> Host:
    return Host({"ana": Access("ana", Grant.WRITE, "Ana", "#123456", issued_at=NOW - 1000, expires_at=NOW + 3_600_000)})


@pytest.fixture
def desks(clock: ManualClock, host: Host) -> list[Desk]:
    database = MemoryDatabase(clock)
    return [Desk(database, clock, host) for _ in range(2)]


@pytest.mark.rule("SB1")
async def test_a_token_is_exchanged_for_a_session_that_all_processes_know(desks: list[Desk]) -> None:
    one, other = desks
    admission = await one.bridge.connect("ana", "doc")
    assert (admission.expires_at, admission.session_ends_at) == (NOW + 600_000, NOW + 3_600_000)
    record = await other.storage.access.session(admission.session.id)
    assert record is not None
    assert (record.user_id, record.document_id, record.grant, record.issued_at) == ("ana", "doc", Grant.WRITE, NOW - 1000)
    for desk in desks:
        session = desk.bridge.resume(admission.access_token)
        assert (session.id, session.author, session.document_id) == (admission.session.id, "ana", "doc")
        assert (session.access.name, session.access.colour, session.decided_at) == ("Ana", "#123456", NOW - 1000)
        assert session.ends_at == NOW + 3_600_000
    with pytest.raises(AccessDenied):
        await one.bridge.connect("eve", "doc")


@pytest.mark.rule("SB1")
async def test_an_access_without_an_end_makes_a_session_of_some_hours(desks: list[Desk], host: Host) -> None:
    host.answers[None] = Access("guest", Grant.READ)
    admission = await desks[0].bridge.connect(None, "doc")
    assert admission.session_ends_at == NOW + SESSION_MILLISECONDS
    assert admission.session.decided_at == NOW


@pytest.mark.rule("SB2")
async def test_a_token_for_a_single_use(desks: list[Desk], host: Host) -> None:
    one, other = desks
    for token, end in (("once", NOW + 60_000), ("endless", None)):
        host.answers[token] = Access("ana", Grant.WRITE, issued_at=NOW, expires_at=end, token_id=one.ids.new(), single_use=True)
        with pytest.raises(AccessDenied, match="exchange it") as caught:
            await one.bridge.enter(token, "doc")
        assert caught.value.known
        await one.bridge.connect(token, "doc")
        renewed = await one.bridge.connect("ana", "doc")
        for desk in (one, other):
            for again in (desk.bridge.connect(token, "doc"), desk.bridge.refresh(renewed.access_token, token)):
                with pytest.raises(AccessDenied) as caught:
                    await again
                assert not caught.value.known


@pytest.mark.rule("SB2")
async def test_what_fails_uses_no_token_up(desks: list[Desk], host: Host) -> None:
    one = desks[0]
    host.answers["once"] = Access("ana", Grant.WRITE, issued_at=NOW, token_id=one.ids.new(), single_use=True)

    async def fail() -> None:
        raise StoreUnavailable("not now")

    with pytest.raises(StoreUnavailable):
        await one.bridge.connect("once", "doc", fail)
    assert (await one.bridge.connect("once", "doc")).session.author == "ana"


@pytest.mark.rule("SB3")
async def test_a_renewed_grant_counts_wherever_the_session_is_known(desks: list[Desk], host: Host, clock: ManualClock) -> None:
    one, other = desks
    admission = await one.bridge.connect("ana", "doc")
    known = other.bridge.resume(admission.access_token)
    clock.advance(10)
    host.answers["newer"] = Access("ana", Grant.READ, issued_at=NOW + 5000, expires_at=NOW + 3_600_000)
    renewed = await one.bridge.refresh(admission.access_token, "newer")
    assert known.may(Grant.WRITE)
    assert other.bridge.resume(renewed.access_token) is known
    assert not known.may(Grant.WRITE)


@pytest.mark.rule("SB3")
async def test_renewal(desks: list[Desk], clock: ManualClock, host: Host) -> None:
    one, other = desks
    first = await one.bridge.connect("ana", "doc")
    clock.advance(1200)
    with pytest.raises(AccessDenied):
        other.bridge.resume(first.access_token)
    second = await other.bridge.refresh(first.access_token)
    assert second.session.id == first.session.id
    assert second.expires_at == NOW + 1_800_000
    assert other.bridge.resume(second.access_token) is second.session
    host.answers["newer"] = Access("ana", Grant.COMMENT, issued_at=NOW + 1_200_000, expires_at=NOW + 7_200_000)
    third = await other.bridge.refresh(second.access_token, "newer")
    assert (third.session_ends_at, third.session.grant) == (NOW + 7_200_000, Grant.COMMENT)
    record = await one.storage.access.session(third.session.id)
    assert record is not None
    assert (record.grant, record.expires_at) == (Grant.COMMENT, NOW + 7_200_000)
    host.answers["ben"] = Access("ben", Grant.WRITE)
    with pytest.raises(AccessDenied, match="another user's"):
        await other.bridge.refresh(third.access_token, "ben")
    clock.advance(6000)
    with pytest.raises(AccessDenied, match="has ended"):
        await one.bridge.refresh(third.access_token)
    clock.advance(RENEWAL_SECONDS)
    with pytest.raises(AccessDenied, match="not valid"):
        await one.bridge.refresh(third.access_token)


@pytest.mark.rule("SB4")
async def test_a_session_that_was_ended(desks: list[Desk], host: Host) -> None:
    one, other = desks
    admission = await one.bridge.connect("ana", "doc")
    for desk in (other, one, one):
        assert (await desk.bridge.disconnect(admission.access_token)).id == admission.session.id
        with pytest.raises(AccessDenied, match="has ended"):
            desk.bridge.resume(admission.access_token)
        with pytest.raises(AccessDenied, match="has ended"):
            await desk.bridge.enter(admission.access_token, "doc")
    host.answers["newer"] = host.answers["ana"]
    for session_token in (None, "newer"):
        with pytest.raises(AccessDenied, match="has ended"):
            await one.bridge.refresh(admission.access_token, session_token)
    with pytest.raises(AccessDenied):
        await one.bridge.disconnect("no token")


@pytest.mark.rule("SB4")
async def test_a_session_that_ends_while_it_is_renewed(desks: list[Desk], host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one = desks[0]
    admission = await one.bridge.connect("ana", "doc")
    host.answers["newer"] = host.answers["ana"]
    ask = one.bridge._ask

    async def meanwhile(token: str | None, document_id: str) -> Access:
        # Ended a moment ago by another process, whose news has not come.
        await desks[1].storage.access.end_session(admission.session.id, NOW)
        return await ask(token, document_id)

    monkeypatch.setattr(one.bridge, "_ask", meanwhile)
    with pytest.raises(AccessDenied, match="has ended"):
        await one.bridge.refresh(admission.access_token, "newer")


@pytest.mark.rule("SB5")
async def test_connections_of_one_session_share_it(desks: list[Desk]) -> None:
    one, other = desks
    admission = await one.bridge.connect("ana", "doc")
    sessions = [await one.bridge.enter(admission.access_token, document) for document in ("doc", None)]
    assert all(session is admission.session for session in sessions)
    with pytest.raises(AccessDenied) as caught:
        await one.bridge.enter(admission.access_token, "other")
    assert caught.value.known
    direct = await one.bridge.enter("ana", "doc")
    assert direct is not admission.session
    with pytest.raises(AccessDenied):
        await one.bridge.enter("ana", None)
    await other.storage.access.change(AccessChange(one.ids.new(), "admin", NOW, "doc"))
    await one.access.catch_up()
    for enter in (one.bridge.enter(admission.access_token, "doc"), one.bridge.enter("ana", "doc")):
        with pytest.raises(AccessDenied, match="revoked"):
            await enter
    with pytest.raises(AccessDenied, match="revoked"):
        await other.bridge.connect("ana", "doc")


@pytest.mark.rule("SB6")
async def test_a_token_is_decrypted_once(desks: list[Desk], clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    one = desks[1]
    admission = await desks[0].bridge.connect("ana", "doc")
    session = one.bridge.resume(admission.access_token)
    verify = AccessTokens.verify
    monkeypatch.setattr(AccessTokens, "verify", None)
    assert one.bridge.resume(admission.access_token) is session
    monkeypatch.setattr(AccessTokens, "verify", verify)
    clock.advance(631)
    with pytest.raises(AccessDenied):
        one.bridge.resume(admission.access_token)


@pytest.mark.rule("SB6")
async def test_only_so_many_are_remembered(desks: list[Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowrite.core.sessions.bridge._MAX_KNOWN", 2)
    bridge = desks[0].bridge
    admissions = [await bridge.connect("ana", "doc") for _ in range(4)]
    assert len(bridge._known) <= 2
    for admission in admissions:
        assert bridge.resume(admission.access_token).id == admission.session.id
    assert len(bridge._by_id) <= 2
