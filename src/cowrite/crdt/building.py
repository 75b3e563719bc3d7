"""Writing values and shared types, given as JSON, into a document: the way back of :mod:`cowrite.crdt.shared_types`.

Everything is checked before the engine is called, because it panics, clamps or goes on half-way where it should refuse. What is
refused raises :class:`~cowrite.crdt.values.InvalidValue`; the document may be half changed then, and must be thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from pycrdt import _pycrdt as engine

from cowrite.crdt.content import MAX_ELEMENT_BYTES, MAX_KEY_BYTES
from cowrite.crdt.shared_types import Handle, Transaction, units_of
from cowrite.crdt.values import MAX_DEPTH, InvalidValue, Json, checked_text, from_json, tag_of

_SHARED = frozenset(("$text", "$xmltext", "$xml", "$map", "$array", "$doc"))


class Unsupported(InvalidValue):
    """The value has a meaning, but the engine offers no way to write it there."""


class Builder:
    """Writes within one transaction. ``depth`` is how many shared types are above what is written."""

    __slots__ = ("_txn",)

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn

    def set_entry(self, holder: Handle, key: str, value: Json, place: str, depth: int) -> None:
        """Write a map's entry."""
        checked_name(key, MAX_KEY_BYTES, place)
        tag = _shared_tag(value, place)
        if tag is None:
            holder.insert(self._txn, key, from_json(value, place))
        else:
            make = _method(holder, tag, value, place)
            self._fill(make(self._txn, key), tag, value, place, depth)

    def insert_item(self, array: Handle, index: int, item: Json, place: str, depth: int) -> None:
        """Write an item into an array."""
        tag = _shared_tag(item, place)
        if tag is None:
            array.insert(self._txn, index, from_json(item, place))
        else:
            make = _method(array, tag, item, place)
            self._fill(make(self._txn, index), tag, item, place, depth)

    def insert_node(self, parent: Handle, index: int, node: Json, place: str, depth: int) -> None:
        """Write a node into an XML element or fragment."""
        tag = _shared_tag(node, place)
        if tag == "$xmltext":
            self._fill(parent.insert_str(self._txn, index, ""), tag, node, place, depth)
        elif tag == "$xml" and node["$xml"] is not None:
            name = checked_name(node["$xml"], MAX_ELEMENT_BYTES, f"{place}.$xml")
            self._fill(parent.insert_element_prelim(self._txn, index, name), tag, node, place, depth)
        elif tag == "$xml":
            raise Unsupported(place, "the engine cannot write a fragment into an XML tree")
        else:
            _refuse(place, "an XML tree holds elements ($xml) and texts ($xmltext) alone")

    def insert_embed(
        self, text: Handle, index: int, value: Json, attributes: Mapping[str, Json] | None, place: str, depth: int
    ) -> None:
        """Write a value or a shared type into a text. ``attributes`` None: those of the unit before it."""
        pairs = None if attributes is None else _pairs(attributes, place, keep_null=False)
        tag = _shared_tag(value, place)
        if tag is None:
            plain = from_json(value, place, tags=False)
            if isinstance(plain, str):
                raise Unsupported(place, "a string in a text is text; only other values can be embedded")
            text.insert_embed(self._txn, index, plain, pairs)
        elif tag == "$xml" and value["$xml"] is not None and type(text) is engine.XmlText:
            name = checked_name(value["$xml"], MAX_ELEMENT_BYTES, f"{place}.$xml")
            made = text.insert_xmlelement_prelim(self._txn, index, name, pairs)  # type: ignore[attr-defined]
            self._fill(made, tag, value, place, depth)
        else:
            make = _method(text, tag, value, place)
            self._fill(make(self._txn, index, pairs), tag, value, place, depth)

    def insert_text(self, text: Handle, index: int, piece: str, attributes: Mapping[str, Json] | None, place: str) -> None:
        """Write a string into a text. ``attributes`` None: those of the unit before it."""
        pairs = None if attributes is None else _pairs(attributes, place, keep_null=False)
        text.insert(self._txn, index, piece, pairs)

    def format(self, text: Handle, index: int, length: int, attributes: Mapping[str, Json], place: str) -> None:
        """Set or (null) remove the formatting of a range."""
        text.format(self._txn, index, length, _pairs(attributes, place, keep_null=True))

    def set_plain_entry(self, holder: Handle, key: str, value: Json, place: str) -> None:
        """Write an attribute of an XML root, which the engine shows as an entry."""
        _refuse_shared(value, place)
        self.set_entry(holder, key, value, place, 0)

    def set_attribute(self, node: Handle, name: str, value: Json, place: str) -> None:
        """Set or (null) remove an XML attribute."""
        checked_name(name, MAX_KEY_BYTES, place)
        _refuse_shared(value, place)
        plain = from_json(value, place)
        if plain is not None:
            node.insert_attribute(self._txn, name, plain)
        elif node.attribute(self._txn, name) is not None:
            node.remove_attribute(self._txn, name)

    # -- what is in a new type ------------------------------------------------------------------------------------------------

    def _fill(self, made: Handle, tag: str, value: Mapping[str, Json], place: str, depth: int) -> None:
        if depth >= MAX_DEPTH:
            _refuse(place, f"shared types would be nested more than {MAX_DEPTH} levels deep")
        _only(value, place, *_FIELDS[tag])
        depth += 1
        if tag in ("$text", "$xmltext"):
            self._fill_text(made, value[tag], f"{place}.{tag}", depth)
        elif tag == "$array":
            for index, item in enumerate(_list(value[tag], f"{place}.$array")):
                self.insert_item(made, index, item, f"{place}.$array[{index}]", depth)
        elif tag == "$map":
            for key, entry in _object(value[tag], f"{place}.$map").items():
                self.set_entry(made, key, entry, f"{place}.$map.{key}", depth)
        else:
            for index, child in enumerate(_list(value.get("children", []), f"{place}.children")):
                self.insert_node(made, index, child, f"{place}.children[{index}]", depth)
        attributes = _object(value.get("attrs", {}), f"{place}.attrs")
        if attributes and type(made) is engine.XmlFragment:
            _refuse(f"{place}.attrs", "a fragment has no attributes")
        for name, attribute in attributes.items():
            self.set_attribute(made, name, attribute, f"{place}.attrs.{name}")

    def _fill_text(self, text: Handle, delta: Json, place: str, depth: int) -> None:
        at = 0
        for number, piece in enumerate(_list(delta, place)):
            here = f"{place}[{number}]"
            fields = _object(piece, here)
            attributes = _object(fields.get("attributes", {}), f"{here}.attributes")
            if "insert" in fields:
                _only(fields, here, "insert", "attributes")
                string = checked_text(fields["insert"], f"{here}.insert")
                self.insert_text(text, at, string, attributes, f"{here}.attributes")
                at += units_of(string)
            elif "embed" in fields:
                _only(fields, here, "embed", "attributes")
                self.insert_embed(text, at, fields["embed"], attributes, f"{here}.embed", depth)
                at += 1
            else:
                _refuse(here, "a piece of a text has insert or embed")


