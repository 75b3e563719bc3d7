"""What a damaged document takes from a grant."""

from __future__ import annotations

import pytest

from cowrite.core.damaged import Damaged, granted, may_write
from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.session import Session


@pytest.mark.rule("RE51")
@pytest.mark.parametrize("grant", [*Grant, None])
def test_it_is_read_whatever_was_granted(grant: Grant | None) -> None:
    """Who had nothing (any more) has nothing; and the session's own grant is what it was."""
    session = Session("s", "doc", Access("ana", Grant.ADMIN), 0)
    session.grant = grant
    assert (granted(session, None), may_write(session, None)) == (grant, grant in {Grant.WRITE, Grant.ADMIN})
    assert (granted(session, Damaged(2)), may_write(session, Damaged(2))) == (Grant.READ if grant else None, False)
    assert session.grant is grant
