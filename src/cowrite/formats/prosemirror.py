"""A document as the JSON of ProseMirror: what ``editor.getJSON()`` gives in an editor that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from cowrite.formats.blocks import Json
from cowrite.formats.marks import HASH
from cowrite.formats.reading import State, read_roots
from cowrite.formats.shapes.nodes import TIPTAP, to_nodes

_ToDo: TypeAlias = "list[tuple[list[Json], Iterable[Json]]]"


def to_prosemirror(state: State, root: str | None = None) -> Json:
    """Return a document, or one of its roots, as ``{"type": "doc", "content": […]}``.

    An XML tree has the names that its editor has given to nodes, attributes and marks; everything else is written with the
    names of Tiptap's extensions, as far as they go. Roots follow one another in their order; a root that is not there gives a
    document without content. Whether it fits an editor's schema nobody looks at.
    """
    content: list[Json] = []
    for name, value in state.items():
        if root is not None and name != root:
            continue
        if "$xml" in value:
            content += _nodes(value["children"])
        else:
            content += _nodes(to_nodes(next(read_roots({name: value}, None)), TIPTAP)[0])
    return {"type": "doc", "content": content}


def _nodes(values: Iterable[Json]) -> list[Json]:
    made: list[Json] = []
    to_do: _ToDo = [(made, values)]
    while to_do:
        nodes, inner = to_do.pop()
        for value in inner:
            nodes += _texts(value["$xmltext"], to_do) if "$xmltext" in value else [_element(value, to_do)]
    return made


def _element(value: Json, to_do: _ToDo) -> Json:
    node: dict[str, Json] = {"type": value["$xml"]}
    if value["attrs"]:
        node["attrs"] = {name: _unescaped(attribute) for name, attribute in value["attrs"].items()}
    if value["children"]:
        node["content"] = []
        to_do.append((node["content"], value["children"]))
    return node


def _texts(delta: Sequence[Json], to_do: _ToDo) -> list[Json]:
    nodes: list[Json] = []
    for piece in delta:
        embedded = piece.get("embed")
        if isinstance(embedded, dict) and embedded.get("$xml"):
            nodes.append(_element(embedded, to_do))
        elif piece.get("insert"):  # nothing else that is embedded is a node
            marks = _marks(piece.get("attributes", {}))
            nodes.append({"type": "text", "text": piece["insert"], **({"marks": marks} if marks else {})})
    return nodes


def _marks(attributes: Mapping[str, Json]) -> list[Json]:
    marks: list[Json] = []
    for name, value in attributes.items():
        more = {"attrs": _unescaped(value)} if isinstance(value, dict) and value else {}
        marks.append({"type": HASH.sub("", name), **more})
    return marks


def _unescaped(value: Json) -> Json:
    """A value with its own keys again: in a state, one that begins with $ has one more."""
    if isinstance(value, dict):
        return {key[1:] if key.startswith("$$") else key: _unescaped(inner) for key, inner in value.items()}
    return [_unescaped(inner) for inner in value] if isinstance(value, list) else value
