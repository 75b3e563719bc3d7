"""Plans, and who does what in them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cowrite.loadtest import LoadError, Plan, Protocol
from cowrite.loadtest.option_values import protocols, size
from cowrite.loadtest.plan import plan_from_json, plan_to_json, roles, storm_roles

HERE = "http://127.0.0.1:8000"


@pytest.mark.rule("LG1")
def test_a_mix_is_spread_evenly() -> None:
    """Over the people of each document, those who type and those who do not."""
    plan = Plan(url=HERE, protocols=protocols("yjs", "yjs=70, poll=20, json=10"), documents=2, people=40, typing=10)
    everybody = roles(plan)
    for document in plan.document_ids:
        here = [role for role in everybody if role.document == document]
        assert Counter(role.protocol for role in here) == {Protocol.YJS: 28, Protocol.POLL: 8, Protocol.JSON: 4}
        assert Counter(role.protocol for role in here if role.types) == {Protocol.YJS: 7, Protocol.POLL: 2, Protocol.JSON: 1}
    assert sum(role.sampled for role in everybody) == 80
    assert [role.number for role in everybody] == list(range(80))


@pytest.mark.rule("LG5")
def test_replicas_are_readers_and_few() -> None:
    """Two in each document, twenty in all; who speaks no Yjs keeps none."""
    plan = Plan(url=HERE, protocols={Protocol.YJS: 1, Protocol.JSON: 1}, documents=15, people=6, typing=1)
    keepers = [role for role in roles(plan) if role.keeps]
    assert len(keepers) == 20
    assert not any(role.types or role.protocol is Protocol.JSON for role in keepers)
    assert sum(role.keeps for role in storm_roles(Plan(url=HERE, join_storm=5))) == 2


def test_a_plan_for_another_process() -> None:
    """Comes out as it went in."""
    plan = Plan(url=HERE, protocols={Protocol.POLL: 2, Protocol.YJS: 1}, sources=("127.0.0.2",), secret="s")
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.rule("LG13")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "127.0.0.1:8000"}, "is no address of a server"),
        ({"url": "ws://h/", "protocols": {Protocol.POLL: 1}}, "is that of one protocol"),
        ({"url": "ws://h/", "protocols": {Protocol.YJS: 1, Protocol.HOCUSPOCUS: 1}}, "is that of one protocol"),
        ({"protocols": {Protocol.YJS: 0.0}}, "a share above 0"),
        ({"people": 0}, "people is 0; it is at least 1"),
        ({"join_storm": -1}, "join-storm is -1"),
        ({"rate": -1.0}, "rate is -1.0"),
        ({"seconds": 0.0}, "something has to be measured"),
        ({"token": "a", "secret": "b"}, "one of them says who comes"),
        ({"typing": 11}, "11 are to type, of 10 people"),
        ({"prefix": "ä" * 62, "protocols": {Protocol.HOCUSPOCUS: 1}}, "names would have 126 bytes, and 125 at most"),
    ],
)
def test_plans_that_make_no_sense(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(LoadError, match=says):
        Plan(**{"url": HERE, **wrong})


@pytest.mark.rule("LG13")
def test_words() -> None:
    """Sizes and mixes as people write them."""
    assert [size(text) for text in ("0", "200K", "4M", "4Mi", "1.5 mb")] == [0, 200_000, 4_000_000, 4 << 20, 1_500_000]
    for wrong in ("4 X", "-1", ""):
        with pytest.raises(LoadError, match="no size"):
            size(wrong)
    for wrong, says in (("yjs=70,poll", "no share"), ("tcp=1", "no protocol")):
        with pytest.raises(LoadError, match=says):
            protocols("yjs", wrong)
    with pytest.raises(LoadError, match="there are yjs, hocuspocus, json, poll"):
        protocols("smtp", None)
