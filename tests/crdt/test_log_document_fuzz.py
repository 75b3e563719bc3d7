"""Whatever replicas do, the operations of a log, replayed, are the document: compared with the model after every commit."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.state import get_state
from cowrite.testing.model import Model
from crdt.random_edits import RandomReplica, commit, seeds

pytestmark = [pytest.mark.fuzz, pytest.mark.rule("OP1", "OP2")]


class Log:
    """A log with the model that follows its operations."""

    def __init__(self) -> None:
        self.document = LogDocument.empty()
        self.model = Model()
        self.entries: list[bytes] = []
        self.told: list[list[dict[str, object]]] = []

    def commit(self, updates: Sequence[bytes]) -> None:
        change = commit(self.document, updates) if updates else None
        if change is None:
            return
        operations = [json.loads(json.dumps(draft.to_json())) for draft in change.operations]
        for operation in operations:
            OperationDraft.from_json(operation)
            self.model.apply(operation)
        self.entries.append(change.update)
        self.told.append(operations)
        assert self.model.state == json.loads(json.dumps(get_state(self.document)))

    def check_replay(self) -> None:
        """Somebody who replays the entries gets the same roots and operations; so does one who starts in the middle, and rests
        now and then.
        """
        replayed = LogDocument.empty()
        middle = len(self.entries) // 2
        for number, update in enumerate(self.entries):
            if number == middle:
                replayed = LogDocument.from_state(replayed.encode(), replayed.roots)
            if number % 3 == 2:
                replayed.rest()
            change = commit(replayed, [update])
            assert change is not None
            assert [json.loads(json.dumps(draft.to_json())) for draft in change.operations] == self.told[number]
        assert replayed.roots == self.document.roots
        assert get_state(replayed) == get_state(self.document)


def play(seed: int, roots: Sequence[str], log: Log) -> int:
    rng = random.Random(seed)
    replicas = [RandomReplica(rng, roots, rng.randrange(1, 2**32)) for _ in range(rng.randrange(2, 4))]
    for _ in range(rng.randrange(5, 25)):
        rng.choice(replicas).edit(rng.choice((1, 1, 1, 2, 4)))
        if rng.random() < 0.5:
            replica = rng.choice(replicas)
            log.commit(replica.take())
            if rng.random() < 0.5:
                replica.receive(log.document.encode())
    for replica in replicas:
        log.commit(replica.take())
    log.check_replay()
    return sum(map(len, log.told))


@pytest.mark.parametrize(
    ("roots", "count"),
    [(["text"], 60), (["xml"], 60), (["map"], 40), (["array"], 40), (["text", "xml", "map", "array"], 60)],
    ids=["text", "xml", "map", "array", "all"],
)
def test_operations_replayed_are_the_document(roots: list[str], count: int) -> None:
    """Replaying the operations gives the state after every commit, and replaying the entries gives the same operations."""
    total = 0
    for seed in seeds(count):
        try:
            total += play(seed, roots, Log())
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error
    assert total > 5 * count, "the random edits came to nothing"
