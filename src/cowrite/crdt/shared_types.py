"""Shared types as JSON.

A shared type is written as a tagged value, whole, with everything in it:

* ``{"$text": delta}`` · ``{"$xmltext": delta, "attrs": {…}}``: a delta is a list of ``{"insert": "abc", "attributes": {…}}``
  and ``{"embed": value, "attributes": {…}}``; ``attributes`` is left out when there are none.
* ``{"$xml": tag, "attrs": {…}, "children": [node, …]}``: an element; the tag of a fragment is null.
* ``{"$map": {key: value, …}}`` · ``{"$array": [value, …]}`` · ``{"$doc": id}`` (a subdocument: its id alone).

An attribute whose value is null counts as absent. What cannot be seen through a type is not written: entries of an array or a
text, a list in a map, plain values in a text's list.

These functions work on the handles of ``pycrdt._pycrdt``, without pycrdt's Python layer: that would wrap every value and open a
transaction for every access. A handle is only good while its document is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from pycrdt import _pycrdt as engine

from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.values import Json, to_json

Handle: TypeAlias = Any
"""A shared type, or a subdocument, of ``pycrdt._pycrdt``."""
Transaction: TypeAlias = engine.Transaction

XML_NODES = (engine.XmlElement, engine.XmlText, engine.XmlFragment)
TEXTS = (engine.Text, engine.XmlText)
SHARED_TYPES = (*XML_NODES, engine.Text, engine.Array, engine.Map)


class Misfit(Exception):
    """A shared type holds something that does not belong into its kind, and that cannot be shown."""


class Reader:
    """Reads the shared types of one document; a context manager. The document must not be changed meanwhile.

    What :mod:`cowrite.crdt.misplaced` warns of raises :class:`Misfit`. ``hides_text`` is asked once, before an array is read;
    ``wary`` True, XML nodes are looked at when they have changed; ``embedded`` are strings that are no text.
    """

    __slots__ = ("_document", "_strays", "_txn", "embedded", "hides_text", "wary")

    def __init__(self, document: engine.Doc) -> None:
        self._document = document
        self._txn: Transaction | None = None
        self._strays: bool | None = None
        self.hides_text: Callable[[], bool] = _nothing
        self.wary = False
        self.embedded: frozenset[str] = frozenset()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._txn is not None:
            self._txn.drop()
            self._txn = None

    @property
    def txn(self) -> Transaction:
        """The engine's transaction, opened when it is first asked for: most keystrokes need none."""
        txn = self._txn
        if txn is None:
            txn = self._txn = self._document.create_transaction()
        return txn

    @property
    def strays(self) -> bool:
        """Whether text stands where none belongs."""
        if self._strays is None:
            self._strays = self.hides_text()
        return self._strays

    def value(self, value: object) -> Json:
        """Write a plain value or a shared type. Raises :class:`Misfit`."""
        read = _READERS.get(type(value))
        return to_json(value) if read is None else read(self, value)

    def delta(self, text: Handle) -> list[Json]:
        """Write what a text holds. Neighbours with the same attributes are one piece. Raises :class:`Misfit`."""
        pieces: list[Json] = []
        last: dict[str, Json] | None = None  # the piece before this one when it is text
        for chunk, attributes in text.diff(self.txn):
            piece: dict[str, Json] = {}
            if isinstance(chunk, str):
                self.check_text(chunk)
                piece["insert"] = chunk
            else:
                piece["embed"] = self.value(chunk)
            if attributes and (present := present_attributes(attributes)):
                piece["attributes"] = present
            if last is not None and "insert" in piece and last.get("attributes") == piece.get("attributes"):
                last["insert"] += chunk
                continue
            pieces.append(piece)
            last = piece if "insert" in piece else None
        return pieces

    def check_text(self, string: str) -> None:
        """Raise :class:`Misfit` when what a text shows as a string may be an embedded value."""
        if string in self.embedded:
            raise Misfit("a string is embedded in a text as a value")

    def children(self, node: Handle) -> list[Json]:
        """Write the children of an XML element or fragment. Raises :class:`Misfit`."""
        return [self.value(child) for child in self.nodes(node)]

    def nodes(self, node: Handle) -> list[Handle]:
        """Return the children of an XML element or fragment as they are. Raises :class:`Misfit`."""
        children: list[Handle] = node.children(self.txn)
        if len(children) != node.len(self.txn):  # the engine's list ends at the first child that is no XML node
            raise Misfit("an XML node holds something that is no XML node")
        return children

    def items(self, array: Handle) -> list[Json]:
        """Write the items of an array. Raises :class:`Misfit`."""
        if self.strays:
            raise Misfit("an array holds text")
        return [self.value(array.get(self.txn, index)) for index in range(array.len(self.txn))]

    def entries(self, holder: Handle) -> dict[str, Json]:
        """Write the entries of a map, by their keys in order. Raises :class:`Misfit`."""
        return {key: self.value(holder.get(self.txn, key)) for key in sorted(holder.keys(self.txn))}

    def attributes(self, pairs: Iterable[tuple[str, object]]) -> dict[str, Json]:
        """Write XML attributes, which may hold shared types. Raises :class:`Misfit`."""
        return {name: self.value(value) for name, value in sorted(pairs, key=_name) if value is not None}


def _text(reader: Reader, text: Handle) -> Json:
    return {"$text": reader.delta(text)}


def _xml_text(reader: Reader, text: Handle) -> Json:
    return {"$xmltext": reader.delta(text), "attrs": reader.attributes(text.attributes(reader.txn))}


def _element(reader: Reader, element: Handle) -> Json:
    attributes = reader.attributes(element.attributes(reader.txn))
    return {"$xml": element.tag(), "attrs": attributes, "children": reader.children(element)}


def _fragment(reader: Reader, fragment: Handle) -> Json:
    return {"$xml": None, "attrs": {}, "children": reader.children(fragment)}


def _map(reader: Reader, holder: Handle) -> Json:
    return {"$map": reader.entries(holder)}


def _array(reader: Reader, array: Handle) -> Json:
    return {"$array": reader.items(array)}


def _document(_: Reader, document: Handle) -> Json:
    return {"$doc": document.guid()}


_READERS: dict[type, Callable[[Reader, Handle], Json]] = {
    engine.XmlElement: _element,
    engine.XmlText: _xml_text,
    engine.XmlFragment: _fragment,
    engine.Text: _text,
    engine.Map: _map,
    engine.Array: _array,
    engine.Doc: _document,
}


def present_attributes(attributes: Mapping[str, object]) -> dict[str, Json]:
    """Write formatting attributes, by name in order, without those that are null."""
    return {name: to_json(attributes[name]) for name in sorted(attributes) if attributes[name] is not None}


def units_of(chunk: object) -> int:
    """Return how many units a piece of a text takes: a value or type in it is one."""
    return utf16_length(chunk) if isinstance(chunk, str) else 1


def text_units(text: Handle, txn: Transaction) -> list[tuple[object, int]] | None:
    """Return each piece of a text with how many units it takes; None when it also holds things that cannot be seen."""
    pieces = [(chunk, units_of(chunk)) for chunk, _ in text.diff(txn)]
    return pieces if sum(units for _, units in pieces) == text.len(txn) else None


def _nothing() -> bool:
    return False


def _name(pair: tuple[str, object]) -> str:
    return pair[0]
