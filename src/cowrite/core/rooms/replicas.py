"""The two documents of a room, and where in the log they stand.

``log`` is exactly the committed prefix up to ``head`` (while this process's own transaction runs: plus what that is about to
commit). ``live`` is ``log`` plus the updates that this process has taken and not committed yet; peers are served from it.
Neither ever holds pending structs: whatever builds on something missing is not applied (``missing()``).

``log`` may be None: after a transaction that failed it is thrown away, because it is ahead of the store, and made again from
the store under the next lock. ``live`` may be None: then the room is being rebuilt, and has no peers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cowrite.core.ports import News
from cowrite.core.records import Checkpoint, Entry, Head, StoredDocument
from cowrite.core.rooms.making import LARGE_BYTES, awake, log_of, stored_bytes
from cowrite.core.rooms.received import Received
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.merging import merge_updates
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.roots import RootKind

NOTHING = Head(epoch="", offset=0, entry_id="")
"""The head of a document that was never written."""


_NO_STATE = b"\x00\x00"
_MANY_ENTRIES: Final = 100
"""So many entries behind a checkpoint make a document a large one, too: each takes some 0.1 ms to be told as operations."""
_PORTION_BYTES = 16 << 10


class Gap(Exception):
    """Entries do not follow the head: something between was missed. Read the store."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An update on its way that cannot be part of ``live`` any more."""

    update: Received
    reason: str
    for_good: bool = True
    """It would not fit either if it came again with all that it builds on."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A document exactly as it is in the log up to ``head``."""

    head: Head
    state: bytes
    """Yjs update (v1) of all of it."""
    roots: Mapping[str, RootKind]


