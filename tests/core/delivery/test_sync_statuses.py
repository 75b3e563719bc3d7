"""One answer for each message, and as many "stored" as a Hocuspocus provider counts."""

from __future__ import annotations

import os
import random

import pytest

from cowrite.core.delivery.outbox import Outbox
from cowrite.core.delivery.sync_statuses import MAX_UNANSWERED, SyncStatuses
from cowrite.core.errors import PeerError
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.clock import ManualClock
from cowrite.testing.wire import FakeWire

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))


class Told:
    """A provider that counts, at the other end."""

    def __init__(self, *, asked: int = 0) -> None:
        self.wire = FakeWire()
        self.outbox = Outbox(self.wire, ManualClock(), settle=lambda _: None, overflow=lambda: None)
        self.statuses = SyncStatuses(b"1", b"0", asked=asked)

    def news(self) -> str:
        """What it is told now."""
        known = len(self.wire.received)
        self.statuses.tell(self.outbox, yjs.YJS)
        return b"".join(self.wire.received[known:]).decode()

    def step_2(self, *, invited: bool) -> int:
        """The server asks, and the answer comes."""
        self.statuses.ask(invited=invited)
        return self.statuses.receive(everything=True)


@pytest.mark.rule("HP12")
def test_one_answer_for_each_in_order() -> None:
    told = Told()
    numbers = [told.step_2(invited=True), told.statuses.receive(), told.statuses.receive()]
    assert told.news() == ""
    told.statuses.commit(numbers[1], 1)
    assert told.news() == ""
    told.statuses.commit(numbers[0], 1, everything=True)
    assert told.news() == "11"
    told.statuses.commit(numbers[2], 2)
    assert told.news() == "1"
    assert told.news() == ""


@pytest.mark.rule("HP13")
def test_what_is_refused_is_answered_in_its_turn() -> None:
    told = Told()
    first, second = told.statuses.receive(), told.statuses.receive()
    told.statuses.refuse(second)
    assert told.news() == ""
    told.statuses.commit(first, 1)
    assert told.news() == "10"


@pytest.mark.rule("HP14")
@pytest.mark.parametrize("refused", [1, 2, 10])
def test_what_was_refused_is_made_up_for(refused: int) -> None:
    """The provider counts the refused ones, and not the SyncStep2 that the server asked for: there is a "stored" for each."""
    told = Told()
    for _ in range(refused):
        told.statuses.refuse(told.statuses.receive())
    assert told.news() == "0" * refused
    made_up = told.step_2(invited=False)
    assert told.news() == ""
    told.statuses.commit(made_up, 1, everything=True)
    assert told.news() == "1" * refused


@pytest.mark.rule("HP14")
def test_a_handshake_makes_up_and_counts_itself() -> None:
    """The provider synchronises by itself after a refusal (forceSync)."""
    told = Told()
    told.statuses.refuse(told.statuses.receive())
    told.statuses.commit(told.step_2(invited=True), 1, everything=True)
    assert told.news() == "011"


@pytest.mark.rule("HP14")
def test_an_answer_that_is_refused_itself() -> None:
    """The provider counts it if it answers its own question, and else not."""
    told = Told()
    told.statuses.refuse(told.step_2(invited=True))
    told.statuses.refuse(told.step_2(invited=False))
    assert told.news() == "00"
    told.statuses.commit(told.step_2(invited=False), 1, everything=True)
    assert told.news() == "1"


@pytest.mark.rule("HP15")
def test_a_question_of_the_servers_own_is_not_counted() -> None:
    told = Told()
    told.statuses.commit(told.step_2(invited=True), 0, everything=True)
    told.statuses.commit(told.step_2(invited=False), 0, everything=True)
    assert told.news() == "10"


@pytest.mark.rule("HP15")
def test_an_answer_to_somebody_else_is_not_counted() -> None:
    """What the server asked a client that has left may reach the next one at the address, which then answers twice."""
    told = Told(asked=1)
    assert told.statuses.unanswered == 1
    told.statuses.ask(invited=True)
    assert told.statuses.unanswered == 2
    for _ in range(2):
        told.statuses.commit(told.statuses.receive(everything=True), 0, everything=True)
    assert told.news() == "10"
    assert told.statuses.unanswered == 0


@pytest.mark.rule("HP12")
def test_a_step_2_that_nobody_asked_for_counts() -> None:
    """No stock provider sends one; it is answered as the reference server does."""
    told = Told()
    told.statuses.commit(told.statuses.receive(everything=True), 0, everything=True)
    assert told.news() == "1"


@pytest.mark.rule("HP12")
def test_what_waits_for_an_answer_is_bounded() -> None:
    told = Told()
    for _ in range(MAX_UNANSWERED):
        told.statuses.receive()
    with pytest.raises(PeerError) as refused:
        told.statuses.receive()
    assert refused.value.code == CloseCode.TOO_FAST


@pytest.mark.fuzz
@pytest.mark.rule("HP12", "HP14", "HP15")
@pytest.mark.parametrize("seed", range(20 * MANY))
def test_the_count_comes_out_even(seed: int) -> None:
    """Whatever is refused, asked, repeated and committed in whatever order: once a last SyncStep2 is durable the provider is at
    0, never below, and not at 0 while something that it counted first is not durable.
    """
    rng = random.Random(seed)
    told = Told()
    counted, open_ones = 0, list[tuple[int, bool]]()

    def receive(*, everything: bool) -> None:
        number = told.statuses.receive(everything=everything)
        if rng.random() < 0.3:
            told.statuses.refuse(number)
        else:
            open_ones.append((number, everything))

    for _ in range(rng.randint(1, 60)):
        match rng.randrange(4):
            case 0:
                counted += 1
                receive(everything=False)
            case 1:
                invited = rng.random() < 0.5
                counted += invited
                told.statuses.ask(invited=invited)
                receive(everything=True)
            case _ if open_ones:
                number, everything = open_ones.pop(rng.randrange(len(open_ones)))
                told.statuses.commit(number, 1, everything=everything)
            case _:
                pass
        told.news()
        assert counted - told.wire.received.count(b"1") >= 0
    for number, everything in open_ones:
        told.statuses.commit(number, 1, everything=everything)
    told.statuses.commit(told.step_2(invited=False), 1, everything=True)
    told.news()
    assert told.wire.received.count(b"1") == counted
    assert len(told.wire.received) >= told.statuses.received
