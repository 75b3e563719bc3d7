"""The targets of ``make fuzz``: the committed corpus, and a little seeded damage to it."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from fuzz import corpus
from fuzz.expense import LOOP_SECONDS, MEMORY_BYTES, Expense, expense
from fuzz.mutation import attack, damaged, mutations
from fuzz.targets import NAMES, load

from timing import MS
from yjs_replicas import FUZZ

DAMAGED = 75 * FUZZ


@pytest.mark.fuzz
@pytest.mark.rule("HB1")
@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds(name: str) -> None:
    """Whatever the bytes: a decoder's own errors, or something that means the same when it is written again."""
    target = load(name)
    some = corpus.begin(name)
    for data in some:
        target.check(data)
    for data in islice(mutations(1, some, max_bytes=target.MAX_BYTES), DAMAGED):
        spent = expense(lambda data=data: target.check(data))  # type: ignore[misc]
        assert spent.seconds < 1000 * MS
        assert spent.grown < MEMORY_BYTES


def test_a_finding_is_told_with_its_bytes() -> None:
    """An attack ends at the first thing that does not hold."""

    def check(data: bytes) -> None:
        assert b"\x01" not in data

    with pytest.raises(AssertionError) as found:
        attack(check, iter([b"\0", b"\0\x01"]), seconds=60)
    assert found.value.__notes__ == ["bytes: 0001"]


def test_damage_comes_again_with_its_seed() -> None:
    some = [b"hello", b"world"]
    first, again = (list(islice(mutations(7, some, max_bytes=9), 50)) for _ in range(2))
    assert first == again
    assert len(set(first)) > 25
    assert max(map(len, first)) <= 9
    assert damaged(random.Random(1), b"", [b""]) is not None


def test_expenses_are_measured() -> None:
    def allocate() -> None:
        assert len(bytearray(3 * MEMORY_BYTES)) > 0

    assert expense(allocate).grown > 0
    assert Expense(2 * LOOP_SECONDS, 0).excessive
    assert Expense(0, 2 * MEMORY_BYTES).excessive
    assert not Expense(LOOP_SECONDS / 2, 0).excessive


def test_the_committed_corpus_is_small() -> None:
    """Of each target some; the shortest that were found."""
    assert sum(path.stat().st_size for path in corpus.COMMITTED.iterdir()) <= 300 << 10
    assert {path.stem for path in corpus.COMMITTED.iterdir()} <= set(NAMES)
    assert all(corpus.committed(name) for name in NAMES)
    assert corpus.select([b"aaa", b"b", b"b", b"cc"], size=3) == [b"b", b"cc"]
