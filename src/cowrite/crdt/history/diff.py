"""What changed between two moments, as a merged tree: what stayed, what came, what went, whose it was.

The tree is JSON. ``{"roots": [root, …]}``, by name in order; a root is a node with its ``name``. Nodes, by their ``kind``:

* ``text`` and ``xmltext``: ``"runs"``, each ``{"change", "text" or "embed" or "node", "attributes"}``; where the change is
  ``format``, ``attributes`` are those after and ``before`` those before.
* ``array``: ``"items"``, each ``{"change", "values": […]}`` or ``{"change", "node"}``.
* ``map``: ``"entries"`` by key, each ``{"change", "value" or "node"}``; where the change is ``replace``, also the value
  ``before``.
* ``element`` (with its ``tag``), ``fragment``, and the root ``xml``: ``"children"``, nodes with a ``change``.
* ``mixed``: a root that holds what does not go together; nothing is told of it.

A change is ``equal``, ``insert``, ``delete``, ``format`` or ``replace``. All but the equal ones say whose they are:
``author``, ``created_at`` (milliseconds), ``offset``; what a restore or an undo brought back has ``restored`` as in blame.
Nodes with attributes (``element``, ``xmltext``, the root ``xml``) have them as ``"attributes"`` (those after; of what was
deleted, before), and ``"attribute_changes": {name: {"before", "after", "author", …}}``. Values are as in
:func:`cowrite.crdt.state.get_state`. A root is ``"changed"`` when anything in it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from cowrite.crdt.history import contents
from cowrite.crdt.history.attribution import NOBODY, Attribution, Span
from cowrite.crdt.history.blame import IN_ARRAYS, IN_XML
from cowrite.crdt.history.items import FORMAT, Piece
from cowrite.crdt.history.pairing import Paired, Place, Unchanged
from cowrite.crdt.history.runs import NOTHING_MORE, Runs, same
from cowrite.crdt.history.showing import Now, Showing, chunk_of, set_attribute
from cowrite.crdt.history.sides import Part, Sides
from cowrite.crdt.outline import STRING, TYPE
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json

EQUAL, INSERT, DELETE, CHANGED_FORMAT, REPLACE = "equal", "insert", "delete", "format", "replace"


def diff(
    before: bytes, after: bytes, roots: Mapping[str, RootKind], attribution: Attribution, until: int | None = None
) -> Json:
    """Return what changed from an encoded state to a later one, as a tree (see above).

    ``roots`` are those to look at, with their kinds after; ``attribution`` is that of the log up to the later state at least,
    which is at the offset ``until`` (None: at the end of what is known). A copy in the place of what it copies is no change,
    nor is anything in a root that holds the same at both moments.

    Raises :class:`~cowrite.crdt.errors.EngineFault`.
    """
    walk = _Walk(Sides(before, after), attribution, until)
    return {"roots": [walk.root(name, kind) for name, kind in sorted(roots.items())]}


class _Walk:
    def __init__(self, sides: Sides, attribution: Attribution, until: int | None) -> None:
        self._sides: Paired | Unchanged = Paired(sides, attribution.origins)
        self._items = sides.items
        self._attribution = attribution
        self._before = Showing(sides.items, sides)
        self._after = Showing(sides.items, Now())
        self._until = until
        self._changed = False

    def root(self, name: str, kind: RootKind) -> Json:
        self._changed = False
        root: Json = {"name": name, "kind": kind.value}
        if kind is not RootKind.MIXED:
            holder = self._items.root(name)
            fill = partial(_ROOTS[kind], self, Place(holder, holder), NOBODY, root)
            fill()
            if self._changed and self._shows_the_same(name, kind):
                between, self._sides, self._changed = self._sides, Unchanged(self._items), False
                fill()
                self._sides = between
        root["changed"] = self._changed
        return root

    def _shows_the_same(self, name: str, kind: RootKind) -> bool:
        """Whether a root holds what it held before, though other people may have written it."""
        return same(self._before.content({name: kind}), self._after.content({name: kind}))

    # -- shared types ---------------------------------------------------------------------------------------------------------

    def node(self, part: Part, gone_by: int) -> Json:
        """Describe a shared type. ``gone_by`` is the entry that deleted it, or what it stands in."""
        kind, tag = self._items.type(part.piece)
        name, fill = _NODES[kind]
        node: Json = {"kind": name}
        if tag is not None:
            node["tag"] = tag
        place = self._sides.within(part)
        if kind in (contents.ELEMENT_TYPE, contents.XML_TEXT_TYPE):
            self.attributes(place, part, gone_by, node)
        fill(self, place, gone_by, node)
        return node

    def attributes(self, place: Place, part: Part | None, gone_by: int, node: Json) -> None:
        """Describe a node's attributes. ``part`` None: a root's."""
        after = self._after.attributes(place.new)
        before = after if isinstance(self._sides, Unchanged) else self._before.attributes(place.old)
        stays = part is None or (part.before and part.after)
        node["attributes"] = after if part is None or part.after else before
        node["attribute_changes"] = changes = {}
        if stays and not same(before, after):
            for name in sorted(before.keys() | after.keys()):
                if not same(before.get(name), after.get(name)):
                    sides = {side: values[name] for side, values in (("before", before), ("after", after)) if name in values}
                    changes[name] = sides
                    self._sign(sides, *self._who_wrote(_written(place, name), gone_by))

    def text(self, place: Place, gone_by: int, node: Json) -> None:
        """Describe what a text holds."""
        runs = Runs(self._attribution, "text")
        before: dict[str, Json] = {}
        after: dict[str, Json] = {}
        formats: dict[str, int] = {}  # attribute → the entry that last changed where it begins or ends
        text_of, keep = self._items.text, runs.keep
        for part in self._sides.parts(place):
            piece = part.piece
            if piece.content == STRING:
                if part.before and part.after and not (before or after):
                    keep(text_of(piece))  # most of a text, as a rule
                    continue
            elif piece.content == FORMAT:
                self._format(part, gone_by, (before, after), formats)
                continue
            chunk = chunk_of(self._items, piece)
            if chunk is None:
                continue
            if part.before and part.after and not same(before, after):
                names = [name for name in before.keys() | after.keys() if not same(before.get(name), after.get(name))]
                spans: Sequence[Span] = [
                    (piece.clock, piece.clock + piece.length, max(formats.get(name, NOBODY) for name in names), NOBODY)
                ]
                more: Json = {"attributes": dict(sorted(after.items())), "before": dict(sorted(before.items()))}
                change = CHANGED_FORMAT
            else:
                change, spans = self._spans(part, gone_by)
                attributes = after if part.after else before
                more = {"attributes": dict(sorted(attributes.items()))} if attributes else NOTHING_MORE
            self._changed |= change != EQUAL
            if "embed" in chunk:
                runs.add_single(change, {"embed": chunk["embed"], **more}, spans[0])
            elif not chunk:
                node_within = self.node(part, spans[0][2] if change == DELETE else gone_by)
                runs.add_single(change, {"node": node_within, **more}, spans[0])
            elif len(joined := runs.joined(spans)) == 1:
                runs.add(change, chunk["insert"], more, *joined[0][2:])
            else:
                for start, end, number, restored in joined:
                    text = self._items.text(piece.cut(start, end, deleted=piece.deleted))
                    runs.add(change, text, more, number, restored)
        node["runs"] = runs.finish()

    def _format(
        self, part: Part, gone_by: int, sides: tuple[dict[str, Json], dict[str, Json]], formats: dict[str, int]
    ) -> None:
        name, value = self._items.format(part.piece)
        if part.before:
            set_attribute(sides[0], name, value)
        if part.after:
            set_attribute(sides[1], name, value)
        if part.before != part.after:
            formats[name] = self._spans(part, gone_by)[1][0][2]

    def items(self, place: Place, gone_by: int, node: Json) -> None:
        """Describe the items of an array."""
        runs = Runs(self._attribution, "values")
        for part in self._sides.parts(place):
            piece = part.piece
            if piece.content not in IN_ARRAYS:
                continue
            change, spans = self._spans(part, gone_by)
            self._changed |= change != EQUAL
            if piece.content == TYPE:
                runs.add_single(change, {"node": self.node(part, spans[0][2] if change == DELETE else gone_by)}, spans[0])
                continue
            values = self._items.values(piece)
            for start, end, number, restored in runs.joined(spans):
                runs.add(change, values[start - piece.clock : end - piece.clock], {}, number, restored)
        node["items"] = runs.finish()

    def children(self, place: Place, gone_by: int, node: Json) -> None:
        """Describe the nodes of an XML tree."""
        children = node["children"] = []
        for part in self._sides.parts(place):
            if part.piece.content in IN_XML:
                change, spans = self._spans(part, gone_by)
                self._changed |= change != EQUAL
                child = {"change": change}
                if change != EQUAL:
                    self._sign(child, *spans[0][2:])
                children.append(child | self.node(part, spans[0][2] if change == DELETE else gone_by))

    def entries(self, place: Place, gone_by: int, node: Json) -> None:
        """Describe the entries of a map."""
        entries = node["entries"] = {}
        for key in sorted(place.old.entries.keys() | place.new.entries.keys()):
            old, new = self._sides.entry(place.old.entries.get(key, ())), Now().entry(place.new.entries.get(key, ()))
            if old is None and new is None:
                continue
            entries[key] = entry = self._entry(old, new, gone_by)
            if entry["change"] != EQUAL:
                self._changed = True
                self._sign(entry, *self._who_wrote(_written(place, key), gone_by))

    def _entry(self, old: Piece | None, new: Piece | None, gone_by: int) -> Json:
        piece = new or old
        assert piece is not None, "an entry was there before or is there after"
        part = Part(piece, old is not None, new is not None, old)
        if old is not None and new is not None and not self._sides.same(old, new):
            before, after = self._before.value(old), self._after.value(new)
            if TYPE in (old.content, new.content) or not same(before, after):
                return {"change": REPLACE, "before": before, "value": after}
        entry: Json = {"change": EQUAL if old and new else INSERT if new else DELETE}
        if piece.content == TYPE:
            entry["node"] = self.node(part, self._who_deleted(piece, gone_by) if new is None else gone_by)
        else:
            entry["value"] = self._after.value(piece)
        return entry

    # -- whose a change is ----------------------------------------------------------------------------------------------------

    def _spans(self, part: Part, gone_by: int) -> tuple[str, Sequence[Span]]:
        """Return what became of a part, and whose clocks of it that was (see ``Attribution.spans``)."""
        piece = part.piece
        end = piece.clock + piece.length
        if not part.after:
            deletions = self._attribution.deletions(piece.client, piece.clock, end, gone_by, until=self._until)
            return DELETE, [(*span, NOBODY) for span in deletions]
        if part.before:
            return EQUAL, ((piece.clock, end, NOBODY, NOBODY),)
        runs = self._attribution.runs(piece.client, piece.clock, end)
        return INSERT, [(start, stop, last, restored) for start, stop, _, last, restored in runs]

    def _who_wrote(self, written: Sequence[Piece], gone_by: int) -> tuple[int, int]:
        """Return who changed an entry or attribute: (entry, entry that brought it back)."""
        new = written[-1]
        if not new.deleted:
            return self._attribution.spans(new.client, new.clock + new.length - 1, new.clock + new.length)[0][2:]
        return self._who_deleted(new, gone_by), NOBODY

    def _who_deleted(self, piece: Piece, otherwise: int) -> int:
        """Return the entry that deleted a piece's last clock."""
        end = piece.clock + piece.length
        return self._attribution.deletions(piece.client, end - 1, end, otherwise, until=self._until)[0][2]

    def _sign(self, change: dict[str, Json], number: int, restored: int) -> None:
        self._changed = True
        self._attribution.sign(change, number)
        if restored != NOBODY:
            self._attribution.sign(change.setdefault("restored", {}), restored)


def _written(place: Place, key: str) -> Sequence[Piece]:
    """Return what was written under a key that has changed: after, or else before."""
    return place.new.entries.get(key) or place.old.entries[key]


def _xml_root(walk: _Walk, place: Place, gone_by: int, node: Json) -> None:
    walk.attributes(place, None, gone_by, node)
    walk.children(place, gone_by, node)


_Fill = Callable[[_Walk, Place, int, Json], None]
_NODES: Final[Mapping[int, tuple[str, _Fill]]] = {
    contents.ARRAY_TYPE: ("array", _Walk.items),
    contents.MAP_TYPE: ("map", _Walk.entries),
    contents.TEXT_TYPE: ("text", _Walk.text),
    contents.ELEMENT_TYPE: ("element", _Walk.children),
    contents.FRAGMENT_TYPE: ("fragment", _Walk.children),
    contents.XML_TEXT_TYPE: ("xmltext", _Walk.text),
}
_ROOTS: Final[Mapping[RootKind, _Fill]] = {
    RootKind.TEXT: _Walk.text,
    RootKind.ARRAY: _Walk.items,
    RootKind.MAP: _Walk.entries,
    RootKind.XML: _xml_root,
}
