"""The document that is exactly the committed log, and tells each change as operations.

Every commit is one transaction of the engine. What was new comes out as one update (the engine's own, encoded after deleted
content was dropped) and as events, which are written as operations. Both depend on nothing but the document before and what is
applied, so whoever replays the stored updates has the same document, roots and operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pycrdt

from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.outline import ClockRange, Outline, missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.tails import Tails
from cowrite.crdt.transactions import apply_all
from cowrite.crdt.typed_roots import TypedRoots
from cowrite.crdt.values import Json


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit brought that was new."""

    update: bytes
    """Yjs update (v1)."""
    ranges: tuple[ClockRange, ...]
    """The structs in it, by Yjs client."""
    operations: tuple[OperationDraft, ...]
    """The same as operations, to be applied one after the other; none when nothing that can be seen has changed."""


class LogDocument(Document):
    """A document that knows what its roots are."""

    def __init__(self) -> None:
        self._tails = Tails()
        self._ahead: list[bytes] = []
        """Keystrokes that were taken by :meth:`type_on`, and that the engine has not got yet."""
        super().__init__()
        self._watched: TypedRoots | None = TypedRoots(self._engine._doc, {})
        """None while it rests."""
        self._kinds: Mapping[str, RootKind] = {}
        """What the roots were when it was put to rest."""

    @classmethod
    def from_state(
        cls, state: bytes, roots: Mapping[str, RootKind] | None = None, *, parts: Sequence[bytes] | None = None
    ) -> Self:
        """Make a document from what :meth:`encode` and :attr:`roots` gave. Raises :class:`EngineFault`.

        A root that is missing in ``roots`` gets the kind that its content shows now; that takes a look at all of the state.
        ``parts``: the state in slices, of which the engine is given one a call.
        """
        document = super().from_log(parts if parts is not None else (state,))
        document._watched = known = document._call(TypedRoots, document._engine._doc, roots or {})
        if known.unvetted:
            document._call(known.vet, state, document._call(outline_of_state, state).layout)
        return cls.from_state(state, known.kinds, parts=parts) if known.miscast else document

    @classmethod
    def checkpointed(cls, encoded: bytes, roots: Mapping[str, RootKind], state: Mapping[int, int]) -> Self:
        """As :meth:`from_state` with the kinds of all roots, and then :meth:`rest`, but the engine has nothing to do. ``state``
        is what :attr:`state` would be.
        """
        document = cls.at_rest(encoded, state)
        document._kinds = dict(roots)
        return document

    def rest(self, encoded: bytes | None = None) -> None:
        """As :meth:`Document.rest`; made anew as from a checkpoint."""
        if self._watched is not None:
            self.catch_up()
            self._kinds = self._watched.kinds
            self._tails.clear()
            super().rest(encoded)
            self._watched = None

    @property
    def roots(self) -> dict[str, RootKind]:
        """The kinds of the roots, as far as they have shown themselves; by name in order."""
        return self._watched.kinds if self._watched is not None else dict(self._kinds)

    @property
    def settled(self) -> bool:
        """Whether the kind of every root is known: an update that names no other root gives none a kind."""
        return self._roots.settled

    def has_root(self, name: str) -> bool:
        """Tell whether any update has named this root."""
        return name in self._roots

    def content(self) -> dict[str, Json]:
        """What can be seen in the document, as JSON: see :func:`cowrite.crdt.state.get_state`. Raises :class:`EngineFault`."""
        content: dict[str, Json] = self._call(self._roots.content)
        return content

    def commit(self, updates: Sequence[bytes], outlines: Sequence[Outline] | None = None) -> Change | None:
        """Apply updates in one transaction; None when nothing of them was new.

        Each was inspected (these are its ``outlines``; left out, it is what a document of the same log has encoded, or an
        entry of it), nothing of it is missing, and it contradicts nothing. Raises :class:`EngineFault`; whatever cannot be
        applied or told as operations is one.
        """
        engine = self._engine._doc
        self._fresh.clear()
        self._call(apply_all, engine, updates)
        if not self._fresh:
            return None
        emitted = self._fresh[0]
        known = outlines[0] if outlines and len(updates) == 1 and updates[0] == emitted else None
        outline = known or self._call(outline_of_state, emitted)
        new = self._new_roots(outlines or [outline])
        operations = self._call(self._roots.operations, new, emitted, outline.layout)
        self._applied(outline)
        self._tails.follow(outline, operations)
        if self._roots.miscast:
            self._recast()
        return Change(emitted, outline.brings, tuple(operations))

    def type_on(self, updates: Sequence[bytes], outlines: Sequence[Outline]) -> Change | None:
        """As :meth:`commit`, many times sooner, when the updates are nothing but keystrokes of one client where that has typed
        last, or one that deletes the last characters there; else None, and nothing has happened.

        The engine gets them later, those of all clients in one transaction: with the next call that needs it, or with
        :meth:`catch_up`. Raises :class:`EngineFault`.
        """
        typed = self._tails.continuation(updates, outlines) if self._fault is None else None
        if typed is None or missing(outlines[0], self._state):
            return None
        self._ahead.append(typed.update)
        self._tails.go_on(typed)
        for outline in outlines:
            self._follow(outline)
        self._grow(typed.update)
        return Change(typed.update, typed.brings, typed.operations)

    def catch_up(self) -> None:
        """Let the engine have what :meth:`type_on` has taken. Raises :class:`EngineFault`."""
        if self._ahead:
            ahead, self._ahead = self._ahead, []
            self._call(self._apply_unheard, ahead)

    def _apply_unheard(self, updates: Sequence[bytes]) -> None:
        with self._roots.unheard():
            self._integrate_untold(updates)

    @property
    def _engine(self) -> pycrdt.Doc[Any]:
        self.catch_up()
        return super()._engine

    def replay(self, updates: Sequence[bytes], until: Mapping[int, int]) -> bool:
        """Apply the next entries of the log in one transaction, several times sooner than :meth:`commit`: none is looked at
        alone. The kinds of all roots must be known (:attr:`settled`). ``until`` are the clocks that the entries reach.

        False: in this way it cannot be done, as they name a new root, or build on something that is not there. Then, and after
        an :class:`EngineFault`, this document is of no use.
        """
        engine = self._engine._doc
        self._fresh.clear()
        self._call(apply_all, engine, updates)
        if self._fresh:
            emitted = self._fresh[0]
            outline = self._call(outline_of_state, emitted)
            if not all(map(self.has_root, outline.roots)):
                return False
            self._call(self._roots.operations, {}, emitted, outline.layout)  # finds roots that are mixed now
            self._applied(outline)
        # What builds on something that is not there waits in the engine, and nothing else tells of it.
        return all(self._state.get(client, 0) >= clock for client, clock in until.items())

    def _new_roots(self, outlines: Sequence[Outline]) -> dict[str, RootKind | None]:
        new: dict[str, RootKind | None] = {}
        for outline in outlines:
            if outline.roots:
                for name, kind in outline.roots.items():
                    if name not in self._roots:
                        new[name] = new.get(name) or kind
        return new

    def _recast(self) -> None:
        """Make the engine's document anew, so that it knows what the roots are."""
        self._take_engine_of(self.from_state(self.encode(), self._roots.kinds))

    @property
    def _roots(self) -> TypedRoots:
        self.catch_up()
        if self._watched is None:
            self._wake()
        assert self._watched is not None, "it is awake now"
        return self._watched

    def _wake(self) -> None:
        try:
            self._take_engine_of(self.from_state(self.encode(), self._kinds))
        except EngineFault as fault:
            self._fault = str(fault)
            raise

    def _take_engine_of(self, other: Self) -> None:
        super()._take_engine_of(other)
        self._watched = other._watched
        self._tails.clear()
