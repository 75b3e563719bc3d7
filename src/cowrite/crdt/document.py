"""A Yjs document: the only way in which the rest of cowrite holds one.

What comes from a peer passes these in turn: ``inspect`` (guard), ``missing`` (outline), :meth:`Document.contradicts`,
:meth:`Document.admit`. What comes from the log has passed them before it got there: :meth:`Document.apply`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import pycrdt

from cowrite.crdt.contradiction import contradicts, overlapping, starts_of
from cowrite.crdt.errors import EngineFault, HostileUpdate, raise_fault
from cowrite.crdt.guard import outline_of_state, places_of
from cowrite.crdt.outline import ClockRange, Outline, covers, uncovered
from cowrite.crdt.places import Places, check_cut, may_be_misplaced, may_hold_halves
from cowrite.crdt.slices import gentle_slices, slices
from cowrite.crdt.state_vector import decode_state_vector, encode_state_vector
from cowrite.crdt.transactions import Emitted, apply_all
from cowrite.crdt.utf16 import EngineMemory, utf16_document

_NOTHING = b"\x00\x00"
"""The update that brings and deletes nothing."""
_NO_STATE: Mapping[int, int] = {}
_TAIL_BYTES = 64 << 10
_TAIL_SHARE = 64
"""How much :meth:`Document.base` may lack: so many bytes, and one in so many of its own on top."""
_OVERHEAD = 64
"""Bytes that an update takes in memory beside its content."""
_STEPS_AT_ONCE = 100_000
"""How many steps past other structs one call of the engine may take at worst (about 0.4 µs each)."""
_COPIES_AT_ONCE = 200_000_000
"""How many bytes it may copy at worst: cutting a string copies what is behind the cut (about 0.2 ns each)."""
_CPU_SECONDS = 0.04
_CPU_SECONDS_PER_PART, _CPU_SECONDS_PER_BYTE = 30e-6, 5e-9
"""What :meth:`Document.admit` may take, by structs and deleted ranges, and by bytes of the document. What people write takes
about 1 µs each, and the engine looks for its place from the text's beginning: 0.6 ns for each byte.
"""


class Document:
    """A Yjs document that counts in UTF-16 and never holds anything pending.

    After an :class:`EngineFault` it is not usable: every call raises :class:`EngineFault`. Make a new one from the log.
    """

    def __init__(self, *, keep_deleted: bool = False) -> None:
        self._awake: pycrdt.Doc[Any] | None = utf16_document(keep_deleted=keep_deleted)
        """The engine's document; None: :meth:`rest` was called, and nobody has needed it since."""
        self._fault: str | None = None
        self._state: dict[int, int] = {}
        self._encoded: bytes | None = _NOTHING
        self._vector: bytes | None = None
        self._base: bytes | None = None
        self._tail: list[bytes] = []
        """What has come since the base."""
        self._tail_bytes = 0
        self._deletions: bytes | None = _NOTHING
        self._size = 0
        self._pieces = 1
        self._places: Places | None = None
        self._may_hold_halves = False
        self._fresh = Emitted()
        engine = self._awake
        # Not self: in a cycle the engine's memory would wait for a collection.
        self._memory: EngineMemory | None = EngineMemory(engine, engine.observe(self._fresh.take))

    @classmethod
    def empty(cls) -> Self:
        """Make a document without content."""
        return cls()

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """Make a document from what :meth:`encode` gave, or another update that needs nothing. Raises :class:`EngineFault`."""
        return cls.from_log((state,))

    @classmethod
    def from_log(cls, updates: Sequence[bytes]) -> Self:
        """Make a document from a state and the entries behind it, or from all entries, without a look at each. Whether all that
        they build on was there, :attr:`state` tells: it is behind what they reach when not.

        Raises :class:`EngineFault`.
        """
        document = cls()
        document._call(document._integrate_untold, (part for update in updates for part in gentle_slices(update)))
        document._encoded = document._deletions = None
        document._state = decode_state_vector(document._call(document._engine.get_state))
        document._know_size(updates)
        return document

    @classmethod
    def at_rest(cls, encoded: bytes, state: Mapping[int, int] | None = None) -> Self:
        """As :meth:`from_state` and :meth:`rest`, many times sooner; ``state`` if it is known. Raises :class:`EngineFault`."""
        document = cls()
        if state is None:
            state = decode_state_vector(document._call(pycrdt.get_state, encoded))
        document._state = dict(state)
        document._know_size((encoded,))
        document.rest(encoded)
        return document

    def _know_size(self, updates: Sequence[bytes]) -> None:
        self._size = sum(map(len, updates))
        self._pieces = self._size // 8 + 1
        self._may_hold_halves = any(map(may_hold_halves, updates))

    @property
    def usable(self) -> bool:
        """False once the engine has failed."""
        return self._fault is None

    @property
    def state(self) -> Mapping[int, int]:
        """For each Yjs client its next clock. It goes on changing with the document."""
        return self._state

    def state_vector(self) -> bytes:
        """:attr:`state` as it travels. The same object until something is added."""
        if self._vector is None:
            self._vector = encode_state_vector(self._state)
        return self._vector

    @property
    def encoded_size(self) -> int:
        """About how many bytes :meth:`encode` gives, without encoding."""
        return self._size

    def expect(self, size: int) -> None:
        """What comes now may take so many bytes beside its own: they count until it is encoded."""
        self._size += size

    def encode(self) -> bytes:
        """Give the whole state as one update (v1). The same object until the next change."""
        encoded = self._encoded
        if encoded is None:
            encoded = self._encoded = self._call(self._engine.get_update)
        self._size = len(encoded)
        return encoded

    def base(self) -> tuple[bytes, Sequence[bytes]]:
        """Give the whole state as one update, as it was some time ago, and the updates that have come since, in order.

        The first is the same object for long, so that a document which many come into while it is edited is not encoded for
        each of them. The second is empty when the first is the state of now, and goes on growing with the document.
        """
        if self._base is None:
            self._base, self._tail, self._tail_bytes = self.encode(), [], 0
        return self._base, self._tail

    def rest(self, encoded: bytes | None = None) -> None:
        """Keep the encoded state alone until the engine is needed again, which then costs what :meth:`from_state` costs.

        ``encoded``: the bytes of another document with the same content, so that both share them. Raises :class:`EngineFault`.
        """
        if self._awake is not None:
            self._encoded = encoded if encoded is not None else self.encode()
            self._size = len(self._encoded)
            self._awake = self._memory = self._places = self._deletions = self._base = None

    @property
    def resting(self) -> bool:
        """Whether there is nothing of it but its encoded state."""
        return self._awake is None

    def is_still(self, encoded: bytes) -> bool:
        """Whether nothing has changed since :meth:`encode` gave this object."""
        return self._encoded is encoded

    def wake(self, other: Self) -> None:
        """Be in the engine again, by what another document has there that was made of what this one rests on, and goes now."""
        self._take_engine_of(other)

    def diff(self, state_vector: bytes) -> bytes:
        """Give what is behind that state vector, and all deletions (a state vector says nothing of them).

        Raises :class:`cowrite.crdt.state_vector.MalformedStateVector`.
        """
        theirs = decode_state_vector(state_vector)
        known = {client: min(clock, theirs[client]) for client, clock in self._state.items() if theirs.get(client)}
        if not known:
            return self.encode()
        if known != self._state:
            return self._diff(known)
        if self._deletions is None:
            self._deletions = self._diff(known)
        return self._deletions

    def holds(self, outline: Outline) -> bool:
        """Tell whether the update of this outline would bring nothing new. It costs what the next does."""
        known = self._state.get
        return all(known(client, 0) >= end for client, _, end in outline.brings) and not self.new_deletions(outline)

    def new_deletions(self, outline: Outline) -> int:
        """Count the deleted ranges of the update of this outline of which something is not deleted here.

        Where there are some, this costs about what ``inspect`` takes for all deletions of the document.
        """
        return sum(1 for _ in uncovered(self._deleted(), outline.deletes)) if outline.deletes else 0

    def contradicts(self, update: bytes, outline: Outline, *, checked: Mapping[int, int] = _NO_STATE) -> bool:
        """Tell whether the update says something else of a (client, clock) than this document, which holds it already.

        ``checked``: by client, the clock up to which that was looked at before. Costs one look-up per brought range while all
        are new; else the engine encodes what it holds from the overlaps on.
        """
        overlap = self.overlap(outline, checked=checked)
        return overlap is not None and contradicts(update, outline.layout, *overlap)

    def overlap(self, outline: Outline, *, checked: Mapping[int, int] = _NO_STATE) -> tuple[bytes, Sequence[ClockRange]] | None:
        """Return what is held of that which the update brings, for :func:`cowrite.crdt.contradiction.contradicts`."""
        overlaps = overlapping(outline.brings, self._state, checked)
        return (self.held(starts_of(overlaps)), overlaps) if overlaps else None

    def held(self, starts: Mapping[int, int]) -> bytes:
        """Return what is held of these clients, from these clocks on."""
        return self._diff(dict(self._state) | dict(starts))

    def check_places(self, outline: Outline) -> None:
        """Raise :class:`cowrite.crdt.errors.HostileUpdate` when the update puts something where it cannot be.

        That is: shared types nested too deep, a parent that is no shared type, half a character, what is no entry under a key
        (:mod:`cowrite.crdt.places`), between neighbours where replicas would differ (:mod:`cowrite.crdt.neighbours`). The
        document must have what the update needs. The first call that has to look reads all of it, as ``inspect`` does.
        """
        layout = outline.layout
        if layout.halves:
            check_cut(layout, self._state)
        if self._places is None:
            if not self._state:  # in no time; later it would take the longer, the more was written meanwhile
                self.take_places(places_of(self.encode()))
            elif may_be_misplaced(outline, self._state) or (self._may_hold_halves and (layout.rows or outline.deletes)):
                self.prepare()
            else:
                return
        assert self._places is not None, "they were made"
        if self._places.types_on(outline):
            return
        self._places.check(outline)
        if (dying := self._places.neighbours.check(outline)) and not self._are_deleted(dying, outline):
            raise HostileUpdate("neighbours", "of a struct's neighbours one was collected, and the other one was not")

    def _are_deleted(self, types: Iterable[tuple[int, int]], outline: Outline) -> bool:
        """Tell whether these are, or will be by the update."""
        deleted, ranges = self._deleted(), [ClockRange(client, clock, clock + 1) for client, clock in types]
        return all(covers(deleted, (one,)) or covers(outline.deletes, (one,)) for one in ranges)

    def _deleted(self) -> Sequence[ClockRange]:
        return outline_of_state(self.diff(self.state_vector())).deletes

    def prepare(self) -> None:
        """Do what the first call of :meth:`check_places` that has to look would do."""
        if self._places is None:
            self.take_places(places_of(self.encode()))

    def take_places(self, places: Places) -> None:
        """As :meth:`prepare`, with what :func:`places_of` has made of this document as it is now."""
        self._places = places

    def admit(self, update: bytes, outline: Outline) -> bytes | None:
        """Apply an update that came from a peer: as :meth:`apply`, after :meth:`check_places`, and within bounded CPU time.

        Raises :class:`cowrite.crdt.errors.HostileUpdate` before anything has changed; :class:`EngineFault` also when it took
        too long.
        """
        self.check_places(outline)
        parts = outline.structs + len(outline.deletes)
        cuts = outline.loose + 2 * len(outline.deletes)
        pieces = self._pieces + 2 * outline.structs  # each struct may cut another
        size = self._size + len(update)
        if parts == 1 or (outline.loose * pieces <= _STEPS_AT_ONCE and cuts * size <= _COPIES_AT_ONCE):
            return self.apply(update, outline)
        ranges = max(1, _COPIES_AT_ONCE // (2 * size))
        structs = max(1, min(_STEPS_AT_ONCE // pieces, ranges))
        self._call(self._integrate_in_slices, slices(update, outline, structs=structs, ranges=ranges), parts)
        return self._applied(outline)

    def apply(self, update: bytes, outline: Outline) -> bytes | None:
        """Apply an update that was inspected, of which nothing is missing and that contradicts nothing.

        Returns what was new as an update, None when nothing was. Raises :class:`EngineFault`.
        """
        if outline.is_empty and self._fault is None:
            return None  # what most who come in say; a document at rest need not wake for it
        if self._is_all_new(outline):
            self._call(self._integrate_untold, (update,))
            self._note(outline, update)
            return update
        self._integrate(update)
        return self._applied(outline)

    @property
    def _engine(self) -> pycrdt.Doc[Any]:
        if self._awake is None:
            self._wake()
        assert self._awake is not None, "it is awake now"
        return self._awake

    def _wake(self) -> None:
        assert self._encoded is not None, "a document rests on its encoded state"
        try:
            self._take_engine_of(type(self).from_state(self._encoded))
        except EngineFault as fault:
            self._fault = str(fault)
            raise

    def _take_engine_of(self, other: Self) -> None:
        self._awake, self._memory, self._fresh = other._awake, other._memory, other._fresh

    def _diff(self, known: Mapping[int, int]) -> bytes:
        update: bytes = self._call(self._engine.get_update, encode_state_vector(known))
        return update

    def _is_all_new(self, outline: Outline) -> bool:
        """Whether the update itself is what is new of it. (Of deletions only the engine knows whether they are new.)"""
        return not outline.deletes and not overlapping(outline.brings, self._state)

    def _integrate(self, update: bytes) -> None:
        engine = self._engine
        self._fresh.clear()
        self._call(apply_all, engine._doc, (update,))

    def _integrate_untold(self, updates: Iterable[bytes]) -> None:
        """In one transaction of which the engine need not tell what was new: writing that down takes longer than the rest."""
        engine = self._engine._doc
        self._fresh.wanted = False
        try:
            apply_all(engine, updates)
        finally:
            self._fresh.wanted = True

    def _integrate_in_slices(self, updates: Iterable[bytes], parts: int) -> None:
        allowed = _CPU_SECONDS + _CPU_SECONDS_PER_PART * parts + _CPU_SECONDS_PER_BYTE * self._size
        deadline = time.thread_time() + allowed
        engine = self._engine
        self._fresh.clear()
        with engine.transaction():
            for update in updates:
                engine.apply_update(update)
                if time.thread_time() > deadline:
                    raise TimeoutError(f"an update of {parts} structs and deletions took more than {allowed:.2f} s of CPU time")

    def _applied(self, outline: Outline) -> bytes | None:
        """Bring up to date what is remembered besides the engine."""
        if not self._fresh:
            return None
        fresh = self._fresh.pop()
        self._note(outline, fresh)
        return fresh

    def _note(self, outline: Outline, fresh: bytes) -> None:
        self._follow(outline)
        self._grow(fresh)

    def _grow(self, fresh: bytes) -> None:
        self._size += len(fresh)
        if self._base is not None:
            self._tail.append(fresh)
            self._tail_bytes += len(fresh) + _OVERHEAD
            if self._tail_bytes > _TAIL_BYTES + len(self._base) // _TAIL_SHARE:
                self._base = None

    def _follow(self, outline: Outline) -> None:
        state = self._state
        for client, _, end in outline.brings:
            if end > state.get(client, 0):
                state[client] = end
                self._vector = None
        if outline.layout.halves:
            self._may_hold_halves = True  # known also when the places are forgotten (rest)
        if self._places is not None:
            self._places.note(outline)
        self._encoded = self._deletions = None
        self._pieces += 2 * outline.structs + len(outline.deletes)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._fault is not None:
            raise EngineFault(f"The document is unusable since the engine failed ({self._fault}). Make it again from the log.")
        try:
            return function(*arguments)
        except BaseException as error:
            self._fault = f"{type(error).__name__}: {error}"
            raise_fault(error)
