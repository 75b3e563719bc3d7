"""The values that the ports carry."""

from __future__ import annotations

import pytest

from cowrite.core.ports import AccessDenied, Grant, HistoryForgotten, StoreUnavailable
from cowrite.stores.memory import memory_storage


@pytest.mark.rule("RO8")
def test_each_grant_includes_those_before_it() -> None:
    order = [Grant.READ, Grant.COMMENT, Grant.WRITE, Grant.ADMIN]
    for held in order:
        assert [needed for needed in order if held.allows(needed)] == order[: order.index(held) + 1]


@pytest.mark.rule("RO8")
@pytest.mark.parametrize("known", [True, False])
def test_a_denial_tells_a_stranger_from_one_without_a_grant(known: bool) -> None:
    denied = AccessDenied("not yours", known=known)
    assert (str(denied), denied.known) == ("not yours", known)


@pytest.mark.rule("ST4")
def test_history_that_is_forgotten_says_from_where_on_it_is_kept() -> None:
    error = HistoryForgotten("doc", 17)
    assert (error.document_id, error.first_offset) == ("doc", 17)
    assert "from offset 17 on" in str(error)


@pytest.mark.rule("ST13")
async def test_a_closed_storage_says_so_in_all_its_parts() -> None:
    storage = memory_storage()
    await storage.close()
    for call in (storage.store.load("doc"), storage.directory.info("doc"), storage.access.changes(after=0)):
        with pytest.raises(StoreUnavailable):
            await call
