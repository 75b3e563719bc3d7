"""What a session may do."""

from __future__ import annotations

import pytest

from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.session import Session


def session(grant: Grant) -> Session:
    return Session("0192", "doc", Access("ana", grant), 1_790_000_000_000)


@pytest.mark.rule("AK10")
@pytest.mark.parametrize("granted", Grant)
@pytest.mark.parametrize("needed", Grant)
def test_a_grant_includes_the_ones_before_it(granted: Grant, needed: Grant) -> None:
    order = [Grant.READ, Grant.COMMENT, Grant.WRITE, Grant.ADMIN]
    assert session(granted).may(needed) is (order.index(granted) >= order.index(needed))


def test_edits_are_stored_under_the_user_id() -> None:
    assert session(Grant.WRITE).author == "ana"


@pytest.mark.rule("SU16", "LM8")
def test_what_a_session_costs_is_charged() -> None:
    """To itself where it lasts; what a request begins for itself, to its user in the document."""
    kept, again = (Session(name, "doc", Access("ana", Grant.WRITE), 0, ends_at=10) for name in ("a", "b"))
    request, another = (Session(name, "doc", Access("ana", Grant.WRITE), 0) for name in ("c", "d"))
    elsewhere = Session("e", "other", Access("ana", Grant.WRITE), 0)
    assert request.account == another.account
    assert len({one.account for one in (kept, again, request, elsewhere)}) == 4
