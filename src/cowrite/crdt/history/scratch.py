"""A document to try out a change of the past in: nobody else has it, and it keeps what is deleted.

It has a Yjs client id of its own, under which all that is written here is made. So what comes out is new to everybody, and may
be applied to any document that holds what the scratch document held before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pycrdt import _pycrdt as engine

from cowrite.crdt.errors import raise_fault
from cowrite.crdt.guard import read_delete_set
from cowrite.crdt.history.patching import Along, Patcher, Unpatchable
from cowrite.crdt.merging import merge_updates
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind
from cowrite.crdt.shared_types import Handle, Misfit, Reader
from cowrite.crdt.typed_roots import read_root, root_handle
from cowrite.crdt.utf16 import EngineMemory, utf16_document
from cowrite.crdt.values import InvalidValue, Json

_TRACKED = 1
"""The origin of what can be undone."""
_FOR_EVER = 2**62


class RestoreFailed(Exception):
    """The past cannot be brought back in this way. Nothing has changed; the message says why, for people."""


def _no_root(_: str) -> None:
    """Nothing is known of what stays."""


class Scratch:
    """Not usable after any exception."""

    def __init__(self, state: bytes, roots: Mapping[str, RootKind], *, client_id: int | None = None) -> None:
        """Make it from a document's state. ``roots`` are those that may be changed and read, none of them mixed.

        Their kinds are those that the log's own document gave them: see :mod:`cowrite.crdt.misplaced` for what reading a root
        as something else can lead to. Raises :class:`EngineFault`.
        """
        self._document = utf16_document(client_id, keep_deleted=True)
        self._engine = self._document._doc
        self._roots = dict(sorted(roots.items()))
        self._fresh: list[bytes] = []
        fresh = self._fresh  # not self: in a cycle the engine's memory would wait for a collection
        self._memory = EngineMemory(self._document, self._document.observe(lambda event: fresh.append(event.update)))
        self._call(self._document.apply_update, state)
        self._handles: dict[str, tuple[Handle, Handle]] = {}
        self._call(self._open)
        self._undo = engine.UndoManager(_FOR_EVER, _no_time, [], [])

    @property
    def client_id(self) -> int:
        return self._document.client_id

    def encode(self) -> bytes:
        """Give the whole state, with what was deleted since the beginning."""
        state: bytes = self._call(self._document.get_update)
        return state

    def content(self) -> dict[str, Json]:
        """Return what each root holds, as :func:`cowrite.crdt.state.get_state` does. Raises :class:`RestoreFailed`."""
        content: dict[str, Json] = self._call(self._read)
        return content

    def track(self, *, separately: bool = False) -> None:
        """From now on note what would undo the updates that are applied as ``tracked``: as one step, or one for each time."""
        if separately:
            self._undo = engine.UndoManager(0, _no_time, [], [])
        self._undo.include_origin(_TRACKED)
        for name, kind in self._roots.items():
            self._call(getattr(self._undo, _SCOPES[kind]), self._engine, self._handles[name][0])

    def apply(self, updates: Iterable[bytes], *, tracked: bool) -> None:
        """Apply entries of the log in one transaction; ``tracked`` True: they can be undone."""
        self._call(self._apply, updates, tracked)

    def tracked(self) -> tuple[Sequence[ClockRange], Sequence[ClockRange]]:
        """Return what :meth:`undo` would take away, and what it would bring back."""
        items = self._call(self._undo.undo_stack)
        return _ranges(item.insertions for item in items), _ranges(item.deletions for item in items)

    def undo(self) -> list[bytes]:
        """Undo what was tracked. Returns it as updates."""
        self._fresh.clear()
        while self._call(self._undo.can_undo):
            self._call(self._undo.undo)
        return self._taken()

    def replica(self) -> Scratch:
        """Make another one from the encoding of this one: it shows what others will see.

        The engine's undo manager may put an entry where this document shows it, while every other one puts it before an older
        one, where it does not count.
        """
        return Scratch(self.encode(), self._roots, client_id=self.client_id)

    def patch(
        self, names: Sequence[str], want: Mapping[str, Json], along: Callable[[str], Along | None] = _no_root
    ) -> list[bytes]:
        """Edit what differs in some roots; returns it as updates. ``along`` tells what stays of a root.

        Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.history.patching.Unpatchable`.
        """
        have = self.content()

        def edit(patcher: Patcher, kind: RootKind, name: str, root: Handle, entries: Handle, _: Handle) -> None:
            patcher.patch(kind, root, entries, have[name], want[name], along(name))

        return self._edit(edit, names)

    def replace(self, names: Sequence[str], want: Mapping[str, Json]) -> list[bytes]:
        """Replace all that some roots hold; returns it as updates. Raises :class:`RestoreFailed`."""

        def edit(patcher: Patcher, kind: RootKind, name: str, root: Handle, entries: Handle, items: Handle) -> None:
            patcher.replace(kind, root, entries, items, want[name])

        return self._edit(edit, names)

    def _taken(self) -> list[bytes]:
        fresh = list(self._fresh)
        self._fresh.clear()
        return fresh

    def _open(self) -> None:
        txn = self._engine.create_transaction()
        try:
            for name, kind in self._roots.items():
                root = root_handle(self._engine, name, kind, txn)
                self._handles[name] = root, self._engine.get_or_insert_map(txn, name)
        finally:
            txn.drop()

    def _apply(self, updates: Iterable[bytes], tracked: bool) -> None:
        make = self._engine.create_transaction_with_origin
        txn = make(_TRACKED) if tracked else self._engine.create_transaction()
        try:
            for update in updates:
                self._engine.apply_update(txn, update)
            txn.commit()
        finally:
            txn.drop()

    def _read(self) -> dict[str, Json]:
        with Reader(self._engine) as reader:
            return {name: read_root(kind, *self._handles[name], reader) for name, kind in self._roots.items()}

    def _edit(self, edit: Callable[..., None], names: Sequence[str]) -> list[bytes]:
        self._fresh.clear()
        self._call(self._edit_roots, edit, names)
        return self._taken()

    def _edit_roots(self, edit: Callable[..., None], names: Sequence[str]) -> None:
        txn = self._engine.create_transaction()
        try:
            patcher = Patcher(txn)
            for name in names:
                items = self._engine.get_or_insert_array(txn, name)
                edit(patcher, self._roots[name], name, *self._handles[name], items)
            txn.commit()
        finally:
            txn.drop()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Unpatchable:
            raise
        except Misfit as misfit:
            raise RestoreFailed(f"What the document would hold cannot be read: {misfit}.") from misfit
        except InvalidValue as invalid:
            raise RestoreFailed(f"The engine cannot write again what was there: {invalid.reason}.") from invalid
        except BaseException as error:
            raise_fault(error)


def merge(updates: Sequence[bytes]) -> bytes | None:
    """Merge updates into one, None when there is none."""
    if not updates:
        return None
    return updates[0] if len(updates) == 1 else merge_updates(updates)


def _ranges(sets: Iterable[engine.IdSet]) -> list[ClockRange]:
    return [found for ids in sets for found in read_delete_set(ids.encode())]


def _no_time() -> int:
    """All that is tracked is one step. (0 would mean to the engine that there was no step before.)"""
    return 1


_SCOPES = {
    RootKind.TEXT: "expand_scope_text",
    RootKind.MAP: "expand_scope_map",
    RootKind.ARRAY: "expand_scope_array",
    RootKind.XML: "expand_scope_xmlfragment",
}
