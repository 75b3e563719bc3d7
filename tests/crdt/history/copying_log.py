"""A log with restores and undos in it, as the server makes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pycrdt import Doc, Text

from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.diff import diff
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.history.restoring import Restored, Undone, restore, undo_of
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from crdt.history.recorded import RecordedLog
from crdt.history.test_diff import check_reversed
from crdt.history.test_restoring import credits_of, shows
from crdt.random_edits import RandomReplica


@dataclass
class CopyingLog(RecordedLog):
    """A log with restores and undos in it."""

    copies: list[tuple[Copy, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def origins(self) -> Origins:
        return Origins(copy for copies in self.copies for copy in copies)

    def at(self, offset: int) -> LogDocument:
        return LogDocument.from_state(self.states[offset], self.document.roots)

    def restoring(self, offset: int) -> Restored:
        target = get_state(self.at(offset))
        head = self.document
        return restore(self.states[offset], head.roots, head.encode(), None, target, origins=self.origins)

    def restore(self, offset: int) -> Restored:
        """Restore, and see whether it shows what it showed, and whose that was."""
        result = self.restoring(offset)
        self.bring(result)
        assert shows(self.document, get_state(self.at(offset)))
        if result.update is not None:
            assert credits_of(self.document, self.attribution) == credits_of(self.at(offset), self.attribution)
        return result

    def undo(self, offset: int, theirs: Sequence[bool]) -> None:
        entries = zip(self.updates[offset:], theirs, strict=True)
        brought = zip(self.copies[offset:], theirs, strict=True)
        copies = [(copy, mine) for found, mine in brought for copy in found]
        head = self.document
        self.bring(undo_of(self.states[offset], head.roots, entries, head.encode(), copies=copies))

    def bring(self, result: Restored | Undone) -> None:
        if result.update is not None:
            self.commit([result.update], result.copies)

    def commit(self, updates: Sequence[bytes], copies: Sequence[Copy] = ()) -> None:
        super().commit(updates)
        if len(self.copies) < len(self.updates):
            self.copies.append(tuple(copies))
            self.authored[-1] = self.authored[-1]._replace(copies=copies)

    def edit(self, kind: Any, root: str, edit: Any) -> None:
        """Somebody who has seen all edits a root."""
        doc: Doc[Any] = utf16_document()
        doc.apply_update(self.document.encode())
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        edit(doc.get(root, type=kind))
        doc.unobserve(subscription)
        self.commit(updates)

    def told(self, start: int, end: int) -> Any:
        tree = diff(self.states[start], self.states[end], self.document.roots, self.attribution, end)
        check_reversed(tree)
        return tree


def every_root(log: CopyingLog, edit: Any, client_id: int) -> None:
    doc: Doc[Any] = utf16_document(client_id)
    doc.apply_update(log.document.encode())
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    edit(doc)
    doc.unobserve(subscription)
    log.commit(updates)


def brave_world() -> CopyingLog:
    """Somebody deletes a word, it is brought back, somebody types on."""
    log = CopyingLog()
    log.edit(Text, "t", lambda typed: typed.insert(0, "Hello brave world"))
    log.edit(Text, "t", lambda typed: typed.__delitem__(slice(6, 12)))
    log.restore(1)
    log.edit(Text, "t", lambda typed: typed.insert(17, "!"))
    return log


def random_history(seed: int, roots: list[str]) -> CopyingLog:
    """Two people edit, now and then a moment is brought back or changes are taken back."""
    rng = random.Random(seed)
    log = CopyingLog()
    replicas = [RandomReplica(rng, roots, 2**40 + number) for number in range(2)]
    for _ in range(rng.randrange(8, 25)):
        replica = rng.choice(replicas)
        chance = rng.random()
        if chance < 0.25:
            log.restore(rng.randrange(len(log.updates) + 1))
        elif chance < 0.32:
            start = rng.randrange(len(log.updates) + 1)
            log.undo(start, [rng.random() < 0.4 for _ in log.updates[start:]])
        else:
            replica.edit(rng.choice((1, 1, 4)))
            log.commit(replica.take())
        if rng.random() < 0.6:
            replica.receive(log.document.encode())
    return log
