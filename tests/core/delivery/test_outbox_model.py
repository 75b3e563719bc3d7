"""The outbox at random, beside a model of what a peer must have in the end."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from cowrite.core.delivery.outbox import Arrears, Outbox, Relay
from cowrite.testing.clock import ManualClock
from cowrite.testing.wire import FakeWire

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))


# ---- all of it at random ----------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """A room and its peer, as plain sets: what has been made, what the peer has. A slow oracle of the outbox.

    Update frames are ``u<number>`` (the updates' content is in ``made``), diffs ``d<number>``, control frames ``c<number>``,
    acknowledgements ``a<number>``, awareness ``w<client>:<value>;…``.
    """

    rng: random.Random
    made: list[frozenset[tuple[int, int]]] = field(default_factory=list)
    """The structs of each update as (client, clock)."""
    clocks: dict[int, int] = field(default_factory=dict)
    diffs: list[tuple[frozenset[tuple[int, int]], int]] = field(default_factory=list)
    """The content of each diff, and how many updates there were when it was made."""
    controls: int = 0
    acknowledged: int = 0
    carets: dict[int, int] = field(default_factory=dict)
    settled: int = 0

    def __post_init__(self) -> None:
        self.wire = FakeWire(capacity=self.rng.choice([1, 50, 400]))
        self.limit = self.rng.choice([500, 1500])
        self.outbox = Outbox(self.wire, ManualClock(), settle=self.settle, overflow=self.overflow, limit=self.limit)
        self.wire.drained = self.outbox.drained

    def overflow(self) -> None:
        pytest.fail("only what is bounded elsewhere was sent")

    def update(self) -> None:
        begins = {}
        structs = set()
        for client in self.rng.sample(range(4), self.rng.randint(0, 2)):
            start = self.clocks.get(client, 0)
            self.clocks[client] = start + self.rng.randint(1, 5)
            begins[client] = start
            structs |= {(client, clock) for clock in range(start, self.clocks[client])}
        number = len(self.made)
        self.made.append(frozenset(structs))
        self.outbox.relay(Relay(b"u%d " % number + b"." * self.rng.choice([0, 10, 200, 2000]), begins, 0.0))

    def diff(self, lacks: Mapping[int, int]) -> None:
        """What ``Document.diff`` answers: of every client what the peer lacks, and the deletions of everything so far."""
        has = {client: min(lacks.get(client, clock), clock) for client, clock in self.clocks.items()}
        structs = frozenset((client, n) for client, clock in self.clocks.items() for n in range(has[client], clock))
        self.diffs.append((structs, len(self.made)))
        self.outbox.send(b"d%d" % (len(self.diffs) - 1) + b"." * len(structs))

    def settle(self, arrears: Arrears) -> None:
        self.settled += 1
        if arrears.lacks is not None:
            self.diff(arrears.lacks)
        if arrears.acknowledgement is not None:
            self.outbox.acknowledge(arrears.acknowledgement)
        if arrears.awareness:
            self.announce(sorted(arrears.awareness))

    def announce(self, clients: list[int]) -> None:
        self.outbox.announce(b"w" + b";".join(b"%d:%d" % (client, self.carets[client]) for client in clients), clients)

    def ask(self) -> None:
        """SyncStep1 with what the peer has read by now."""
        has = self.peer_has()
        known = {client: next(n for n in range(clock + 1) if (client, n) not in has) for client, clock in self.clocks.items()}
        lacks = {client: clock for client, clock in known.items() if clock < self.clocks[client]}
        self.outbox.owe(lacks)

    def step(self) -> None:
        action = self.rng.random()
        if action < 0.5:
            self.update()
        elif action < 0.6 and self.outbox.waiting < self.limit // 2:
            self.outbox.send(b"c%d" % self.controls)
            self.controls += 1
        elif action < 0.7:
            self.acknowledged += 1
            self.outbox.acknowledge(b"a%d" % self.acknowledged)
        elif action < 0.8:
            client = self.rng.randrange(5)
            self.carets[client] = self.carets.get(client, 0) + 1
            self.announce([client])
        elif action < 0.82:
            self.ask()
        elif action < 0.9:
            self.wire.stop_reading()
        elif action < 0.93:
            self.wire.read_on()
        else:
            self.wire.read(self.rng.randint(0, 3))

    def peer_has(self) -> set[tuple[int, int]]:
        has: set[tuple[int, int]] = set()
        for frame in self.wire.received:
            if frame.startswith(b"u"):
                has |= self.made[int(frame.split()[0][1:])]
            elif frame.startswith(b"d"):
                has |= self.diffs[int(frame.rstrip(b".")[1:])][0]
        return has

    def deletions_seen(self) -> set[int]:
        """The updates whose deletions the peer has: those that it got, and those that were made before a diff that it got."""
        seen: set[int] = set()
        for frame in self.wire.received:
            if frame.startswith(b"u"):
                seen.add(int(frame.split()[0][1:]))
            elif frame.startswith(b"d"):
                seen |= set(range(self.diffs[int(frame.rstrip(b".")[1:])][1]))
        return seen

    def numbers(self, kind: bytes) -> list[int]:
        return [int(frame.split()[0][1:]) for frame in self.wire.received if frame.startswith(kind)]

    def check(self) -> None:
        updates = self.numbers(b"u")
        assert updates == sorted(set(updates)), "nothing overtakes, and nothing comes twice"
        assert self.numbers(b"c") == list(range(self.controls)), "control frames all arrive, in order"
        acknowledgements = self.numbers(b"a")
        assert acknowledgements == sorted(set(acknowledgements))
        assert acknowledgements[-1:] == ([self.acknowledged] if self.acknowledged else [])
        assert self.peer_has() == {(client, n) for client, clock in self.clocks.items() for n in range(clock)}
        assert self.deletions_seen() == set(range(len(self.made)))
        carets: dict[int, int] = {}
        for frame in self.wire.received:
            if frame.startswith(b"w"):
                for entry in frame[1:].split(b";"):
                    client, value = entry.split(b":")
                    assert carets.get(int(client), 0) <= int(value)
                    carets[int(client)] = int(value)
        assert carets == self.carets
        assert self.outbox.waiting == 0
        assert not self.outbox.blocked


@pytest.mark.fuzz
@pytest.mark.rule("OU3", "OU5", "OU6", "OU15")
def test_in_the_end_a_peer_has_everything() -> None:
    """A socket that reads at random, and every kind of frame; the oracle knows what each frame holds."""
    settled = dropped = 0
    for seed in range(300 * MANY):
        model = Model(random.Random(seed))
        for _ in range(model.rng.randint(1, 150)):
            model.step()
            # Updates and control frames have a limit each.
            assert model.outbox.waiting <= 2 * model.limit, f"seed {seed}"
        model.wire.read_on()
        try:
            model.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        settled += model.settled
        dropped += len(model.made) - len(model.numbers(b"u"))
    assert settled > 100 * MANY
    assert dropped > 1000 * MANY
