"""From a state to blocks: each root, whatever its kind.

XML trees are read as ProseMirror's (:mod:`cowrite.formats.nodes`), texts as Quill's (:mod:`cowrite.formats.delta`), maps and
arrays as lists. Shared types in shared types are read in turn from a list of what is still to do, not by recursion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from cowrite.formats.blocks import Block, Json, Kind, Object, Run
from cowrite.formats.delta import is_verbatim, read_embed, read_lines, read_text
from cowrite.formats.nodes import read_block, read_leaf
from cowrite.formats.settling import LINES, settle

State: TypeAlias = Mapping[str, Json]
"""What ``cowrite.crdt.state.get_state`` returns: roots by name, each a tagged value."""

_ToDo: TypeAlias = list[tuple[Block, Iterable[Json]]]
"""Values that are still to be put into a block."""

_SHARED = ("$xml", "$xmltext", "$text")
"""Tags of what can be shown within a text as a block of its own."""


def read_roots(state: State, root: str | None) -> Iterator[Block]:
    """Read one root, or all of them in their order. A root that is not there is none."""
    for name, value in state.items():
        if root is None or name == root:
            yield _read_root(value)


def _read_root(value: Json) -> Block:
    delta = value.get("$text")
    if delta is not None and is_verbatim(delta):
        return Block(Kind.VERBATIM, [Run("".join(piece["insert"] for piece in delta))])
    return settle(read_into(Block(Kind.FRAGMENT), value))


def read_into(root: Block, value: Json) -> Block:
    """Put a value with everything in it into a block, which is returned and still has to be settled."""
    to_do: _ToDo = [(root, [value])]
    while to_do:
        block, values = to_do.pop()
        for inner in values:
            _place(block, inner, to_do)
    return root


def _place(parent: Block, value: Json, to_do: _ToDo) -> None:
    """Put a value into a block: at once as far as it is text, else as a block that is filled later."""
    if isinstance(value, dict):
        tag = next((key for key in value if key.startswith("$") and not key.startswith("$$")), "")
        _PLACERS.get(tag, _object)(parent, value, to_do)
    elif isinstance(value, list):
        _array(parent, {"$array": value}, to_do)
    else:
        parent.children += read_text(value if isinstance(value, str) else json.dumps(value), {})


def _element(parent: Block, value: Json, to_do: _ToDo) -> None:
    name, attributes, children = value["$xml"], value["attrs"], value["children"]
    if name is None:
        block = Block(Kind.FRAGMENT)
    elif not children and (leaf := read_leaf(name, attributes)):
        parent.children.append(leaf)
        return
    else:
        block = read_block(name, attributes)
    if block.kind is Kind.GROUP and parent.kind in LINES:
        block.kind = Kind.INLINE
    parent.children.append(block)
    to_do.append((block, children))


def _xml_text(parent: Block, value: Json, to_do: _ToDo) -> None:
    for piece in value["$xmltext"]:
        attributes = piece.get("attributes", {})
        if "insert" in piece:
            parent.children += read_text(piece["insert"], attributes)
        else:
            parent.children.append(_shared(piece["embed"], to_do) or read_embed(piece["embed"], attributes))


def _text(parent: Block, value: Json, to_do: _ToDo) -> None:
    parent.children += read_lines(value["$text"], lambda embed: _shared(embed, to_do))


def _shared(value: Json, to_do: _ToDo) -> Block | None:
    """Return a block for a text or tree that is embedded in a text, None for anything else."""
    if not isinstance(value, dict) or not any(tag in value for tag in _SHARED):
        return None
    block = Block(Kind.FRAGMENT)
    to_do.append((block, [value]))
    return block


def _map(parent: Block, value: Json, to_do: _ToDo) -> None:
    _object(parent, value["$map"], to_do)


def _object(parent: Block, value: Json, to_do: _ToDo) -> None:
    entries = Block(Kind.DEFINITIONS)
    parent.children.append(entries)
    for key, inner in value.items():
        definition = Block(Kind.DEFINITION)
        entries.children += [Block(Kind.TERM, [*read_text(key.removeprefix("$"), {})]), definition]
        to_do.append((definition, [inner]))


def _array(parent: Block, value: Json, to_do: _ToDo) -> None:
    items = Block(Kind.ORDERED)
    parent.children.append(items)
    for inner in value["$array"]:
        item = Block(Kind.ITEM)
        items.children.append(item)
        to_do.append((item, [inner]))


def _number(parent: Block, value: Json, _: _ToDo) -> None:
    parent.children.append(Run(value["$number"]))


def _hidden(parent: Block, value: Json, _: _ToDo) -> None:
    parent.children.append(Object(next(iter(value)).removeprefix("$")))


_PLACERS: Mapping[str, Callable[[Block, Json, _ToDo], None]] = {
    "$xml": _element,
    "$xmltext": _xml_text,
    "$text": _text,
    "$map": _map,
    "$array": _array,
    "$number": _number,
    "$bin": _hidden,
    "$doc": _hidden,
}
