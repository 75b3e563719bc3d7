"""What can be seen of a state's pieces, as JSON: exactly what :func:`cowrite.crdt.state.get_state` gives, without the engine.

The same for an earlier moment, when a :class:`Side` tells what could be seen then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from cowrite.crdt.history import contents
from cowrite.crdt.history.items import EMBED, FORMAT, Holder, Items, Piece
from cowrite.crdt.outline import STRING, TYPE
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json


class Side(Protocol):
    """A moment: what could be seen at it."""

    def pieces(self, holder: Holder) -> Iterable[Piece]:
        """Return what could be seen of a list."""
        ...

    def entry(self, written: Sequence[Piece]) -> Piece | None:
        """Return which piece counted of those that were written under a key; None when there was none."""
        ...


class Now:
    """The moment of the state itself."""

    def pieces(self, holder: Holder) -> Iterable[Piece]:
        return [piece for piece in holder.pieces if not piece.deleted]

    def entry(self, written: Sequence[Piece]) -> Piece | None:
        return written[-1] if written and not written[-1].deleted else None


class Showing:
    """What can be seen at one side."""

    def __init__(self, items: Items, side: Side) -> None:
        self._items = items
        self._side = side

    def content(self, roots: Mapping[str, RootKind]) -> dict[str, Json]:
        """Return what each root holds; roots that are mixed are left out."""
        shown = {}
        for name, kind in sorted(roots.items()):
            if kind is not RootKind.MIXED:
                shown[name] = _ROOTS[kind](self, self._items.root(name))
        return shown

    def delta(self, holder: Holder) -> list[Json]:
        """Return what a text holds. Neighbours with the same attributes are one piece."""
        delta: list[Json] = []
        attributes: dict[str, Json] = {}
        for piece in self._side.pieces(holder):
            if piece.content == FORMAT:
                set_attribute(attributes, *self._items.format(piece))
                continue
            chunk = chunk_of(self._items, piece)
            if chunk is None:
                continue
            if "insert" not in chunk:
                chunk = {"embed": chunk["embed"] if "embed" in chunk else self.type(piece)}
            elif delta and "insert" in delta[-1] and delta[-1].get("attributes", {}) == attributes:
                delta[-1]["insert"] += chunk["insert"]
                continue
            if attributes:
                chunk["attributes"] = dict(sorted(attributes.items()))
            delta.append(chunk)
        return delta

    def items(self, holder: Holder) -> list[Json]:
        """Return the items of an array, or the nodes of an XML tree."""
        shown = []
        for piece in self._side.pieces(holder):
            if piece.content == TYPE:
                shown.append(self.type(piece))
            else:
                shown += self._items.values(piece)
        return shown

    def entries(self, holder: Holder) -> dict[str, Json]:
        """Return the entries of a map, by their keys in order."""
        entries = {key: self._side.entry(written) for key, written in sorted(holder.entries.items())}
        return {key: self.value(piece) for key, piece in entries.items() if piece is not None}

    def attributes(self, holder: Holder) -> dict[str, Json]:
        """Return XML attributes. One whose value is null counts as absent."""
        return {name: value for name, value in self.entries(holder).items() if value is not None}

    def value(self, piece: Piece) -> Json:
        """Return the value of an entry."""
        if piece.content == TYPE:
            return self.type(piece)
        if piece.content == STRING:
            return self._items.text(piece)
        if piece.content == EMBED:
            return self._items.embed(piece)
        return next(reversed(self._items.values(piece)), None)

    def type(self, piece: Piece) -> Json:
        """Return a shared type with all that is in it."""
        kind, tag = self._items.type(piece)
        holder = self._items.within(piece)
        if kind == contents.ELEMENT_TYPE:
            return {"$xml": tag, "attrs": self.attributes(holder), "children": self.items(holder)}
        return _TYPES[kind](self, holder)


def chunk_of(items: Items, piece: Piece) -> dict[str, Json] | None:
    """Return what a piece is in a text: ``insert``, ``embed``, {} for a shared type; None when a text does not show it."""
    if piece.content == STRING:
        return {"insert": items.text(piece)}
    if piece.content == TYPE:
        return {}
    if piece.content != EMBED:
        return None
    value = items.embed(piece)
    return {"insert" if isinstance(value, str) else "embed": value}


def set_attribute(attributes: dict[str, Json], name: str, value: Json) -> None:
    """Note what a format does."""
    if value is None:
        attributes.pop(name, None)
    else:
        attributes[name] = value


_TYPES: dict[int, Callable[[Showing, Holder], Json]] = {
    contents.ARRAY_TYPE: lambda showing, holder: {"$array": showing.items(holder)},
    contents.MAP_TYPE: lambda showing, holder: {"$map": showing.entries(holder)},
    contents.TEXT_TYPE: lambda showing, holder: {"$text": showing.delta(holder)},
    contents.FRAGMENT_TYPE: lambda showing, holder: {"$xml": None, "attrs": {}, "children": showing.items(holder)},
    contents.XML_TEXT_TYPE: lambda showing, holder: {"$xmltext": showing.delta(holder), "attrs": showing.attributes(holder)},
}
_ROOTS: dict[RootKind, Callable[[Showing, Holder], Json]] = {
    RootKind.ARRAY: _TYPES[contents.ARRAY_TYPE],
    RootKind.MAP: _TYPES[contents.MAP_TYPE],
    RootKind.TEXT: _TYPES[contents.TEXT_TYPE],
    RootKind.XML: lambda showing, holder: {
        "$xml": None,
        "attrs": showing.attributes(holder),
        "children": showing.items(holder),
    },
}
