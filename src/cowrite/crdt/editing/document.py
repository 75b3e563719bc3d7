"""A Yjs document that a program edits: what it writes comes out as updates, what others write goes in.

It is for programs that trust where the updates come from, as a client trusts its server: nothing is inspected, beyond what the
engine itself checks. Each edit is one transaction that is over when its call returns, so that an update of others never falls
into the middle of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakMethod

import pycrdt

from cowrite.crdt.building import checked_name
from cowrite.crdt.content import MAX_ROOT_BYTES
from cowrite.crdt.editing.positions import Edit
from cowrite.crdt.errors import EngineFault, raise_fault
from cowrite.crdt.shared_types import Handle, Misfit, Reader, Transaction
from cowrite.crdt.state_vector import decode_state_vector, encode_state_vector
from cowrite.crdt.utf16 import EngineMemory, utf16_document
from cowrite.crdt.values import InvalidValue

NOTHING: Final = b"\x00\x00"
"""The update that brings and deletes nothing."""

_OURS: Final = (InvalidValue, Misfit)
"""What is said about a value, by which the engine has not been harmed."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction did to one root that is looked at."""

    name: str
    """Of the root."""
    local: bool
    """It was made here."""
    edits: tuple[Edit, ...] = ()
    """Of a text; empty where only its formatting has changed."""
    keys: frozenset[str] = frozenset()
    """Of a map: under which something has changed."""


class EditableDocument:
    """See the module's docstring. ``edited`` is told each update that is made here, and ``changed`` each change.

    Neither may raise. After an :class:`EngineFault` nothing can be done with it any more but :meth:`close`.
    """

    def __init__(self, edited: Callable[[bytes], None], changed: Callable[[Change], None]) -> None:
        self._document = utf16_document()
        self._engine = self._document._doc
        self._edited = edited
        self._changed = changed
        self._local = False
        self._fault: str | None = None
        self._roots: dict[str, Handle] = {}
        self._memory: EngineMemory | None = EngineMemory(self._document, self._document.observe(self._update))
        self.may_edit: Callable[[], None] = _nothing
        """Asked before each edit; raises what the edit shall raise."""

    @property
    def closed(self) -> bool:
        """Nothing can be done with it any more."""
        return self._fault is not None

    @property
    def client_id(self) -> int:
        """The Yjs client id under which it is edited here."""
        return int(self._document.client_id)

    def state_vector(self) -> bytes:
        """What it has, as it travels in SyncStep1."""
        return bytes(self._call(self._document.get_state))

    def encode(self) -> bytes:
        """Give all of it as one update."""
        return bytes(self._call(self._document.get_update))

    def diff(self, state_vector: bytes) -> bytes:
        """Give what is behind that state vector, and all deletions. Raises :class:`MalformedStateVector`."""
        decode_state_vector(state_vector)
        return bytes(self._call(self._document.get_update, state_vector))

    @property
    def clock(self) -> int:
        """How much has been written here: the next clock of its own Yjs client id."""
        return decode_state_vector(self.state_vector()).get(self.client_id, 0)

    def written_since(self, clock: int) -> bytes:
        """Give what was written here since then, joined, and all deletions."""
        known = decode_state_vector(self.state_vector()) | {self.client_id: clock}
        return bytes(self._call(self._document.get_update, encode_state_vector(known)))

    def apply(self, update: bytes) -> None:
        """Take an update of others. Raises ``ValueError`` when it cannot be read, and :class:`EngineFault`."""
        if update != NOTHING:
            self._call(self._document.apply_update, update, wrong=ValueError)

    def merge(self, update: bytes) -> None:
        """Take an update that counts as made here: it is told to ``edited``. Raises ``ValueError`` when it is none."""
        self.may_edit()
        self._local = True
        try:
            self.apply(update)
        finally:
            self._local = False

    def close(self) -> None:
        """Give back what it takes in the engine. Idempotent; what was made of it is of no use any more."""
        self._memory = None
        self._fault = self._fault or "it was closed"

    # ---- for what is made of it --------------------------------------------------------------------------------------

    def root(self, name: str, kind: str) -> Handle:
        """The handle of a root, by its kind: ``text``, ``map``, ``array`` or ``xml_fragment``."""
        checked_name(name, MAX_ROOT_BYTES, "the name of a root")
        root = self.read(lambda reader: getattr(self._engine, f"get_or_insert_{kind}")(reader.txn, name))
        self._roots[name] = root
        return root

    def name_of(self, handle: Handle) -> str | None:
        """The name of a root that was asked for; None: it is none of them."""
        return next((name for name, known in self._roots.items() if known == handle), None)

    def observe(self, observe: Callable[[Callable[[Any], None]], Any], told: Callable[[Any], None]) -> object:
        """Let a method know of events, as long as what this returns is kept, and not longer than the object of the method.

        The engine, whose memory Python's collector does not see, holds neither.
        """
        method = WeakMethod(told)

        def tell(event: Any) -> None:
            if (still := method()) is not None:
                still(event)

        return self._call(observe, tell)

    def tell(self, name: str, edits: Sequence[Edit] = (), keys: Iterable[str] = ()) -> None:
        """A root has changed."""
        self._changed(Change(name, self._local, tuple(edits), frozenset(keys)))

    def read(self, work: Callable[[Reader], _T]) -> _T:
        """Look into it."""
        with self._guarded(), Reader(self._engine) as reader:
            return work(reader)

    def write(self, work: Callable[[Transaction], _T]) -> _T:
        """Edit it, in a transaction. What ``work`` raises must have been raised before it has changed anything."""
        self.may_edit()
        with self._guarded():
            txn = self._engine.create_transaction()
            self._local = True
            try:
                result = work(txn)
                txn.commit()
                return result
            finally:
                txn.drop()
                self._local = False

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _update(self, event: pycrdt.TransactionEvent) -> None:
        if self._local and event.update != NOTHING:
            self._edited(event.update)

    def _call(self, function: Callable[..., Any], *arguments: Any, wrong: type[Exception] | None = None) -> Any:
        with self._guarded(wrong):
            return function(*arguments)

    @contextmanager
    def _guarded(self, wrong: type[Exception] | None = None) -> Iterator[None]:
        if self._fault is not None:
            raise EngineFault(f"The document cannot be used any more: {self._fault}.")
        try:
            yield
        except _OURS:
            raise
        except BaseException as error:
            if wrong is not None and isinstance(error, wrong):
                raise
            self._fault = f"the engine failed ({type(error).__name__}: {error})"
            raise_fault(error)


def merged(updates: Sequence[bytes]) -> bytes:
    """Make one update of a few that were made here, in their order. Their pieces stay apart: see :meth:`written_since`."""
    return updates[0] if len(updates) == 1 else bytes(pycrdt.merge_updates(*updates))


def _nothing() -> None:
    pass
