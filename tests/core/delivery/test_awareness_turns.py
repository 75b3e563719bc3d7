"""The peers of a large room take turns in being told who points where."""

from __future__ import annotations

import random

import pytest

from core.delivery.broadcast_tools import Dialect, Member
from cowrite.core.delivery.awareness_turns import AwarenessTurns
from cowrite.protocol.awareness import AwarenessEntry


def members(count: int, dialect: Dialect) -> list[Member]:
    """Peers that come one after the other."""
    return [Member(dialect) for _ in range(count)]


def at(client_id: int, clock: int) -> AwarenessEntry:
    return AwarenessEntry(client_id, clock, f'{{"n":{clock}}}')


@pytest.mark.rule("AW23")
def test_each_turn_tells_some_what_has_moved_since_their_last() -> None:
    turns, dialect = AwarenessTurns(), Dialect()
    here = members(6, dialect)
    peers = [member.peer for member in here]
    turns.add([at(1, 1)])
    turns.send(peers, 3)  # there were fewer turns: all are told
    assert [member.states for member in here] == [[(at(1, 1),)]] * 6
    assert not turns
    turns.add([at(1, 2), at(2, 1)])
    encoded = len(dialect.encoded)
    sizes = [turns.send(peers, 3)]
    assert sum(len(member.states) == 2 for member in here) == 2
    turns.add([at(2, 2), at(2, 3)])
    assert turns
    sizes += [turns.send(peers, 3), turns.send(peers, 3)]
    assert turns, "the first have not been told of the last move"
    assert sizes[1] == sizes[2] > 0
    turns.send(peers, 3)
    assert not turns
    assert len(dialect.encoded) - encoded == 4
    newest = [{entry.client_id: entry for told in member.states for entry in told} for member in here]
    assert newest == [{1: at(1, 2), 2: at(2, 3)}] * 6
    assert sorted(len(member.states) for member in here) == [2, 2, 2, 2, 3, 3]


@pytest.mark.rule("AW23")
@pytest.mark.parametrize("seed", range(20))
def test_whoever_comes_and_however_many_turns_there_are_nobody_misses_the_newest(seed: int) -> None:
    chance = random.Random(seed)
    turns, dialect, here = AwarenessTurns(), Dialect(), members(3, Dialect())
    newest: dict[int, AwarenessEntry] = {}
    known: dict[Member, dict[int, AwarenessEntry]] = {}
    count = 1
    for clock in range(1, 60):
        moved = [at(client, clock) for client in chance.sample(range(9), chance.randrange(4))]
        newest |= {entry.client_id: entry for entry in moved}
        turns.add(moved)
        if chance.random() < 0.2:
            here += members(1, dialect)
            known[here[-1]] = dict(newest)  # whoever comes is told of all
        if chance.random() < 0.2:
            count = chance.randrange(1, 5)
        if chance.random() < 0.7:
            turns.send([member.peer for member in here], count)
    while turns:
        turns.send([member.peer for member in here], count)
    for member in here:
        told = {entry.client_id: entry for told in member.states for entry in told}
        assert known.get(member, {}) | told == newest
