"""The values that the ports carry."""

from __future__ import annotations

import pytest

from cowrite.core.ports import AccessDenied, Grant


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
