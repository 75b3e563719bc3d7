"""What was more than a limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cowrite import crdt
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.excess import FAULTS, LIMITS, Excess
from cowrite.protocol.close_codes import CloseCode


@pytest.mark.rule("LM3")
def test_updates_that_no_editor_makes_are_counted_by_what_is_wrong_with_them() -> None:
    excess = Excess()
    for fault in ("depth", "depth", None, "count"):
        excess.refused(PeerError(CloseCode.HOSTILE_UPDATE, "why", fault=fault))
    excess.refused(RoomClosed(CloseCode.DOCUMENT_REBUILT, "why"))
    assert {fault: number for fault, number in excess.faults.items() if number} == {"depth": 2, "count": 1}
    assert excess.faults.keys() == FAULTS


@pytest.mark.rule("LM3")
def test_all_words_of_the_guard_are_known() -> None:
    """So that each is told from the start, as 0: a rate is seen at the first one."""
    sources = [path.read_text() for path in Path(crdt.__file__).parent.glob("*.py")]
    refusing = [source for source in sources if re.search(r"import .*\bHostileUpdate\b", source)]
    words = {word for source in refusing for word in re.findall(r'(?:_refuse|HostileUpdate)\(\s*"(\w+)"', source)}
    assert words | {"engine"} == FAULTS


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
