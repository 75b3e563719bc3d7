"""From a diff to blocks: both moments in one tree, with marks that say what changed.

A change is a mark like any other, the innermost one. It travels among formatting attributes; no client can have written it
there, because no JSON value is a :class:`~cowrite.formats.blocks.Mark`. Here functions call themselves, other than where states
are read: what can be compared is nested at most a hundred levels deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from cowrite.formats.blocks import Block, Json, Kind, Mark, MarkKind, Run
from cowrite.formats.delta import read_embed, read_lines, read_text
from cowrite.formats.marks import read_marks
from cowrite.formats.nodes import read_block, read_leaf
from cowrite.formats.reading import read_into
from cowrite.formats.safety import one_line
from cowrite.formats.settling import LINES, settle

_CHANGE = "change"
"""The name of a change among attributes: no mark's."""

_KINDS: Mapping[str, MarkKind] = {
    "insert": MarkKind.INSERTED,
    "delete": MarkKind.DELETED,
    "format": MarkKind.REFORMATTED,
    "replace": MarkKind.INSERTED,
}
_SHOWN_IN_TEXTS = frozenset({"text", "xmltext", "element", "fragment"})


class _Node(NamedTuple):
    """A shared type in a text, as no client can have written it."""

    node: Json


def read_diff(tree: Json, root: str | None) -> Iterator[Block]:
    """Read one root of a diff, or all of them in their order. A root that is not there, or is mixed, is none."""
    for node in tree["roots"]:
        if root in (None, node["name"]) and node["kind"] != "mixed":
            yield _read_root(node)


def _read_root(node: Json) -> Block:
    if node["kind"] == "text" and not any(run.keys() & {"embed", "node", "attributes"} for run in node["runs"]):
        return Block(Kind.VERBATIM, [Run(run["text"], read_marks(_changed({}, run))) for run in node["runs"]])
    root = Block(Kind.FRAGMENT)
    _fill(root, node)
    return settle(root)


def _fill(block: Block, node: Json) -> None:
    """Put what a node holds into a block."""
    match node["kind"]:
        case "text":
            delta = [_piece(run) for run in node["runs"]]
            block.children += read_lines(delta, lambda embed: _within(embed.node) if isinstance(embed, _Node) else None)
        case "xmltext":
            _fill_runs(block, node["runs"])
        case "array":
            _fill_list(block, node["items"])
        case "map":
            _fill_entries(block, node["entries"])
        case _:
            for child in node["children"]:
                _add_child(block, child)


def _add_child(parent: Block, node: Json) -> None:
    """Put a node of an XML tree into a block."""
    if node["kind"] == "xmltext":
        _fill_runs(parent, node["runs"])
        return
    change = _change(node) or _attributes_change(node)
    if node["kind"] == "element":
        if not node["children"] and (leaf := read_leaf(node["tag"], node["attributes"])):
            parent.children.append(replace(leaf, marks=(change,)) if change else leaf)
            return
        block = read_block(node["tag"], node["attributes"])
        if block.kind is Kind.GROUP and parent.kind in LINES:
            block.kind = Kind.INLINE
    else:
        block = Block(Kind.FRAGMENT)
    block.change = change
    _fill(block, node)
    parent.children.append(block)


def _fill_runs(block: Block, runs: Sequence[Json]) -> None:
    for piece in map(_piece, runs):
        embed = piece.get("embed")
        if "insert" in piece:
            block.children += read_text(piece["insert"], piece["attributes"])
        else:
            block.children.append(_within(embed.node) if isinstance(embed, _Node) else read_embed(embed, piece["attributes"]))


def _fill_list(block: Block, items: Sequence[Json]) -> None:
    listed = Block(Kind.ORDERED)
    block.children.append(listed)
    for part in items:
        for value in part.get("values", [None]):
            item = Block(Kind.ITEM, change=_change(part))
            listed.children.append(item)
            if "node" in part:
                _add_node(item, part["node"])
            else:
                _add_value(item, value, item.change)


def _fill_entries(block: Block, entries: Mapping[str, Json]) -> None:
    listed = Block(Kind.DEFINITIONS)
    block.children.append(listed)
    for key, entry in entries.items():
        change = _change(entry)
        definition = Block(Kind.DEFINITION, change=change)
        name = read_text(key.removeprefix("$"), _changed({}, entry) if entry["change"] != "replace" else {})
        listed.children += [Block(Kind.TERM, [*name]), definition]
        if entry["change"] == "replace":
            _add_value(definition, entry["before"], _change(entry | {"change": "delete"}))
        if "node" in entry:
            _add_node(definition, entry["node"])
        else:
            _add_value(definition, entry["value"], change)


def _add_node(block: Block, node: Json) -> None:
    """Put a shared type into an item or a definition."""
    if node["kind"] == "element":
        _add_child(block, node)
    else:
        _fill(block, node)


def _add_value(block: Block, value: Json, change: Mark | None) -> None:
    """Put a value into a block, with all leaves of it marked."""
    holder = read_into(Block(Kind.FRAGMENT), value)
    if change is not None:
        _mark_all(holder, change)
    block.children += holder.children


def _mark_all(block: Block, change: Mark) -> None:
    to_do = [block]
    while to_do:
        holder = to_do.pop()
        for at, child in enumerate(holder.children):
            if isinstance(child, Block):
                to_do.append(child)
            else:
                holder.children[at] = replace(child, marks=(*child.marks, change))


def _within(node: Json) -> Block:
    block = Block(Kind.FRAGMENT)
    _add_node(block, node)
    return block


def _piece(run: Json) -> Json:
    """Return a run as a piece of a delta."""
    attributes = _changed(run.get("attributes", {}), run)
    if "text" in run:
        return {"insert": run["text"], "attributes": attributes}
    if "embed" in run:
        return {"embed": run["embed"], "attributes": attributes}
    node = run["node"]
    # As in a state's HTML: maps and arrays within a text are shown by their names alone.
    return {"embed": _Node(node) if node["kind"] in _SHOWN_IN_TEXTS else {f"${node['kind']}": None}, "attributes": attributes}


def _changed(attributes: Mapping[str, Json], part: Json) -> Mapping[str, Json]:
    change = _change(part)
    return attributes if change is None else {**attributes, _CHANGE: change}


def _change(part: Json) -> Mark | None:
    """Return what became of a part as a mark, None when it stayed."""
    kind = _KINDS.get(part.get("change", ""))
    if kind is None:
        return None
    author, time = one_line(part["author"]), _time(part["created_at"])
    title = _title(author, time)
    if "restored" in part:
        restored = part["restored"]
        title += f" (brought back: {_title(one_line(restored['author']), _time(restored['created_at']))})"
    return Mark(kind, author, title, time)


def _attributes_change(node: Json) -> Mark | None:
    """Return the last change of a node's attributes as a mark."""
    changes = node.get("attribute_changes")
    if not changes:
        return None
    return _change(max(changes.values(), key=lambda change: change["offset"] or 0) | {"change": "format"})


def _time(created_at: int | None) -> str:
    """To the millisecond: cut off, it would mean the moment before the change."""
    if created_at is None:
        return ""
    seconds = datetime.fromtimestamp(created_at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{created_at % 1000:03}Z"


def _title(author: str, time: str) -> str:
    when = f"{time[:19].replace('T', ' ')} UTC" if time else ""
    return ", ".join(word for word in (author, when) if word) or "author unknown"
