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
    """To its user in the document, whether it lasts or is that of a request."""
    ana = [
        Session(name, "doc", Access("ana", Grant.WRITE), 0, ends_at=end)
        for name, end in zip("abc", (10, 10, None), strict=True)
    ]
    others = Session("d", "doc", Access("ben", Grant.WRITE), 0), Session("e", "other", Access("ana", Grant.WRITE), 0)
    assert len({one.account for one in ana}) == 1
    assert len({one.account for one in (*ana, *others)}) == 3
