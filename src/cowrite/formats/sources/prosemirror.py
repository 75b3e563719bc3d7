"""The JSON of a ProseMirror document as the XML tree that y-prosemirror makes of it: any names, no schema."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cowrite.formats.blocks import Block, Json, Kind
from cowrite.formats.reading import read_into
from cowrite.formats.settling import settle
from cowrite.formats.sources.invalid import MAX_NODES, Counter, SourceInvalid

MAX_DEPTH: Final = 99
"""Nodes in nodes: a text is one more."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
_NULL: Final = re.compile(r"(?<!\\)(?:\\\\)*+\\u0000")
_FIELDS: Final = frozenset(("type", "attrs", "content", "marks", "text"))


@dataclass(frozen=True, slots=True)
class ReadTree:
    """What is in a document."""

    nodes: Sequence[Json]
    left_out: Sequence[str]
    """What y-prosemirror has no place for."""


def read_prosemirror(text: str, nodes: int = MAX_NODES) -> ReadTree:
    """Read a document: ``{"type": "doc", "content": […]}``. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    reader = _Reader(nodes)
    root = reader.node(_parsed(text), "the document")
    if not isinstance(root.get("type"), str) or "text" in root:
        _refuse("the document", 'it is no node that holds others; {"type": "doc", "content": […]} is one')
    for name in ("attrs", "marks"):
        if root.get(name):
            reader.left_out.add(f"{name} of the document")
    return ReadTree(reader.children(root, "content", 1), sorted(reader.left_out))


def blocks_of(nodes: Sequence[Json]) -> Block:
    """The blocks that such a tree is for the other formats."""
    return settle(read_into(Block(Kind.FRAGMENT), {"$xml": None, "attrs": {}, "children": [*nodes]}))


def _parsed(text: str) -> Json:
    try:
        value = json.loads(text, parse_constant=_no_constant)
        _encode(value).encode()
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SourceInvalid("lone_surrogate", "it holds half of a surrogate pair, which is no Unicode text") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise SourceInvalid("not_prosemirror", f"it is not JSON: {error}") from None
    if _NULL.search(text):
        raise SourceInvalid("null_character", "it holds U+0000; no text has one")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class _Reader:
    def __init__(self, nodes: int) -> None:
        self.left_out: set[str] = set()
        self._counter = Counter(nodes)

    def node(self, value: Json, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            _refuse(place, "a node is a JSON object")
        for name in value:
            if name not in _FIELDS:
                _refuse(place, f"a node has no field {name[:50]!r}")
        self._counter.one_more()
        return value

    def children(self, parent: Mapping[str, Any], place: str, depth: int) -> list[Json]:
        """The nodes in a node; texts beside one another are one."""
        if depth > MAX_DEPTH:
            raise _too_deep()
        nodes: list[Json] = []
        for index, value in enumerate(_list(parent, "content", place)):
            here = f"{place}[{index}]"
            fields = self.node(value, here)
            if fields.get("type") == "text":
                piece = self._text(fields, here)
                if nodes and "$xmltext" in nodes[-1]:
                    nodes[-1]["$xmltext"].append(piece)
                else:
                    nodes.append({"$xmltext": [piece]})
            else:
                nodes.append(self._element(fields, here, depth))
        return nodes

    def _text(self, fields: Mapping[str, Any], place: str) -> Json:
        text = fields.get("text")
        if not isinstance(text, str) or not text:
            _refuse(place, "a text has characters")
        for name in ("attrs", "content"):
            if fields.get(name):
                _refuse(place, f"a text has no {name}")
        return {"insert": text, "attributes": self._marks(fields, place)}

    def _element(self, fields: Mapping[str, Any], place: str, depth: int) -> Json:
        name = _name(fields, place)
        if "text" in fields:
            _refuse(place, f"a node {name[:50]!r} has no text; a node of type text has")
        if fields.get("marks"):
            self.left_out.add(f"marks of {name}")
        # What is null y-prosemirror leaves out, too.
        attributes = {key: _escaped(value, 0) for key, value in _object(fields, "attrs", place).items() if value is not None}
        self._counter.one_more(len(attributes))
        return {"$xml": name, "attrs": attributes, "children": self.children(fields, f"{place}.content", depth + 1)}

    def _marks(self, fields: Mapping[str, Any], place: str) -> dict[str, Json]:
        marks = _list(fields, "marks", place)
        names = [
            _name(mark, f"{place}.marks") if isinstance(mark, dict) else _refuse(place, "a mark is an object") for mark in marks
        ]
        written: dict[str, Json] = {}
        for mark, name in zip(marks, names, strict=True):
            attributes = {key: _escaped(value, 0) for key, value in _object(mark, "attrs", place).items()}
            # y-prosemirror tells marks apart by a hash where their type may overlap itself, and takes any that looks so.
            written[f"{name}--{_hash(mark)}" if names.count(name) > 1 else name] = attributes
        self._counter.one_more(len(written))
        return written


def _hash(mark: Json) -> str:
    return b64encode(hashlib.sha256(_encode(mark).encode()).digest()[:6]).decode()


def _escaped(value: Json, depth: int) -> Json:
    """A value as operations have it, where a key that begins with $ has one more."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        return {"$" + key if key.startswith("$") else key: _escaped(inner, depth + 1) for key, inner in value.items()}
    return [_escaped(inner, depth + 1) for inner in value] if isinstance(value, list) else value


def _name(fields: Mapping[str, Any], place: str) -> str:
    name = fields.get("type")
    if not isinstance(name, str) or not name:
        _refuse(place, "its type is a name")
    return name


def _list(fields: Mapping[str, Any], name: str, place: str) -> Sequence[Any]:
    value = fields.get(name)
    if value is not None and not isinstance(value, list):
        _refuse(place, f"{name} is a list")
    return value or ()


def _object(fields: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        _refuse(place, f"{name} is an object")
    return value or {}


def _too_deep() -> SourceInvalid:
    return SourceInvalid("too_deep", f"nodes or values are nested more than {MAX_DEPTH} deep")


def _refuse(place: str, reason: str) -> NoReturn:
    raise SourceInvalid("not_prosemirror", f"{place}: {reason}")
