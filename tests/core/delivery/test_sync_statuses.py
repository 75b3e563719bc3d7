"""One answer for each message, and as many "stored" as a Hocuspocus provider counts."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable
from functools import partial

import pytest

from cowrite.core.delivery.outbox import Outbox
from cowrite.core.delivery.sync_statuses import MAX_UNANSWERED, SyncStatuses
from cowrite.core.errors import PeerError
from cowrite.crdt.outline import ClockRange, Outline
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

    def step_2(self, *, begins: bool) -> int:
        """The server asks, of its own accord or because the client begins, and the answer comes."""
        self.statuses.ask()
        if begins:
            self.statuses.begin({})
        return self.statuses.receive(everything=True)


@pytest.mark.rule("HP12")
def test_one_answer_for_each_in_order() -> None:
    told = Told()
    numbers = [told.step_2(begins=True), told.statuses.receive(), told.statuses.receive()]
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
    made_up = told.step_2(begins=False)
    assert told.news() == ""
    told.statuses.commit(made_up, 1, everything=True)
    assert told.news() == "1" * refused


@pytest.mark.rule("HP14")
def test_a_handshake_stands_for_what_was_refused() -> None:
    """The provider synchronises by itself after a refusal (forceSync): that sets its count to 1."""
    told = Told()
    told.statuses.refuse(told.statuses.receive())
    told.statuses.commit(told.step_2(begins=True), 1, everything=True)
    assert told.news() == "01"


@pytest.mark.rule("HP14")
def test_an_answer_that_is_refused_itself() -> None:
    """The provider counts it if it answers its own question, and else not."""
    told = Told()
    told.statuses.refuse(told.step_2(begins=True))
    told.statuses.refuse(told.step_2(begins=False))
    assert told.news() == "00"
    told.statuses.commit(told.step_2(begins=False), 1, everything=True)
    assert told.news() == "1"


@pytest.mark.rule("HP15")
def test_a_question_of_the_servers_own_is_not_counted() -> None:
    told = Told()
    told.statuses.commit(told.step_2(begins=True), 0, everything=True)
    told.statuses.commit(told.step_2(begins=False), 0, everything=True)
    assert told.news() == "10"


@pytest.mark.rule("HP15")
def test_an_answer_to_somebody_else_is_not_counted() -> None:
    """What the server asked a client that has left may reach the next one at the address, which then answers twice."""
    told = Told(asked=1)
    assert told.statuses.unanswered == 1
    told.statuses.ask()
    told.statuses.begin({})
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


@pytest.mark.rule("HP15")
def test_what_was_sent_before_a_new_beginning_counts_no_more() -> None:
    """An edit is under way when the provider begins anew (forceSync), which sets its count to 1: only the SyncStep2 is counted,
    of the two that are on their way.
    """
    told = Told()
    told.statuses.commit(told.step_2(begins=True), 0, everything=True)
    assert told.news() == "1"
    told.statuses.ask()
    edits = [told.statuses.receive(), told.statuses.receive()]
    told.statuses.refuse(edits[0])
    told.statuses.ask()
    told.statuses.begin({})
    later = told.statuses.receive()
    told.statuses.commit(edits[1], 1)
    assert told.news() == "00"
    for number in (later, told.statuses.receive(everything=True), told.statuses.receive(everything=True)):
        told.statuses.commit(number, 2, everything=number != later)
    assert told.news() == "110"
    assert told.statuses.unanswered == 0


def outline(*, start: int | None = None) -> Outline:
    """Of an update with one struct of client 7, or one that only deletes."""
    brings = () if start is None else (ClockRange(7, start, start + 1),)
    return Outline(brings, () if brings else (ClockRange(7, 0, 1),), (), {})


@pytest.mark.rule("HP15")
def test_what_was_made_while_away_is_not_counted() -> None:
    """The SyncStep1 of a provider that is back set its count to 1; what it made before comes behind that."""
    told = Told()
    told.statuses.ask()
    told.statuses.begin({7: 3})
    made = [outline(start=5), outline(), outline(start=2), Outline((), (), (), {})]
    numbers = [told.statuses.receive(outline=one) for one in made]
    numbers.append(told.statuses.receive(everything=True))
    numbers.append(told.statuses.receive(outline=outline()))
    for number in numbers:
        told.statuses.commit(number, 1, everything=number == 4)
    assert told.news() == "100111"


@pytest.mark.rule("HP15")
@pytest.mark.parametrize("answered", [False, True])
def test_a_synchronisation_that_waited_with_it(answered: bool) -> None:
    """It is older than the one before, and sets nothing; once a SyncStep2 has come nothing can have waited."""
    told = Told()
    told.statuses.ask()
    told.statuses.begin({7: 3})
    if answered:
        told.statuses.commit(told.statuses.receive(everything=True), 1, everything=True)
    edit = told.statuses.receive(outline=outline(start=3))
    told.statuses.ask()
    told.statuses.begin({7: 2})
    told.statuses.commit(edit, 1)
    for _ in range(told.statuses.unanswered):
        told.statuses.commit(told.statuses.receive(everything=True), 1, everything=True)
    assert told.news() == ("001" if answered else "110")


class Provider:
    """A provider as it counts (2.15.3, 3.4.4 and 4.8.0: ``HocuspocusProvider.ts``), with all that is under way."""

    def __init__(self, version: int) -> None:
        self.floor = version > 2
        self.count = 0
        self.up: deque[str] = deque()
        self.down: deque[tuple[str, int]] = deque()
        """Each with how often the server had seen it begin."""
        self.begun = 0
        self.sent = 0
        self.edits: list[int] = []
        """Which of the messages are edits."""
        self.astray = 0
        """Answers to what was sent before it began that were taken off since. Below the floor nothing is taken off."""

    def begin(self) -> None:
        self.count, self.astray = 1, 0
        self.begun += 1
        self.up.append("begin")

    def edit(self) -> None:
        self.count += 1
        self._send("edit")

    def hear(self) -> None:
        kind, begun = self.down.popleft()
        if kind == "ask":
            self._send("step 2")
        elif kind == "1":
            late, met = begun < self.begun, self.floor and self.count == 0
            self.count -= not met
            if late and not met:
                self.astray += 1
            elif met and not late:
                self.astray = max(0, self.astray - 1)

    def _send(self, kind: str) -> None:
        if kind == "edit":
            self.edits.append(self.sent)
        self.sent += 1
        self.up.append(kind)


class Conversation:
    """A provider and the server's end."""

    def __init__(self, seed: int, version: int) -> None:
        self.rng = random.Random(seed)
        self.provider = Provider(version)
        self.told = Told()
        self.open: list[tuple[int, bool]] = []
        self.begun = 0
        self.durable = set[int]()
        """What is on the disk; a SyncStep2 has all that was sent before it."""
        self.ask()
        self.provider.begin()

    def arrive(self, *, refuse: float) -> None:
        statuses, kind = self.told.statuses, self.provider.up.popleft()
        if kind == "begin":
            if self.begun:
                self.ask()
            self.begun += 1
            statuses.begin({})
            return
        number = statuses.receive(everything=kind == "step 2")
        if self.rng.random() < refuse:
            statuses.refuse(number)
        else:
            self.open.append((number, kind == "step 2"))

    def ask(self) -> None:
        self.told.statuses.ask()
        self.provider.down.append(("ask", self.begun))

    def commit(self) -> None:
        number, everything = self.open.pop(self.rng.randrange(len(self.open)))
        self.durable |= set(range(number + 1)) if everything else {number}
        self.told.statuses.commit(number, 1, everything=everything)

    def step(self, *, refuse: float = 0.3) -> None:
        moves: list[Callable[[], None]] = [self.provider.hear] * bool(self.provider.down) + [self.commit] * bool(self.open)
        moves += [partial(self.arrive, refuse=refuse)] * bool(self.provider.up)
        if moves:
            self.rng.choice(moves)()
        self.provider.down.extend((answer, self.begun) for answer in self.told.news())

    def look(self) -> None:
        """Not at 0 while something is not durable, unless answers went astray."""
        provider = self.provider
        if provider.count <= 0 and not provider.astray:
            assert self.durable >= set(provider.edits)

    def settle(self) -> None:
        while self.provider.up or self.provider.down or self.open or self.told.statuses.unanswered:
            self.step(refuse=0.0)
            self.look()


@pytest.mark.fuzz
@pytest.mark.rule("HP12", "HP14", "HP15")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("seed", range(20 * MANY))
def test_the_count_comes_out_even(seed: int, version: int) -> None:
    """Whatever is begun anew, refused, asked and committed in whatever order, however long it is under way: the provider is not
    at 0 while something is not durable, and at 0 once everything is. Only answers that were under way when it began anew make
    that less: 2 goes below 0 by as many, 3 and 4 are even in the end.
    """
    one = Conversation(seed, version)
    for _ in range(one.rng.randint(10, 200)):
        match one.rng.randrange(12):
            case 0 | 1:
                one.provider.edit()
            case 2:
                one.provider.begin()
            case 3:
                one.ask()
            case _:
                one.step()
        one.look()
    one.settle()
    one.ask()  # for what was refused
    one.settle()
    assert one.provider.count == (0 if one.provider.floor else -one.provider.astray)
    assert len(one.told.wire.received) >= one.told.statuses.received
