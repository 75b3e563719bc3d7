"""A document as plain Python values that understands operations: what a program without a CRDT library holds.

``Model(state)`` begins with a state (what ``cowrite.crdt.state.get_state`` gives), :meth:`Model.apply` takes one operation
after the other, and :attr:`Model.state` is the document again. It is written for clarity, as the measure of everything that
makes or applies operations: replaying a document's operations always gives the document's state. Authors of adapters and
clients can hold their own work against it, or translate it.

Nothing of the engine is used here. Roots need not be declared: the first operation on a root shows what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cowrite.crdt.roots import shows_xml

Json: TypeAlias = Any
"""A JSON value."""


class ModelError(ValueError):
    """An operation does not fit the document: it was made for another one."""


@dataclass(slots=True)
class Value:
    """A plain value or a subdocument, as its JSON."""

    json: Json


@dataclass(slots=True)
class Unit:
    """One unit of a text: a UTF-16 code unit, or a value embedded in it."""

    content: str | Node
    attributes: dict[str, Json]


@dataclass(slots=True)
class TextNode:
    """``$text``, or ``$xmltext`` when ``attributes`` is a dict."""

    units: list[Unit] = field(default_factory=list)
    attributes: dict[str, Node] | None = None


@dataclass(slots=True)
class ArrayNode:
    """``$array``."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class XmlNode:
    """``$xml``: an element, or a fragment when ``tag`` is None."""

    tag: str | None = None
    attributes: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MapNode:
    """``$map``."""

    entries: dict[str, Node] = field(default_factory=dict)


Node: TypeAlias = Value | TextNode | ArrayNode | XmlNode | MapNode


class Model:
    """A document. Not safe to go on with after a :class:`ModelError`: reload the state."""

    def __init__(self, state: Mapping[str, Json] | None = None) -> None:
        self.roots: dict[str, Node] = {name: build(value) for name, value in (state or {}).items()}

    @property
    def state(self) -> dict[str, Json]:
        """The document as JSON: each root as a tagged value."""
        return {name: dump(node) for name, node in self.roots.items()}

    def apply(self, operation: Mapping[str, Json]) -> None:
        """Apply one operation in its JSON form. Raises :class:`ModelError`."""
        position: Sequence[str | int] = operation["position"]
        name = str(position[0])
        if len(position) == 1:
            self._apply_to_root(name, operation)
            return
        if name not in self.roots:
            self.roots[name] = _first_root(operation)
        holder = self.roots[name]
        for step in position[1:-1]:
            holder = _child(holder, step)
        _APPLY[operation["type"]](holder, position[-1], operation)

    def _apply_to_root(self, name: str, operation: Mapping[str, Json]) -> None:
        if operation["type"] == "delete":
            _expect(name in self.roots, f"there is no root {name!r}")
            del self.roots[name]  # it holds things that do not go together
        else:
            _set_attributes(self.roots.setdefault(name, XmlNode()), operation["attributes"])


def build(value: Json) -> Node:
    """Make a node of a value in its JSON form."""
    match value:
        case {"$map": entries}:
            return MapNode({key: build(entry) for key, entry in entries.items()})
        case {"$array": items}:
            return ArrayNode([build(item) for item in items])
        case {"$text": delta}:
            return TextNode(_units(delta))
        case {"$xmltext": delta}:
            return TextNode(_units(delta), _build_attributes(value))
        case {"$xml": tag}:
            return XmlNode(tag, _build_attributes(value), [build(child) for child in value.get("children", ())])
    return Value(value)


def dump(node: Node) -> Json:
    """Write a node in its JSON form."""
    if isinstance(node, Value):
        return node.json
    match node:
        case MapNode():
            return {"$map": _dump_all(node.entries)}
        case ArrayNode():
            return {"$array": [dump(item) for item in node.items]}
        case XmlNode():
            children = [dump(item) for item in node.items]
            return {"$xml": node.tag, "attrs": _dump_all(node.attributes), "children": children}
        case TextNode(attributes=None):
            return {"$text": _delta(node.units)}
    return {"$xmltext": _delta(node.units), "attrs": _dump_all(node.attributes)}


# -- operations ---------------------------------------------------------------------------------------------------------------


def _insert(holder: Node, place: str | int, operation: Mapping[str, Json]) -> None:
    content = operation["content"]
    if isinstance(place, str):
        if isinstance(holder, MapNode):
            holder.entries[place] = build(content)
        else:
            _set_attributes(holder, {place: content})
        return
    if isinstance(holder, TextNode):
        _check_text_index(holder.units, place)
        _expect(isinstance(content, (str, dict)), "a text takes strings and embedded values")
        given = operation.get("attributes")
        inherited = holder.units[place - 1].attributes if place else {}
        attributes = {key: value for key, value in given.items() if value is not None} if given is not None else inherited
        piece = {"insert": content} if isinstance(content, str) else content
        holder.units[place:place] = _units([{**piece, "attributes": attributes}])
        return
    items = _items(holder)
    _expect(isinstance(content, list) and place <= len(items), f"no items can be inserted at {place}")
    items[place:place] = [build(item) for item in content]