class Replicas:
    """``log``, ``live`` and ``head`` of one document."""

    def __init__(self, stored: StoredDocument | None, *, shown: Document | None = None) -> None:
        """``shown`` is ``live`` where it was made before; :meth:`wake` makes the rest then."""
        self.head = NOTHING
        self.source: StoredDocument | None = None
        """What ``log`` is still to be made of."""
        self.log: LogDocument | None = None
        self.live: Document | None = None
        self.holds_unseen = False
        """``log`` holds entries of the running transaction that nobody may see before COMMIT: make no ``live`` of it now."""
        self.tail_entries = 0
        """Entries since the newest checkpoint."""
        self.tail_bytes = 0
        """Their bytes."""
        self.mended = False
        """``live`` broke, and is to be made again: that may not be in proportion to its size."""
        self.newest_at = 0
        """When the newest entry was made, as far as that is known: milliseconds since 1970."""
        if stored is None or shown is None:
            self.load(stored)
            self.renew_live(())
        else:
            self.log, self.live = _checkpointed(stored, shown.state), shown
            self.source = stored if self.log is None else None
            self._stand_at(stored)

    def load(self, stored: StoredDocument | None, log: LogDocument | None = None) -> None:
        """Make ``log`` from the store, or take the one that :func:`make_log` made. Raises :class:`EngineFault` when what is
        stored cannot be applied.
        """
        self.log, self.source = log if log is not None else log_of(stored), None
        self._stand_at(stored)

    def _stand_at(self, stored: StoredDocument | None) -> None:
        entries = stored.entries if stored is not None else ()
        self.head = stored.head if stored is not None else NOTHING
        self.tail_entries = len(entries)
        self.tail_bytes = sum(len(entry.update) for entry in entries)
        if entries:
            self.newest_at = max(self.newest_at, entries[-1].created_at)

    @property
    def asleep(self) -> bool:
        """The next edit would take long on the event loop: :meth:`wake` first."""
        live = self.live
        return self.source is not None or (
            live is not None and live.resting and (self.mended or live.encoded_size > LARGE_BYTES)
        )

    async def wake(self) -> None:
        """Make beside the event loop what the next edit needs. What has been made or has changed meanwhile stays as it is.

        Raises :class:`EngineFault` and :class:`HostileUpdate` when it cannot be made.
        """
        source, log, live = self.source, self.log, self.live
        state = live.encode() if live is not None else _NO_STATE
        rests = live is not None and live.resting
        roots = log.roots if log is not None and log.resting and log.is_still(state) else None
        made = await asyncio.to_thread(awake, source, state, roots, rests=rests)
        if source is not None and self.source is source:
            self.log, self.source = made.log, None
        elif log is not None and self.log is log and log.is_still(state) and log.resting and made.log is not None:
            log.wake(made.log)
        if live is not None and self.live is live and live.is_still(state):
            if made.live is not None and live.resting:
                live.wake(made.live)
                self.mended = False
            live.take_places(made.places)

    def adopt(self, epoch: str) -> None:
        """A document that this process has only seen empty belongs to whatever log it has been given meanwhile."""
        if self.head == NOTHING:
            self.head = Head(epoch, 0, "")

    def renew_live(self, pending: Iterable[Received], fresh: Document | None = None) -> list[Unfit]:
        """Make ``live`` from ``log`` and the updates on their way; returns those that do not fit any more (they must be
        refused).

        All pass again what they passed when they came: the log may hold other content than they were made for. ``log`` must be
        there; ``fresh`` is what :func:`make_live` made of it. Raises :class:`EngineFault` when that is broken.
        """
        live, kept, unfit = fresh if fresh is not None else self._live_with(()), [], []
        for received in pending:
            one = _take(live, received)
            if one is None:
                kept.append(received)
                continue
            unfit.append(one)
            if not live.usable:
                live = self._live_with(kept)
        self.live, self.mended = live, False
        return unfit

    def mend_live(self, pending: Iterable[Received]) -> None:
        """``live`` broke on something that came new: let it rest on what it was before, which is ``log`` and what is pending.

        Nothing of that is judged again, as neither has changed; the engine has it after :meth:`wake`. ``log`` must be there,
        and hold nothing unseen. Raises :class:`EngineFault`.
        """
        assert self.log is not None, "live is made from log"
        updates = [received.update for received in pending]
        encoded = self.log.encode()
        self.live = Document.at_rest(merge_updates([encoded, *updates]) if updates else encoded)
        self.mended = True

    def _live_with(self, updates: Iterable[Received]) -> Document:
        assert self.log is not None, "live is made from log"
        live = Document.from_state(self.log.encode())
        for received in updates:
            live.apply(received.update, received.outline)
        return live

    def agree(self, news: News) -> bool:
        """Whether the news is of the log that is known here, as far as both tell: at the head they must name the same entry."""
        if news.epoch != self.head.epoch or not news.entries:
            return True
        at = self.head.offset - news.entries[0].offset
        if not -1 <= at < len(news.entries):
            return True
        return self.head.entry_id == (news.entries[at].id if at >= 0 else news.after)

    def advance(self, entries: Sequence[Entry]) -> list[tuple[bytes, Outline]]:
        """Apply entries that others committed; returns what was new to ``live``, for relaying. Entries at or before the head
        are ignored.

        An entry that gives other content to something that is only in ``live`` leaves that None: what was taken since may have
        been judged by what is not so. Raises :class:`Gap` before anything is applied, and :class:`EngineFault` when a document
        is broken afterwards.
        """
        new = [entry for entry in entries if entry.offset > self.head.offset]
        if [entry.offset for entry in new] != list(range(self.head.offset + 1, self.head.offset + 1 + len(new))):
            raise Gap
        news: list[tuple[bytes, Outline]] = []
        for entry in new:
            outline = outline_of_state(entry.update)
            if self.log is not None:
                self.log.commit([entry.update], [outline])
            self.source = None  # a log that is being made of it would lack this
            if self.live is not None and self.live.contradicts(entry.update, outline):
                self.live, news = None, []
            if self.live is not None:
                fresh = self.live.apply(entry.update, outline)
                if fresh is not None:
                    news.append((fresh, outline))
            self._move(Head(self.head.epoch, entry.offset, entry.id), len(entry.update))
            self.newest_at = max(self.newest_at, entry.created_at)
        return news

    def show(self, entries: Sequence[Entry], outlines: Sequence[Outline]) -> list[tuple[bytes, Outline]]:
        """Apply to ``live`` what is committed and was kept from it so far; returns what was new, for relaying.

        Nothing when ``live`` is being made again. Raises :class:`EngineFault`.
        """
        news = []
        for entry, outline in zip(entries, outlines, strict=True):
            if self.live is not None and (fresh := self.live.apply(entry.update, outline)) is not None:
                news.append((fresh, outline))
        return news

    def derive(self, run: Sequence[Received]) -> Change | None:
        """Apply one author's run to ``log``; None when nothing of it was new. Raises :class:`EngineFault`: ``log`` is broken
        then.
        """
        assert self.log is not None, "runs are applied to log, after it was loaded"
        return self.log.commit([pending.update for pending in run], [pending.outline for pending in run])

    def type_on(self, run: Sequence[Received]) -> Change | None:
        """As :meth:`derive`, sooner, where the run is only keystrokes that go on where their author's last ones are; else None,
        and nothing has happened. The engine gets them with :meth:`catch_up`. Raises :class:`EngineFault`.
        """
        assert self.log is not None, "runs are applied to log, after it was loaded"
        return self.log.type_on([pending.update for pending in run], [pending.outline for pending in run])

    def catch_up(self) -> None:
        """See :meth:`LogDocument.catch_up`."""
        assert self.log is not None, "something was just derived on it"
        self.log.catch_up()

    def settle(self, entries: Sequence[Entry]) -> None:
        """Entries that :meth:`derive` applied are committed: the head moves behind them."""
        self.holds_unseen = False
        for entry in entries:
            self._move(Head(self.head.epoch, entry.offset, entry.id), len(entry.update))

    def abandon(self) -> None:
        """``log`` may be ahead of the store: throw it away."""
        self.holds_unseen = False
        self.log = self.source = None

    def rest(self) -> bool:
        """Keep both as one encoded state until one of them is needed again. Only while nothing is on its way. False: they are
        that already.

        Raises :class:`EngineFault`.
        """
        if self.log is None or self.live is None or (self.log.resting and self.live.resting):
            return False
        self.log.rest()
        self.live.rest(self.log.encode())
        return True

    def committed(self) -> Committed | None:
        """The log as it is, encoded; None when it has to be made again from the store. Only outside of a transaction."""
        return Committed(self.head, self.log.encode(), self.log.roots) if self.log is not None else None

    def checkpoint(self) -> Checkpoint | None:
        """The committed state when enough has come since the newest checkpoint, else None. Only outside of a transaction.

        A large document gets its checkpoints further apart, so that encoding it stays a small part of the work.
        """
        if self.log is None or not self.tail_entries:
            return None
        state_bytes = self.log.encoded_size
        if self.tail_bytes < max(64 << 10, state_bytes // 8) and self.tail_entries < 500 + state_bytes // 2048:
            return None
        self.tail_entries = self.tail_bytes = 0
        return Checkpoint(self.head.offset, self.head.entry_id, self.log.encode(), dict(self.log.roots))

    def _move(self, head: Head, size: int) -> None:
        self.head = head
        self.tail_entries += 1
        self.tail_bytes += size


async def open_replicas(stored: StoredDocument | None) -> Replicas:
    """The replicas of a document as it is stored. Of a large one only what its peers are given at first is made, beside the
    event loop; see :meth:`Replicas.wake`. Raises :class:`EngineFault`.
    """
    if stored is None or (stored_bytes(stored) <= LARGE_BYTES and len(stored.entries) <= _MANY_ENTRIES):
        return Replicas(stored)
    return await asyncio.to_thread(_open, stored)


def portions(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Entries in portions that one step of the event loop can take, in order; none for no entries."""
    portion: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.update)
        if portion and size > _PORTION_BYTES:
            yield portion
            portion, size = [], len(entry.update)
        portion.append(entry)
    if portion:
        yield portion


def _open(stored: StoredDocument) -> Replicas:
    return Replicas(stored, shown=_shown(stored))


def _shown(stored: StoredDocument) -> Document | None:
    """All of the document, for peers. None: it cannot be had without a look at each entry, be it to say which one is wrong."""
    if stored.checkpoint is not None and not stored.entries:
        return Document.at_rest(stored.checkpoint.state)
    base = (stored.checkpoint.state,) if stored.checkpoint is not None else ()
    live = Document.from_log((*base, *(entry.update for entry in stored.entries)))
    if any(live.state.get(client, 0) < end for entry in stored.entries for client, _, end in entry.ranges):
        return None
    live.encode()  # here, and not on the event loop
    return live


def _checkpointed(stored: StoredDocument, state: Mapping[int, int]) -> LogDocument | None:
    """The log, where it is what a checkpoint holds. None: it has to be made."""
    checkpoint = stored.checkpoint
    if checkpoint is None or stored.entries or not checkpoint.roots:
        return None
    return LogDocument.checkpointed(checkpoint.state, checkpoint.roots, state)


def _take(live: Document, received: Received) -> Unfit | None:
    """None: it is in ``live``."""
    if missing(received.outline, live.state):
        return Unfit(received, "it builds on something that is not in the log", for_good=False)
    try:
        if live.contradicts(received.update, received.outline):
            return Unfit(received, "it gives other content to something that was committed before it")
        live.admit(received.update, received.outline)
    except HostileUpdate as error:
        return Unfit(received, f"it does not fit the log any more: {error.reason}")
    except EngineFault as fault:
        return Unfit(received, f"the engine broke on it: {fault}")
    return None
