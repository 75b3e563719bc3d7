"""Updates on their way to the disk."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import cast

import pytest

from cowrite.core.delivery.peer import Peer
from cowrite.core.limits import Limits
from cowrite.core.rooms.pending import Backlog, PendingUpdates
from cowrite.core.rooms.received import Received
from cowrite.crdt.outline import Outline

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))
NOBODY = cast("Peer", None)  # whose they are is not looked at here
NOTHING = Outline((), (), (), {})


def update(size: int = 10) -> Received:
    return Received(b"." * size, NOTHING, NOBODY, 0, False)


def pending(*sizes: int, backlog: Backlog | None = None) -> PendingUpdates:
    updates = PendingUpdates(backlog if backlog is not None else Backlog())
    for size in sizes:
        updates.put(update(size))
    return updates


# ---- how much may wait ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AK30")
def test_the_bytes_of_a_document_are_bounded() -> None:
    limits = Limits(pending_document_bytes=100)
    updates = pending(60)
    assert updates.accepts(40, limits)
    assert not updates.accepts(41, limits)


@pytest.mark.rule("AK30")
def test_the_bytes_of_the_process_are_bounded() -> None:
    limits = Limits(pending_process_bytes=100)
    backlog = Backlog()
    pending(60, backlog=backlog)
    assert pending(backlog=backlog).accepts(40, limits)
    assert not pending(backlog=backlog).accepts(41, limits)


@pytest.mark.rule("AK40")
def test_what_is_known_about_an_update_counts() -> None:
    """A few bytes may tell of many structs and deletions."""
    limits = Limits(pending_document_bytes=100_000)
    backlog = Backlog()
    updates = pending(60, backlog=backlog)
    known = Outline((), (), (), {}, structs=2000)
    updates.put(large := replace(update(4000), outline=known))
    assert large.size == 4000 + known.weight
    assert updates.bytes == backlog.bytes == 60 + large.size
    assert updates.accepts(100_000 - 60 - large.size, limits)
    assert not updates.accepts(large.size, limits)
    updates.drop(large)
    assert updates.bytes == backlog.bytes == 60


@pytest.mark.rule("AK31")
def test_the_number_of_a_document_is_bounded() -> None:
    """A document full of keystrokes is bounded by what is known about each, not by its few bytes."""
    limits = Limits(pending_document_updates=3)
    assert pending(0, 0).accepts(0, limits)
    assert not pending(0, 0, 0).accepts(0, limits)


@pytest.mark.rule("AK31")
def test_the_number_of_the_process_is_bounded() -> None:
    limits = Limits(pending_process_updates=3)
    backlog = Backlog()
    pending(0, 0, backlog=backlog)
    assert pending(backlog=backlog).accepts(0, limits)
    pending(0, backlog=backlog)
    assert not pending(backlog=backlog).accepts(0, limits)


@pytest.mark.rule("AK32")
def test_one_alone_may_wait_whatever_its_size() -> None:
    limits = Limits(
        pending_document_bytes=100, pending_process_bytes=1000, pending_document_updates=0, pending_process_updates=0
    )
    assert pending().accepts(10_000, limits)
    limits = replace(limits, pending_process_updates=10)
    backlog = Backlog()
    pending(50, backlog=backlog)
    assert pending(backlog=backlog).accepts(500, limits), "alone in its document"
    assert not pending(backlog=backlog).accepts(5000, limits), "not alone in the process"


@pytest.mark.rule("AK30")
def test_what_a_transaction_has_taken_still_counts() -> None:
    updates = pending(60)
    updates.take(updates=10, size=1000)
    assert not updates.accepts(41, Limits(pending_document_bytes=100))
    updates.settle()
    assert updates.accepts(41, Limits(pending_document_bytes=100))


# ---- transactions -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AK33")
def test_a_transaction_takes_the_first_ones() -> None:
    updates = pending(*[10] * 5)
    everything = list(updates)
    assert (updates.waiting, updates.taken) == (5, 0)
    assert updates.take(updates=3, size=1000) == everything[:3]
    assert (updates.waiting, updates.taken) == (2, 3)
    assert list(updates) == everything
    assert updates.take(updates=10, size=1000) == everything[3:]
    assert updates.settle() == everything
    assert not updates


@pytest.mark.rule("AK33")
def test_a_transaction_takes_no_more_bytes_than_it_may() -> None:
    updates = pending(40, 40, 40)
    assert len(updates.take(updates=10, size=80)) == 2
    assert len(updates.take(updates=10, size=39)) == 1, "one alone may be larger"
    assert updates.take(updates=10, size=1000) == []
    assert pending(10).take(updates=0, size=1000) == []


@pytest.mark.rule("AK33")
def test_what_comes_during_a_transaction_waits_for_the_next() -> None:
    updates = pending(10)
    taken = updates.take(updates=10, size=1000)
    late = update()
    updates.put(late)
    assert updates.settle() == taken
    assert list(updates) == [late]
    assert updates.bytes == 10


@pytest.mark.rule("AK34")
def test_a_failed_transaction_gives_back_in_order() -> None:
    updates = pending(10, 10, 10)
    everything = list(updates)
    updates.take(updates=2, size=1000)
    late = update()
    updates.put(late)
    updates.give_back()
    assert (updates.waiting, updates.taken) == (4, 0)
    assert updates.take(updates=10, size=1000) == [*everything, late]


@pytest.mark.rule("AK35")
def test_a_doubtful_transaction_that_was_committed_is_found_out() -> None:
    backlog = Backlog()
    updates = pending(10, 20, backlog=backlog)
    taken = updates.take(updates=2, size=1000)
    late = update(5)
    updates.put(late)
    updates.give_back(doubtful_group="g1")
    assert (updates.bytes, backlog.bytes, backlog.updates) == (35, 35, 3), "nothing leaves while it is in doubt"
    assert updates.resolve({"g0", "g2"}) == []
    assert updates.resolve({"g1"}) == taken
    assert list(updates) == [late]
    assert (updates.bytes, backlog.bytes, backlog.updates) == (5, 5, 1)
    assert updates.resolve({"g1"}) == []


@pytest.mark.rule("AK35")
def test_a_doubtful_transaction_that_does_not_show_up_was_not_committed() -> None:
    updates = pending(10)
    updates.take(updates=1, size=1000)
    updates.give_back(doubtful_group="g1")
    updates.doubt_no_more()
    assert updates.resolve({"g1"}) == []
    assert len(updates.take(updates=1, size=1000)) == 1


@pytest.mark.rule("AK35")
def test_a_transaction_that_took_nothing_leaves_no_doubt() -> None:
    updates = pending()
    updates.give_back(doubtful_group="g1")
    updates.put(update())
    assert updates.resolve({"g1"}) == []


@pytest.mark.rule("AK36")
def test_a_refused_update_leaves() -> None:
    backlog = Backlog()
    updates = pending(10, 20, 30, backlog=backlog)
    first, second, third = updates
    updates.take(updates=1, size=1000)
    updates.drop(third)
    updates.drop(first)
    assert list(updates) == [second]
    assert (updates.bytes, backlog.bytes, backlog.updates) == (20, 20, 1)
    updates.drop(first)
    assert (updates.bytes, backlog.updates) == (20, 1), "once only"
    assert updates.settle() == []


@pytest.mark.fuzz
@pytest.mark.rule("AK33", "AK34", "AK35")
def test_nothing_is_lost_or_counted_twice() -> None:
    """Transactions that commit, fail, or leave a doubt; the log is the list of what was committed, each once and in order."""
    for seed in range(200 * MANY):
        rng = random.Random(seed)
        backlog = Backlog()
        updates = PendingUpdates(backlog)
        sent: list[Received] = []
        log: list[Received] = []
        doubtful: dict[str, list[Received]] = {}
        for step in range(rng.randint(1, 60)):
            for _ in range(rng.randint(0, 3)):
                sent.append(update(rng.randint(0, 50)))
                updates.put(sent[-1])
            resolved = updates.resolve(doubtful)
            assert resolved == [one for group in doubtful.values() for one in group], f"seed {seed}"
            log += resolved
            doubtful = {}
            updates.doubt_no_more()
            taken = updates.take(updates=rng.randint(0, 5), size=rng.randint(0, 100))
            fate = rng.choice(["commit", "fail", "doubt, committed", "doubt, not committed"])
            if fate == "commit":
                assert updates.settle() == taken
                log += taken
            else:
                updates.give_back(doubtful_group=str(step) if fate.startswith("doubt") else None)
            if fate == "doubt, committed" and taken:
                doubtful[str(step)] = taken
            assert backlog.bytes == updates.bytes == sum(len(one.update) for one in updates)
            assert backlog.updates == len(list(updates))
        log += updates.resolve(doubtful)
        assert [*log, *updates] == sent, f"seed {seed}"


@pytest.mark.rule("JO25", "AK36")
def test_an_update_goes_into_quarantine_under_one_id() -> None:
    """Until it has left."""
    ids = iter("abcdef")
    updates = pending(10, 20)
    first, second = updates
    assert [updates.quarantine_id(one, lambda: next(ids)) for one in (first, second, first)] == ["a", "b", "a"]
    updates.put_aside(first)
    updates.give_back()
    assert updates.quarantine_id(first, lambda: next(ids)) == "a"
    updates.put_aside(first)
    updates.settle()
    updates.drop(second)
    assert not updates._quarantine_ids