_FIELDS = {
    "$text": ("$text",),
    "$xmltext": ("$xmltext", "attrs"),
    "$xml": ("$xml", "attrs", "children"),
    "$map": ("$map",),
    "$array": ("$array",),
}
_METHODS = {
    "$text": "insert_text_prelim",
    "$xmltext": "insert_xmltext_prelim",
    "$xml": "insert_xmlfragment_prelim",
    "$map": "insert_map_prelim",
    "$array": "insert_array_prelim",
}
_LACKS = {
    ("$xmltext", engine.Array),
    ("$xmltext", engine.Map),
    ("$xmltext", engine.Text),
    ("$xml", engine.Text),
    ("$xml", engine.XmlText),
}


def _method(holder: Handle, tag: str, value: Mapping[str, Json], place: str) -> Callable[..., Handle]:
    """The engine's method that puts a new, empty type of that kind into the holder."""
    is_element = tag == "$xml" and value["$xml"] is not None
    # A subdocument cannot be put into a document that counts in UTF-16, because that is one itself: the engine panics.
    if is_element or tag == "$doc" or (tag, type(holder)) in _LACKS:
        raise Unsupported(place, f"the engine cannot write this {tag} into a {type(holder).__name__}")
    method: Callable[..., Handle] = getattr(holder, _METHODS[tag])
    return method


def _shared_tag(value: Json, place: str) -> str | None:
    if not isinstance(value, dict):
        return None
    tag = tag_of(value, place)
    return tag if tag in _SHARED else None


def _refuse_shared(value: Json, place: str) -> None:
    if _shared_tag(value, place) is not None:
        raise Unsupported(place, "the engine cannot write a shared type into an attribute")


def checked_name(name: Json, limit: int, place: str) -> str:
    """Return a key or name that updates may hold. Raises :class:`InvalidValue`."""
    if len(checked_text(name, place).encode()) > limit:
        _refuse(place, f"the name is longer than {limit} bytes")
    return str(name)


def _pairs(attributes: Mapping[str, Json], place: str, *, keep_null: bool) -> Iterator[tuple[str, Any]]:
    pairs = []
    for name, value in attributes.items():
        checked_name(name, MAX_KEY_BYTES, place)
        if value is not None or keep_null:
            pairs.append((name, from_json(value, f"{place}.{name}", tags=False)))
    return iter(pairs)


def _list(value: Json, place: str) -> list[Json]:
    if not isinstance(value, list):
        _refuse(place, "it is a list")
    return value


def _object(value: Json, place: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        _refuse(place, "it is an object")
    return value


def _only(value: Mapping[str, Json], place: str, *known: str) -> None:
    for key in value:
        if key not in known:
            _refuse(f"{place}.{key}", "there is no such field")


def _refuse(place: str, reason: str) -> NoReturn:
    raise InvalidValue(place, reason)
