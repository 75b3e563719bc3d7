"""Which messages of a peer count as durable."""

from __future__ import annotations

import os
import random

import pytest

from cowrite.core.delivery.acknowledgements import Acknowledgements

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))


def received(count: int) -> Acknowledgements:
    acknowledgements = Acknowledgements()
    assert [acknowledgements.receive() for _ in range(count)] == list(range(count))
    return acknowledgements


@pytest.mark.rule("AK1")
def test_what_is_not_durable_does_not_count() -> None:
    acknowledgements = received(3)
    assert acknowledgements.count == 0
    assert acknowledgements.take() is None


@pytest.mark.rule("AK1")
def test_the_count_is_the_longest_durable_prefix() -> None:
    """In the peer's own order, whatever becomes durable first."""
    acknowledgements = received(4)
    acknowledgements.commit(1, 10)
    acknowledgements.commit(2, 10)
    assert acknowledgements.count == 0
    acknowledgements.commit(0, 11)
    assert acknowledgements.count == 3
    acknowledgements.commit(3, 12)
    assert acknowledgements.count == 4


@pytest.mark.rule("AK2")
def test_the_count_is_told_when_it_has_grown_and_with_the_newest_offset() -> None:
    acknowledgements = received(3)
    acknowledgements.commit(0, 7)
    assert acknowledgements.take() == (1, 7)
    assert acknowledgements.take() is None
    acknowledgements.commit(2, 9)
    assert acknowledgements.take() is None, "message 2 does not count before message 1"
    acknowledgements.commit(1, 8)
    assert acknowledgements.take() == (3, 9)


@pytest.mark.rule("AK2")
def test_an_offset_never_goes_back() -> None:
    acknowledgements = received(2)
    acknowledgements.commit(0, 9)
    acknowledgements.commit(1, 4)
    assert acknowledgements.take() == (2, 9)


@pytest.mark.rule("AK3")
def test_empty_and_duplicate_messages_count_in_their_turn() -> None:
    """They are durable with the log's end as it is; one that comes after an edit that is on its way waits for that edit."""
    acknowledgements = Acknowledgements()
    acknowledgements.commit(acknowledgements.receive(), 0)  # the empty SyncStep2 of a new client, before anything is stored
    assert acknowledgements.take() == (1, 0)
    edit = acknowledgements.receive()
    acknowledgements.commit(acknowledgements.receive(), 0)
    assert acknowledgements.take() is None
    acknowledgements.commit(edit, 1)
    assert acknowledgements.take() == (3, 1)


@pytest.mark.rule("AK4")
def test_a_refused_message_holds_the_count() -> None:
    acknowledgements = received(4)
    acknowledgements.refuse(1)
    for number in (0, 2, 3):
        acknowledgements.commit(number, 5)
    assert acknowledgements.take() == (1, 5)
    acknowledgements.commit(acknowledgements.receive(), 6)
    assert acknowledgements.take() is None, "an Update makes up for nothing but itself"


@pytest.mark.rule("AK5")
def test_a_later_sync_step_2_makes_up_for_what_was_refused() -> None:
    acknowledgements = received(5)
    acknowledgements.refuse(1)
    acknowledgements.refuse(3)
    for number in (0, 2):
        acknowledgements.commit(number, 5)
    assert acknowledgements.take() == (1, 5)
    assert [acknowledgements.refused_since(number) for number in (0, 3, 4)] == [True, True, False]
    acknowledgements.commit(4, 6, everything=True)
    assert acknowledgements.take() == (5, 6)
    assert not acknowledgements.refused_since(0)


@pytest.mark.rule("AK5")
def test_a_sync_step_2_does_not_make_up_before_it_is_durable() -> None:
    acknowledgements = received(2)
    acknowledgements.refuse(0)
    assert acknowledgements.take() is None
    acknowledgements.commit(1, 6, everything=True)
    assert acknowledgements.take() == (2, 6)


@pytest.mark.rule("AK5")
def test_a_sync_step_2_does_not_make_up_for_what_is_refused_after_it() -> None:
    acknowledgements = received(5)
    acknowledgements.refuse(1)
    acknowledgements.refuse(4)
    for number in (0, 3):
        acknowledgements.commit(number, 5)
    acknowledgements.commit(2, 6, everything=True)
    assert acknowledgements.take() == (3, 6), "4 is held; 3 may be held with it"
    acknowledgements.commit(acknowledgements.receive(), 7, everything=True)
    assert acknowledgements.take() == (6, 7)


