"""What was more than a limit."""

from __future__ import annotations

import pytest

from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.excess import LIMITS, Excess
from cowrite.protocol.close_codes import CloseCode


@pytest.mark.rule("LM3")
def test_updates_that_no_editor_makes_are_counted_by_what_is_wrong_with_them() -> None:
    excess = Excess()
    for fault in ("depth", "depth", None, "count"):
        excess.refused(PeerError(CloseCode.HOSTILE_UPDATE, "why", fault=fault))
    excess.refused(RoomClosed(CloseCode.DOCUMENT_REBUILT, "why"))
    assert excess.faults == {"depth": 2, "count": 1}


@pytest.mark.rule("LM3")
def test_counted_by_limit() -> None:
    """Each limit begins at 0; codes that are not about limits are not counted."""
    excess = Excess()
    assert excess.counts == dict.fromkeys(LIMITS, 0)
    for limit in ("user_sockets", "too_large", "unauthorized"):
        excess.count(limit)
    for code in (CloseCode.TOO_FAST, CloseCode.FORBIDDEN, CloseCode.HOSTILE_UPDATE, CloseCode.CONTRADICTING_CONTENT, 1000):
        excess.closed(code)
    assert {limit: count for limit, count in excess.counts.items() if count} == {
        "user_sockets": 1,
        "too_large": 1,
        "too_fast": 1,
        "hostile_update": 1,
        "contradicting_content": 1,
    }
