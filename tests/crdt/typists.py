"""People who type, and the log that takes it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pycrdt import Doc, Map, Text

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.outline import missing
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document


class Typist:
    """A Yjs client."""

    def __init__(self, client: int) -> None:
        self.client = client
        self.doc: Doc[Any] = utf16_document(client)
        self.text = self.doc.get("t", type=Text)
        self.cursor = 0
        self.updates: list[bytes] = []
        self._receiving = False
        updates = self.updates
        self.doc.observe(lambda event: None if self._receiving else updates.append(event.update))

    def type(self, text: str, at: int | None = None) -> None:
        self.cursor = self.cursor if at is None else at
        self.text.insert(self.cursor, text)
        self.cursor += len(text.encode("utf-16-le")) // 2

    def backspace(self, count: int = 1, *, and_type: str = "") -> None:
        with self.doc.transaction():
            self.cursor -= count
            del self.text[self.cursor : self.cursor + count]
            if and_type:
                self.type(and_type)

    def take(self) -> list[bytes]:
        taken = list(self.updates)
        self.updates.clear()
        return taken

    def receive(self, log: LogDocument) -> None:
        self._receiving = True
        self.doc.apply_update(log.encode())
        self._receiving = False


class Logs:
    """A log that types on where it can, and its oracle, which never does."""

    def __init__(self) -> None:
        self.log = LogDocument.empty()
        self.oracle = LogDocument.empty()
        self.typed = 0
        self.corrected = 0
        """Of these, in how many something was deleted."""
        self.entries: list[bytes] = []
        """What a restart makes it of."""

    def take(self, typist: Typist) -> Change | None:
        """Commit what somebody has done; whether it was typed on is counted."""
        updates = typist.take()
        return self.commit(updates) if updates else None

    def commit(self, updates: Sequence[bytes]) -> Change | None:
        outlines = [inspect(update) for update in updates]
        assert not missing(outlines[0], self.log.state)
        change = self.log.type_on(updates, outlines)
        self.typed += change is not None
        self.corrected += change is not None and any(outline.deletes for outline in outlines)
        if change is None:
            change = self.log.commit(updates, outlines)
        told = self.oracle.commit([change.update] if change is not None else updates)
        assert (change is None) == (told is None)
        if change is not None and told is not None:
            assert change.operations == told.operations
            assert change.ranges == told.ranges
            self.entries.append(change.update)
        return change

    def check(self) -> None:
        assert self.log.state == self.oracle.state
        assert get_state(self.log) == get_state(self.oracle)
        assert get_state(LogDocument.from_state(self.log.encode(), self.log.roots)) == get_state(self.oracle)
        assert get_state(rebuild_at(None, {}, self.entries)) == get_state(self.oracle)

    def take_each(self, typist: Typist) -> None:
        """Commit what somebody has done, one update after the other."""
        for update in typist.take():
            self.commit([update])

    def check_each(self, typist: Typist) -> None:
        """The same, with a look after each."""
        for update in typist.take():
            self.commit([update])
            self.check()


def typing(*texts: str, client: int = 1) -> tuple[Logs, Typist]:
    logs, typist = Logs(), Typist(client)
    for text in texts:
        typist.type(text)
        logs.take(typist)
    return logs, typist


def act(rng: random.Random, typist: Typist, logs: Logs) -> None:
    length = len(typist.text)
    kind = rng.random()
    if kind < 0.6:
        typist.cursor = min(typist.cursor, length)
        for _ in range(rng.choice((1, 1, 1, 2))):
            typist.type(rng.choice(("a", "b", "xyz", "é", "a")))
    elif kind < 0.7:
        typist.type("Q", at=rng.randrange(length + 1))
    elif kind < 0.8 and length:
        at = min(typist.cursor, length) - 1 if rng.random() < 0.5 and typist.cursor else rng.randrange(length)
        del typist.text[at : at + 1]
        typist.cursor = at
    elif kind < 0.84 and length > 2:
        typist.text.format(0, rng.randrange(1, length), {rng.choice("bi"): rng.choice((True, None))})
    elif kind < 0.86:
        typist.text.insert_embed(rng.randrange(length + 1), {"e": 1})
    elif kind < 0.95:
        typist.receive(logs.log)
    else:
        typist.doc.get("m", type=Map)["k"] = 1
