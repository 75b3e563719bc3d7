"""Lines of a text: a delta as Quill means it.

In Quill's deltas a line ends with a line feed, and the formatting of that line feed is the line's: header, list, quote, code.
Lines of one list, quote or code block that follow one another become one block; a list's items nest by their indent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cowrite.formats.blocks import Block, Break, Image, Json, Kind, Leaf, Mark, MarkKind, Object, Run, changes_in
from cowrite.formats.marks import read_marks
from cowrite.formats.nodes import Attributes
from cowrite.formats.safety import bounded, one_line, safe_address, safe_alignment, safe_language, safe_picture

MAX_INDENT = 8

_NONCHARACTERS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_UNSHOWN = re.compile(rf"[\0-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]")


class _Line(NamedTuple):
    children: list[Block | Leaf]
    attributes: Attributes


class _OpenList(NamedTuple):
    indent: int
    block: Block
    last: Block
    """Its last item."""


def is_verbatim(delta: list[Json]) -> bool:
    """Tell whether a text has neither formatting nor embedded values: the kind of text that a code editor keeps."""
    return not any("embed" in piece or "attributes" in piece for piece in delta)


def unbroken(text: str) -> list[str]:
    """Return the lines of a text. What no page can show, such as control characters, is U+FFFD."""
    if not text.isprintable():
        text = _UNSHOWN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.split("\n")


def read_text(text: str, attributes: Attributes) -> list[Leaf]:
    """Return text within a block as leaves."""
    marks = read_marks(attributes)
    leaves: list[Leaf] = []
    for number, line in enumerate(unbroken(text)):
        if number:
            leaves.append(Break(marks))
        if line:
            leaves.append(Run(line, marks))
    return leaves


def read_embed(value: Json, attributes: Attributes) -> Leaf:
    """Return what is embedded in a text as a leaf: Quill's images, videos and formulas; an object for what is not known."""
    name, content = next(iter(value.items()), ("", None)) if isinstance(value, dict) else ("", None)
    read = _EMBEDS.get(name)
    leaf = (read(content, attributes) if read else None) or Object(name)
    missing = [mark for mark in changes_in(read_marks(attributes)) if mark not in leaf.marks]
    return replace(leaf, marks=(*leaf.marks, *missing)) if missing else leaf


def read_lines(delta: list[Json], embedded: Callable[[Json], Block | None]) -> list[Block]:
    """Return the lines of a delta as blocks. ``embedded`` makes a block of a shared type, None of anything else."""
    blocks: list[Block] = []
    lists: list[_OpenList] = []
    for line in _lines(delta, embedded):
        kind = line.attributes.get("list")
        if isinstance(kind, str) and kind in _LISTS:
            _add_item(blocks, lists, _LISTS[kind], line)
            continue
        lists.clear()
        block = _block(line)
        if not (blocks and _joined(blocks[-1], block)):
            blocks.append(block)
    return blocks


def _lines(delta: list[Json], embedded: Callable[[Json], Block | None]) -> Iterator[_Line]:
    line: list[Block | Leaf] = []
    for piece in delta:
        attributes: Attributes = piece.get("attributes", {})
        if "embed" in piece:
            child = embedded(piece["embed"]) or read_embed(piece["embed"], attributes)
            if not isinstance(child, Block) and not _is_video(piece["embed"]):
                line.append(child)
                continue
            yield from _rest(line)
            yield _Line([child], {})
            line = []
            continue
        marks = read_marks(attributes)
        first, *others = unbroken(piece["insert"])
        line += [Run(first, marks)] if first else []
        for text in others:
            yield _Line(line, attributes)
            line = [Run(text, marks)] if text else []
    yield from _rest(line)


def _rest(line: list[Block | Leaf]) -> Iterable[_Line]:
    return [_Line(line, {})] if line else []


def _is_video(value: Json) -> bool:
    return isinstance(value, dict) and "video" in value


def _add_item(blocks: list[Block], lists: list[_OpenList], kind: Kind, line: _Line) -> None:
    """Put a line into the list that it belongs to, or into a new one within the last item above it."""
    indent = _indent(line)
    item = Block(Kind.ITEM, line.children, checked=line.attributes["list"] == "checked")
    open_list: _OpenList | None = None
    while lists and lists[-1].indent >= indent:
        open_list = lists.pop()
    if open_list and open_list.indent == indent and open_list.block.kind is kind:
        block = open_list.block
    else:
        block = Block(kind)
        if lists:
            lists[-1].last.children.append(block)
        else:
            blocks.append(block)
    block.children.append(item)
    lists.append(_OpenList(indent, block, item))


def _block(line: _Line) -> Block:
    for name, make in _BLOCKS.items():
        value = line.attributes.get(name)
        if value is not None and value is not False:
            return make(line, value)
    return _paragraph(line)


def _joined(last: Block, block: Block) -> bool:
    """Put a line of code or of a quote to the one before it; tell whether that could be done."""
    if last.kind is not block.kind or last.name != block.name or block.kind not in (Kind.CODE, Kind.QUOTE):
        return False
    last.children += [Break(), *block.children] if block.kind is Kind.CODE else block.children
    return True


def _indent(line: _Line) -> int:
    return bounded(line.attributes.get("indent"), 0, MAX_INDENT, default=0)


def _paragraph(line: _Line) -> Block:
    align = safe_alignment(line.attributes.get("align"))
    return Block(Kind.PARAGRAPH, line.children, align=align, indent=_indent(line))


def _heading(line: _Line, level: Json) -> Block:
    block = _paragraph(line)
    block.kind, block.number = Kind.HEADING, bounded(level, 1, 6, default=1)
    return block


def _quote(line: _Line, _: Json) -> Block:
    return Block(Kind.QUOTE, [_paragraph(line)])


def _code(line: _Line, language: Json) -> Block:
    return Block(Kind.CODE, line.children, name=safe_language(language) if language != "plain" else "")


def _image(source: Json, attributes: Attributes) -> Leaf | None:
    address = safe_picture(source)
    alternative, title = (one_line(attributes.get(name)) for name in ("alt", "title"))
    return Image(address, alternative, title, read_marks(attributes)) if address else None


def _video(source: Json, _: Attributes) -> Leaf | None:
    address = safe_address(source)
    return Run(address, (Mark(MarkKind.LINK, address),)) if address else None


def _formula(source: Json, _: Attributes) -> Leaf | None:
    text = one_line(source)
    return Run(text, (Mark(MarkKind.CODE),)) if text else None


_EMBEDS: Mapping[str, Callable[[Json, Attributes], Leaf | None]] = {"image": _image, "video": _video, "formula": _formula}
_LISTS: Mapping[str, Kind] = {
    "ordered": Kind.ORDERED,
    "bullet": Kind.BULLETS,
    "checked": Kind.TASKS,
    "unchecked": Kind.TASKS,
}
_BLOCKS: Mapping[str, Callable[[_Line, Json], Block]] = {"code-block": _code, "blockquote": _quote, "header": _heading}
