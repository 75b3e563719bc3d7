"""How many connections a user and a session may have."""

from __future__ import annotations

import pytest

from cowrite.core.errors import RoomClosed
from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.access import AccessControl, Follower
from cowrite.core.sessions.session import Session
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock


def follower() -> Follower:
    return lambda session: None


@pytest.mark.rule("LM1")
def test_no_more_than_so_many() -> None:
    """Of a user in all documents, and of one session; who goes makes room, and who goes twice makes it once."""
    clock, excess = ManualClock(), Excess()
    storage = memory_storage(MemoryDatabase(clock))
    control = AccessControl(storage.access, clock, Limits(user_sockets=3, session_sockets=2), excess)
    ids = Ids(clock)

    def session(user: str, document: str) -> Session:
        return Session(ids.new(), document, Access(user, Grant.WRITE), clock.now())

    ana, elsewhere, ben = session("ana", "d"), session("ana", "e"), session("ben", "d")
    told = [follower() for _ in range(3)]
    control.follow(ana, told[0])
    control.follow(ana, told[1])
    with pytest.raises(RoomClosed, match="2 connections of this session are open already") as refused:
        control.follow(ana, told[2])
    assert refused.value.code is CloseCode.TOO_FAST
    control.follow(elsewhere, told[0])
    with pytest.raises(RoomClosed, match="3 connections of this user are open already"):
        control.follow(session("ana", "f"), told[0])
    control.follow(ben, told[0])
    control.unfollow(ana, told[1])
    control.unfollow(ana, told[1])
    control.follow(elsewhere, told[1])
    with pytest.raises(RoomClosed):
        control.follow(ana, told[1])
    assert (excess.counts["session_sockets"], excess.counts["user_sockets"]) == (1, 2)