@pytest.mark.rule("AK5")
def test_a_sync_step_2_before_the_refused_message_makes_up_for_nothing() -> None:
    acknowledgements = received(4)
    acknowledgements.refuse(3)
    acknowledgements.commit(1, 5)
    acknowledgements.commit(2, 5)
    acknowledgements.commit(0, 5, everything=True)
    assert acknowledgements.take() == (3, 5)
    assert acknowledgements.take() is None


@pytest.mark.rule("AK5")
def test_a_sync_step_2_that_was_refused_itself_is_made_up_for_by_the_next() -> None:
    """Taken in part: what was taken is durable, the message as a whole is not."""
    acknowledgements = received(2)
    acknowledgements.refuse(0)
    acknowledgements.commit(0, 5, everything=True)
    assert acknowledgements.take() is None
    acknowledgements.commit(1, 6, everything=True)
    assert acknowledgements.take() == (2, 6)


@pytest.mark.rule("AK4")
def test_a_message_may_be_refused_late() -> None:
    """It was on its way to the disk, and the engine broke on it there."""
    acknowledgements = received(3)
    acknowledgements.refuse(2)
    acknowledgements.refuse(0)
    acknowledgements.commit(1, 5)
    assert acknowledgements.count == 0
    acknowledgements.commit(acknowledgements.receive(), 6, everything=True)
    assert acknowledgements.count == 4


@pytest.mark.rule("AK6")
def test_memory_is_bounded_by_what_is_on_its_way() -> None:
    """Neither what is durable nor what was refused is remembered one by one."""
    acknowledgements = Acknowledgements()
    for n in range(100_000):
        number = acknowledgements.receive()
        if n % 3:
            acknowledgements.refuse(number)
        else:
            acknowledgements.commit(number, n)
        acknowledgements.take()
    kept = [value for value in vars(acknowledgements).values() if isinstance(value, set | list | dict | tuple)]
    assert sum(map(len, kept)) <= 2
    acknowledgements.commit(acknowledgements.receive(), 100_000, everything=True)
    assert acknowledgements.take() == (100_001, 100_000)


class Oracle:
    """Every message's fate, one by one."""

    def __init__(self) -> None:
        self.fates: list[str] = []

    def count(self) -> int:
        durable = 0
        while durable < len(self.fates) and self.fates[durable] == "durable":
            durable += 1
        return durable

    def commit(self, number: int, *, everything: bool) -> None:
        if self.fates[number] != "refused":
            self.fates[number] = "durable"
        if everything:
            self.fates[:number] = ["durable" if fate == "refused" else fate for fate in self.fates[:number]]


@pytest.mark.fuzz
@pytest.mark.rule("AK1", "AK4", "AK5")
def test_against_the_fate_of_every_message() -> None:
    """Never more than what is durable, never less than before, and exactly that when nothing refused is left in doubt."""
    exact = 0
    for seed in range(500 * MANY):
        rng = random.Random(seed)
        acknowledgements, oracle = Acknowledgements(), Oracle()
        outstanding: list[int] = []
        last = 0
        for step in range(rng.randint(1, 60)):
            if not outstanding or rng.random() < 0.4:
                outstanding.append(acknowledgements.receive())
                oracle.fates.append("outstanding")
                continue
            number = outstanding.pop(0 if rng.random() < 0.8 else rng.randrange(len(outstanding)))
            if rng.random() < 0.2:
                acknowledgements.refuse(number)
                oracle.fates[number] = "refused"
            else:
                everything = rng.random() < 0.2
                acknowledgements.commit(number, step, everything=everything)
                oracle.commit(number, everything=everything)
            count = acknowledgements.count
            assert last <= count <= oracle.count(), f"seed {seed}"
            if "refused" not in oracle.fates or oracle.fates.index("refused") == count:
                assert count == oracle.count(), f"seed {seed}"
                exact += 1
            taken = acknowledgements.take()
            assert taken is None if count == last else taken is not None and taken[0] == count, f"seed {seed}"
            last = count
    assert exact > 5000 * MANY


def test_what_is_known_of_messages() -> None:
    """Those that are durable or refused, up to the first of which neither is known."""
    acknowledgements = Acknowledgements()
    first, second, third = (acknowledgements.receive() for _ in range(3))
    acknowledgements.refuse(second)
    assert acknowledgements.ended == 0
    acknowledgements.commit(first, 1)
    assert (acknowledgements.ended, acknowledgements.count) == (2, 1)
    acknowledgements.commit(third, 2)
    assert acknowledgements.ended == 3