def _delete(holder: Node, place: str | int, operation: Mapping[str, Json]) -> None:
    if isinstance(place, str):
        entries = _attributes(holder) if not isinstance(holder, MapNode) else holder.entries
        _expect(place in entries or not isinstance(holder, MapNode), f"there is no entry {place!r}")
        entries.pop(place, None)
        return
    end = place + operation["length"]
    if isinstance(holder, TextNode):
        _check_text_index(holder.units, place)
        _check_text_index(holder.units, end)
        del holder.units[place:end]
        return
    items = _items(holder)
    _expect(end <= len(items), f"there are no items {place} to {end}")
    del items[place:end]


def _format(holder: Node, place: str | int, operation: Mapping[str, Json]) -> None:
    if not isinstance(holder, TextNode):
        _set_attributes(_child(holder, place), operation["attributes"])
        return
    _expect(isinstance(place, int), "a range of a text begins at an index")
    start = int(place)
    end = start + operation["length"]
    _check_text_index(holder.units, start)
    _check_text_index(holder.units, end)
    for unit in holder.units[start:end]:
        for name, value in operation["attributes"].items():
            if value is None:
                unit.attributes.pop(name, None)
            else:
                unit.attributes[name] = value


_APPLY = {"insert": _insert, "delete": _delete, "format": _format}


def _set_attributes(node: Node, attributes: Mapping[str, Json]) -> None:
    present = _attributes(node)
    for name, value in attributes.items():
        if value is None:
            present.pop(name, None)
        else:
            present[name] = build(value)


# -- places -------------------------------------------------------------------------------------------------------------------


def _first_root(operation: Mapping[str, Json]) -> Node:
    """Make the root that an operation on an unknown one must mean."""
    content = operation.get("content")
    _expect(operation["type"] == "insert" and len(operation["position"]) == 2, "there is no such root")
    if isinstance(operation["position"][1], str):
        return MapNode()
    if not isinstance(content, list):
        return TextNode()
    return XmlNode() if shows_xml(content) else ArrayNode()


def _child(holder: Node, step: str | int) -> Node:
    try:
        if isinstance(step, str):
            return holder.entries[step] if isinstance(holder, MapNode) else _attributes(holder)[step]
        if isinstance(holder, TextNode):
            content = holder.units[step].content
            _expect(not isinstance(content, str), f"there is text at {step}, not a type")
            return content  # type: ignore[return-value]  # checked in the line above
        return _items(holder)[step]
    except LookupError:
        raise ModelError(f"nothing is at {step!r}") from None


def _items(holder: Node) -> list[Node]:
    if isinstance(holder, (ArrayNode, XmlNode)):
        return holder.items
    raise ModelError(f"a {type(holder).__name__} has no items")


def _attributes(node: Node) -> dict[str, Node]:
    if isinstance(node, (XmlNode, TextNode)) and node.attributes is not None:
        return node.attributes
    raise ModelError(f"a {type(node).__name__} has no attributes")


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ModelError(message)


# -- texts --------------------------------------------------------------------------------------------------------------------


def _units(delta: Iterable[Mapping[str, Json]]) -> list[Unit]:
    units = []
    for piece in delta:
        contents = _code_units(piece["insert"]) if "insert" in piece else [build(piece["embed"])]
        units += [Unit(content, dict(piece.get("attributes", {}))) for content in contents]
    return units


def _delta(units: Iterable[Unit]) -> list[Json]:
    pieces: list[dict[str, Json]] = []
    for unit in units:
        if not isinstance(unit.content, str):
            pieces.append({"embed": dump(unit.content), "attributes": dict(unit.attributes)})
        elif pieces and "insert" in pieces[-1] and pieces[-1]["attributes"] == unit.attributes:
            pieces[-1]["insert"] += unit.content
        else:
            pieces.append({"insert": unit.content, "attributes": dict(unit.attributes)})
    for piece in pieces:
        if "insert" in piece:
            piece["insert"] = piece["insert"].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        if not piece["attributes"]:
            del piece["attributes"]
    return pieces


def _code_units(text: str) -> list[str | Node]:
    data = text.encode("utf-16-le")
    return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]


def _check_text_index(units: Sequence[Unit], index: str | int) -> None:
    if not isinstance(index, int) or index > len(units):
        raise ModelError(f"the text has no place {index!r}, it ends at {len(units)}")
    inside = 0 < index < len(units) and _is_half(units[index - 1], 0xD800) and _is_half(units[index], 0xDC00)
    _expect(not inside, f"{index} is inside of a character")


def _is_half(unit: Unit, first: int) -> bool:
    return isinstance(unit.content, str) and first <= ord(unit.content) < first + 0x400


def _build_attributes(value: Mapping[str, Json]) -> dict[str, Node]:
    return {name: build(item) for name, item in value.get("attrs", {}).items() if item is not None}


def _dump_all(nodes: Mapping[str, Node] | None) -> dict[str, Json]:
    return {name: dump(node) for name, node in (nodes or {}).items()}
