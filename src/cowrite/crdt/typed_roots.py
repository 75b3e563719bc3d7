"""The roots of one engine document: what kind each is, and what changes in it.

The engine gives events only for a root of known type, fixes the type when the root is first named by it, and lets every root be
*read* as any type. So a root is opened after the first transaction that names it. Its kind is inferred from what can be seen in
it; nothing could be seen before, so its operations are inserts of all that it holds. A root in which nothing can be seen yet is
watched until there is something. When a root turns out to be of another kind than the engine was told, the document is
``miscast``: its owner makes it anew from its encoding, with the kinds that are known by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from pycrdt import _pycrdt as engine

from cowrite.crdt.misplaced import embedded_strings, hides_text
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.crdt.outline import Layout
from cowrite.crdt.roots import RootKind, Seen, infer_kind
from cowrite.crdt.shared_types import TEXTS, Handle, Misfit, Reader, Transaction, units_of
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.translator import Attention, Watch, translate
from cowrite.crdt.values import Json

_SEEN = {
    engine.XmlElement: Seen.NODE,
    engine.XmlText: Seen.NODE,
    engine.XmlFragment: Seen.FRAGMENT,
    engine.Text: Seen.ITEM,
    engine.Array: Seen.ITEM,
    engine.Map: Seen.ITEM,
}


class TypedRoots:
    """Watches all roots of a document. Made right after the document was loaded; ``kinds`` are those that are known."""

    def __init__(self, document: engine.Doc, kinds: Mapping[str, RootKind]) -> None:
        self._document = document
        self._watches: dict[str, Watch] = {}
        self._attention = Attention()
        self.miscast = False
        """A root's kind is another one than the engine was told: its events say nothing. Make the document anew."""
        self.unvetted: list[str] = []
        """Roots whose kind was inferred only now: see :meth:`vet`."""
        with Reader(document) as reader:
            for name in sorted({**document.roots(reader.txn), **kinds}):
                kind = kinds.get(name)
                watch = self._watch(name, kind, kind or RootKind.TEXT, reader.txn)
                if kind is None:
                    watch.kind = self._infer(name, watch, reader.txn)
                    if watch.kind is not None:
                        self.unvetted.append(name)

    @property
    def kinds(self) -> dict[str, RootKind]:
        """The kinds that are known, by name in order."""
        return {name: watch.kind for name, watch in sorted(self._watches.items()) if watch.kind is not None}

    @property
    def settled(self) -> bool:
        """Whether the kind of every root is known."""
        return all(watch.kind is not None for watch in self._watches.values())

    def __contains__(self, name: str) -> bool:
        return name in self._watches

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Within it, nothing is taken down of what changes: it is known, and the engine would take long to tell."""
        self._attention.heard = False
        try:
            yield
        finally:
            self._attention.heard = True

    def content(self) -> dict[str, Json]:
        """What each root of known kind holds, as a tagged value. Roots that are mixed are left out."""
        with Reader(self._document) as reader:
            return {
                name: _read(watch, reader)
                for name, watch in sorted(self._watches.items())
                if watch.kind is not None and watch.kind is not RootKind.MIXED
            }

    def vet(self, state: bytes, layout: Layout) -> None:
        """Look whether the roots that came with no kind can be read at all. ``state`` is what the document was made from."""
        with Reader(self._document) as reader:
            everything = [(name, watch, True) for name, watch in self._watches.items()]
            _warn(reader, state, layout, everything)
            for name in self.unvetted:
                try:
                    _read(self._watches[name], reader)
                except Misfit:
                    _give_up(self._watches[name])

    def operations(self, new: Mapping[str, RootKind | None], emitted: bytes, layout: Layout) -> list[OperationDraft]:
        """Write the last transaction as operations.

        ``new`` are roots that were named for the first time, with the kind that the update suggests; ``emitted`` and
        ``layout`` are the transaction's update and its layout.
        """
        drafts: list[OperationDraft] = []
        with Reader(self._document) as reader:
            changed = self._changed(new, reader)
            if changed:
                _warn(reader, emitted, layout, changed)
            for name, watch, opened in changed:
                try:
                    drafts += _opening(name, watch, reader) if opened else translate(name, watch, reader)
                except Misfit:
                    _give_up(watch)
                    if not opened:
                        drafts.append(OperationDraft(OperationType.DELETE, (name,)))
            for _, watch, _ in changed:
                watch.events.clear()  # not sooner: whether a later root hides text is counted over the events of all
        return drafts

    def _changed(self, new: Mapping[str, RootKind | None], reader: Reader) -> list[tuple[str, Watch, bool]]:
        """The roots that the transaction changed, by name, and whether they have been opened just now.

        Here roots that are new, or that were unknown, get their kind; those that stay unknown are left out.
        """
        changed = []
        for name in sorted(new):
            self._watch(name, None, new[name] or RootKind.TEXT, reader.txn)
        for name, watch in self._watches.items():
            if watch.fault is not None:
                raise watch.fault
            if watch.kind is None and (watch.events or name in new):
                watch.events.clear()
                watch.kind = self._infer(name, watch, reader.txn)
                if watch.kind is not None:
                    changed.append((name, watch, True))
            elif watch.events:
                changed.append((name, watch, False))
        if len(changed) > 1:
            changed.sort(key=_name)
        return changed

    def _watch(self, name: str, kind: RootKind | None, cast: RootKind, txn: Transaction) -> Watch:
        root = root_handle(self._document, name, cast, txn)
        watch = Watch(root, self._document.get_or_insert_map(txn, name), kind, cast, self._attention)
        self._watches[name] = watch
        if kind is not RootKind.MIXED:
            # Through an array's handle, because a text's own deep observer tells nothing of the types nested in it.
            watch.subscription = self._document.get_or_insert_array(txn, name).observe_deep(watch.take)
        return watch

    def _infer(self, name: str, watch: Watch, txn: Transaction) -> RootKind | None:
        chunks = self._document.get_or_insert_text(txn, name).diff(txn)
        # Only texts have formats: a shared type in one may be all that can be seen of it yet.
        listed = [Seen.TEXT if formats else _SEEN.get(type(chunk), Seen.TEXT) for chunk, formats in chunks]
        if self._document.get_or_insert_array(txn, name).len(txn) > sum(units_of(chunk) for chunk, _ in chunks):
            listed.append(Seen.ITEM)
        kind = infer_kind(listed, keyed=bool(watch.entries.keys(txn)))
        if kind is not None and kind is not watch.cast:
            self.miscast = True
            watch.root = root_handle(self._document, name, kind, txn)
        return kind


def root_handle(document: engine.Doc, name: str, kind: RootKind, txn: Transaction) -> Handle:
    """Return a root as that kind of type."""
    if kind is RootKind.MAP:
        return document.get_or_insert_map(txn, name)
    if kind is RootKind.ARRAY:
        return document.get_or_insert_array(txn, name)
    if kind is RootKind.XML:
        return document.get_or_insert_xml_fragment(txn, name)
    return document.get_or_insert_text(txn, name)


def _name(change: tuple[str, Watch, bool]) -> str:
    return change[0]


def _give_up(watch: Watch) -> None:
    assert watch.subscription is not None, "a root that is mixed already has no events"
    watch.subscription.drop()
    watch.subscription = None
    watch.kind = RootKind.MIXED


def _warn(reader: Reader, update: bytes, layout: Layout, changed: Iterable[tuple[str, Watch, bool]]) -> None:
    """Tell the reader what it has to look for in what an update has changed."""
    reader.hides_text = lambda: hides_text(update, layout, _texts(changed, reader))
    reader.wary = bool(layout.halves) and reader.strays
    reader.embedded = embedded_strings(update, layout)


def _texts(changed: Iterable[tuple[str, Watch, bool]], reader: Reader) -> Iterator[str]:
    """Every string that the transaction put into texts that were there before, or into a root that is a text."""
    for _, watch, opened in changed:
        if not opened:
            for event in watch.events:
                if event.kind in TEXTS:
                    yield from (change["insert"] for change in event.delta if isinstance(change.get("insert"), str))
        elif watch.kind is RootKind.TEXT:
            yield from (chunk for chunk, _ in watch.root.diff(reader.txn) if isinstance(chunk, str))


def read_root(kind: RootKind, root: Handle, entries: Handle, reader: Reader) -> Json:
    """Write what a root holds as a tagged value. ``entries`` is the same root as a map: the engine shows the attributes of an
    XML root as entries only. Raises :class:`~cowrite.crdt.shared_types.Misfit`.
    """
    if kind is RootKind.TEXT:
        return {"$text": reader.delta(root)}
    if kind is RootKind.ARRAY:
        return {"$array": reader.items(root)}
    if kind is RootKind.MAP:
        return {"$map": reader.entries(root)}
    return {"$xml": None, "attrs": _attributes(entries, reader), "children": reader.children(root)}


def _read(watch: Watch, reader: Reader) -> Json:
    assert watch.kind is not None, "nothing can be seen in a root of unknown kind"
    return read_root(watch.kind, watch.root, watch.entries, reader)


def _attributes(entries: Handle, reader: Reader) -> dict[str, Json]:
    return reader.attributes((name, entries.get(reader.txn, name)) for name in entries.keys(reader.txn))


def _opening(name: str, watch: Watch, reader: Reader) -> list[OperationDraft]:
    """Write all that a root holds as inserts."""
    if watch.kind is RootKind.TEXT:
        drafts = []
        index = 0
        for piece in reader.delta(watch.root):
            content = piece["insert"] if "insert" in piece else {"embed": piece["embed"]}
            attributes = piece.get("attributes", {})
            drafts.append(OperationDraft(OperationType.INSERT, (name, index), content, None, attributes))
            index += utf16_length(piece["insert"]) if "insert" in piece else 1
        return drafts
    if watch.kind is RootKind.MAP:
        entries = reader.entries(watch.root)
        return [OperationDraft(OperationType.INSERT, (name, key), value) for key, value in entries.items()]
    if watch.kind is RootKind.ARRAY:
        return [OperationDraft(OperationType.INSERT, (name, 0), reader.items(watch.root))]
    drafts = [OperationDraft(OperationType.INSERT, (name, 0), reader.children(watch.root))]
    if attributes := _attributes(watch.entries, reader):
        drafts.append(OperationDraft(OperationType.FORMAT, (name,), None, 1, attributes))
    return drafts
