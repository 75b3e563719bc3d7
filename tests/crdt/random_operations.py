"""Random operations that fit a document, as a client without a CRDT library makes them. Seeded."""

from __future__ import annotations

import random
from typing import Any

from cowrite.testing.model import ArrayNode, MapNode, Model, Node, TextNode, Value, XmlNode, dump
from crdt.random_edits import EMBEDS, FORMATS, NAMES, STRINGS

Operation = dict[str, Any]

NEW_ROOTS = {"text": "abc", "xml": [{"$xml": "p", "attrs": {}, "children": []}], "array": [1]}
ITEMS: tuple[Any, ...] = (
    1,
    2.5,
    "s",
    None,
    {"$$q": {"a": []}},
    {"$number": "NaN"},
    {"$bin": "AP8="},
    {"$map": {"z": 2, "t": {"$text": [{"insert": "q"}]}}},
    {"$array": [1, {"$array": []}]},
    {"$text": [{"insert": "a😀", "attributes": {"bold": True}}, {"embed": {"i": 1}}, {"insert": "b"}]},
    {"$xml": None, "attrs": {}, "children": [{"$xmltext": [{"insert": "f"}], "attrs": {}}]},
)
NODES: tuple[Any, ...] = (
    {"$xmltext": [{"insert": "new"}], "attrs": {}},
    {"$xmltext": [{"insert": "n", "attributes": {"bold": True}}, {"insert": "m"}], "attrs": {"a": 1}},
    {"$xml": "p", "attrs": {"a": "1"}, "children": [{"$xmltext": [], "attrs": {}}, {"$xml": "b", "attrs": {}, "children": []}]},
)
EMBEDDED_TYPES: tuple[Any, ...] = (
    {"$map": {"k": 1}},
    {"$array": [1, "x"]},
    {"$text": [{"insert": "in"}]},
)


def random_operation(rng: random.Random, model: Model, roots: list[str]) -> Operation | None:
    """Make an operation that fits the model now; None when chance came to nothing."""
    name = rng.choice(roots)
    node = model.roots.get(name)
    if node is None:
        if name == "map":
            return {"type": "insert", "position": [name, "a"], "content": rng.choice(ITEMS)}
        return {"type": "insert", "position": [name, 0], "content": NEW_ROOTS[name]}
    position: list[str | int] = [name]
    while (nested := _nested(node)) and rng.random() < 0.6:
        step, node = rng.choice(nested)
        position.append(step)
    match node:
        case TextNode():
            return _on_text(rng, node, position)
        case MapNode():
            return _on_map(rng, node, position)
        case ArrayNode() | XmlNode():
            return _on_list(rng, node, position)
    return None


def _nested(node: Node) -> list[tuple[str | int, Node]]:
    children: list[tuple[str | int, Any]] = []
    if isinstance(node, TextNode):
        children = [(index, unit.content) for index, unit in enumerate(node.units) if not isinstance(unit.content, str)]
    elif isinstance(node, (ArrayNode, XmlNode)):
        children = list(enumerate(node.items))
    elif isinstance(node, MapNode):
        children = list(node.entries.items())
    return [(step, child) for step, child in children if not isinstance(child, Value)]


def _on_text(rng: random.Random, text: TextNode, position: list[str | int]) -> Operation | None:
    units = text.units
    places = [0]
    for index, unit in enumerate(units, 1):
        if not isinstance(unit.content, str) or not "\ud800" <= unit.content <= "\udbff":
            places.append(index)
    start, end = sorted((rng.choice(places), rng.choice(places)))
    choice = rng.random()
    here = [*position, start]
    if choice < 0.5 or start == end:
        operation: Operation = {"type": "insert", "position": here, "content": rng.choice(STRINGS)}
        if rng.random() < 0.15:
            operation["content"] = {"embed": rng.choice((*EMBEDS[:1], *EMBEDS[2:], *EMBEDDED_TYPES))}
        if rng.random() < 0.5:
            operation["attributes"] = rng.choice(({}, {rng.choice(NAMES): rng.choice(FORMATS)}))
        return operation
    if choice < 0.8:
        return {"type": "delete", "position": here, "length": end - start}
    attributes = {rng.choice(NAMES): rng.choice(FORMATS)}
    return {"type": "format", "position": here, "length": end - start, "attributes": attributes}


def _on_map(rng: random.Random, node: MapNode, position: list[str | int]) -> Operation:
    key = rng.choice(("a", "b", "$c"))
    if key in node.entries and rng.random() < 0.4:
        return {"type": "delete", "position": [*position, key]}
    return {"type": "insert", "position": [*position, key], "content": rng.choice(ITEMS)}


def _on_list(rng: random.Random, node: ArrayNode | XmlNode, position: list[str | int]) -> Operation | None:
    size = len(node.items)
    choice = rng.random()
    if choice < 0.6 or not size:
        items = ITEMS if isinstance(node, ArrayNode) else NODES
        content = [rng.choice(items) for _ in range(rng.choice((1, 1, 2)))]
        return {"type": "insert", "position": [*position, rng.randrange(size + 1)], "content": content}
    index = rng.randrange(size)
    if choice < 0.75:
        child = node.items[index]
        if isinstance(child, (TextNode, XmlNode)) and ("$xmltext" in (shown := dump(child)) or shown.get("$xml")):
            attributes = {rng.choice("ab"): rng.choice((1, "v", None, {"$$x": 1}))}
            return {"type": "format", "position": [*position, index], "length": 1, "attributes": attributes}
        return None
    return {"type": "delete", "position": [*position, index], "length": rng.randrange(1, size - index + 1)}
