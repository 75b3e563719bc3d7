"""Editors with Yjs and clients without it on one document, at random: all end with the same.

The clients edit what they have seen, with operations of their own that nobody has confirmed yet. What the engine makes of them
is compared with the model after every batch.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.model import Model
from crdt.random_edits import RandomReplica, commit, seeds
from crdt.random_operations import random_operation

pytestmark = [pytest.mark.fuzz, pytest.mark.rule("OP24", "OP25", "OP27")]


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def filled(state: dict[str, Any]) -> Any:
    """The roots that hold something: one that was made and emptied in one batch is nowhere but in the client's view."""
    return {name: value for name, value in as_json(state).items() if any(value.values())}


@dataclass
class Server:
    """The log, with what is needed to answer for any point of it."""

    every: int
    document: LogDocument = field(default_factory=LogDocument.empty)
    updates: list[bytes] = field(default_factory=list)
    operations: list[list[Any]] = field(default_factory=list)
    checkpoints: list[tuple[int, bytes, dict[str, RootKind]]] = field(default_factory=lambda: [(0, b"\0\0", {})])

    def commit(self, update: bytes) -> None:
        outline = inspect(update)
        assert not missing(outline, self.document.state)
        change = self.document.commit([update], [outline])
        if change is None:
            return
        self.updates.append(change.update)
        self.operations.append(as_json([draft.to_json() for draft in change.operations]))
        if len(self.updates) % self.every == 0:
            self.checkpoints.append((len(self.updates), self.document.encode(), self.document.roots))

    def at(self, offset: int) -> LogDocument:
        start, state, roots = max((point for point in self.checkpoints if point[0] <= offset), key=lambda point: point[0])
        return rebuild_at(state, roots, self.updates[start:offset])


@dataclass
class Thin:
    """A client without Yjs."""

    client_id: int
    offset: int = 0
    model: Model = field(default_factory=Model)
    own: list[bytes] = field(default_factory=list)
    """Its updates since its offset."""
    view: Model = field(default_factory=Model)
    """What it has seen, with its own operations since."""

    def poll(self, server: Server) -> None:
        for operations in server.operations[self.offset :]:
            for operation in operations:
                self.model.apply(operation)
        self.offset = len(server.updates)
        self.own = []
        self.view = copy.deepcopy(self.model)
        assert self.model.state == as_json(get_state(server.document))

    def edit(self, rng: random.Random, server: Server, roots: list[str]) -> int:
        batch = []
        for _ in range(rng.choice((1, 1, 3))):
            if operation := random_operation(rng, self.view, roots):
                self.view.apply(as_json(operation))
                batch.append(OperationDraft.from_json(as_json(operation)))
        base = server.at(self.offset)
        known = {**base.roots, **server.document.roots}  # what the client has made itself since is known to the server
        update = apply_operations(base.encode(), known, batch, client_id=self.client_id, own_updates=self.own)
        if update is not None:
            self.own.append(update)
            server.commit(update)
        for own in self.own:
            commit(base, [own])
        assert filled(get_state(base)) == filled(self.view.state)
        return len(batch)


def play(seed: int, roots: list[str]) -> int:
    rng = random.Random(seed)
    server = Server(every=rng.choice((1, 3, 7)))
    replicas = [RandomReplica(rng, roots, 2**30 + number) for number in range(2)]
    thin = [Thin(rng.choice((3, 2**40)) + number) for number in range(2)]
    edits = 0
    for _ in range(rng.randrange(10, 40)):
        choice = rng.random()
        replica = rng.choice(replicas)
        client = rng.choice(thin)
        if choice < 0.35:
            replica.edit()
        elif choice < 0.55:
            push(replica, server)
            if rng.random() < 0.6:
                replica.receive(server.document.encode())
        elif choice < 0.75:
            client.poll(server)
        else:
            edits += client.edit(rng, server, roots)
    for replica in replicas:
        push(replica, server)
    for client in thin:
        client.poll(server)
    check_end(rng, server, replicas)
    return edits


def push(replica: RandomReplica, server: Server) -> None:
    for update in replica.take():
        server.commit(update)


def check_end(rng: random.Random, server: Server, replicas: list[RandomReplica]) -> None:
    """Replicas that have synced hold the server's state; every replay to some point gives the state there."""
    for replica in replicas:
        replica.receive(server.document.encode())
        assert get_state(rebuild_at(replica.doc.get_update(), server.document.roots, [])) == get_state(server.document)
    for offset in rng.sample(range(len(server.updates) + 1), min(3, len(server.updates) + 1)):
        replayed = Model()
        for operations in server.operations[:offset]:
            for operation in operations:
                replayed.apply(operation)
        assert replayed.state == as_json(get_state(server.at(offset)))


@pytest.mark.parametrize(
    ("roots", "count"),
    [(["text"], 25), (["xml"], 25), (["map"], 15), (["array"], 15), (["text", "xml", "map", "array"], 25)],
    ids=["text", "xml", "map", "array", "all"],
)
def test_clients_of_both_kinds_end_with_the_same(roots: list[str], count: int) -> None:
    """All replicas, all clients without Yjs, and every replay of the operations to any point are equal."""
    edits = 0
    for seed in seeds(count):
        try:
            edits += play(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error
    assert edits > 2 * count, "the random edits came to nothing"
