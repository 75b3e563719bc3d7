"""What everybody will see after an update, before anybody is given it."""

from __future__ import annotations

from collections.abc import Mapping

from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import GuardLimits, inspect
from cowrite.crdt.history.patching import same
from cowrite.crdt.history.scratch import RestoreFailed
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json


class Proof:
    """Tries updates on copies of a document's log: as the journal will apply them, with the kinds that the log gave its roots.

    A scratch document cannot tell: it keeps what is deleted, and knows of no kinds but those it was told.
    """

    def __init__(self, head: bytes, roots: Mapping[str, RootKind], limits: GuardLimits) -> None:
        """``head`` is the document, ``roots`` are the kinds of all of its roots; updates must keep to ``limits``."""
        self._head = head
        self._roots = roots
        self._limits = limits
        log = self._copy()
        self._log: LogDocument | None = log
        self.state: Mapping[int, int] = dict(log.state)
        """What the document has: for each Yjs client its next clock."""

    def inspect(self, update: bytes) -> Outline:
        """Look at an update as if a peer had sent it. Raises :class:`RestoreFailed`, :class:`EngineFault`."""
        try:
            outline = inspect(update, self._limits)
        except HostileUpdate as error:
            raise RestoreFailed(f"What would have to be written is too much for one update: {error.reason}.") from error
        if missing(outline, self.state):
            raise EngineFault("The engine made an update that cannot be merged.")
        return outline

    def differing(self, update: bytes | None, want: Mapping[str, Json]) -> list[str]:
        """Return the names of the roots that will not hold what they should.

        Raises :class:`RestoreFailed` when the update cannot be applied, or changes other roots; :class:`EngineFault`.
        """
        log = self._log or self._copy()
        self._log = log if update is None else None
        if update is not None:
            outline = self.inspect(update)
            change = log.commit([update], [outline])
            operations = change.operations if change is not None else ()
            if others := {operation.position[0] for operation in operations} - want.keys():
                raise RestoreFailed(f"The root {min(others)!r} would be changed, which nobody asked for.")
        have = log.content()
        return [name for name, value in want.items() if name not in have or not same(have[name], value)]

    def _copy(self) -> LogDocument:
        return LogDocument.from_state(self._head, self._roots)
