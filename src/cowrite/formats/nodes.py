"""The nodes of XML trees: elements as ProseMirror's and Tiptap's schemas name them.

Names are compared as :func:`cowrite.formats.marks.folded` writes them, so that ``bulletList`` (Tiptap) and ``bullet_list``
(ProseMirror's own schemas) are one. Attributes are what any client may have written: each is checked, and has a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from cowrite.formats.blocks import Block, Break, Image, Json, Kind, Leaf, Run
from cowrite.formats.marks import folded
from cowrite.formats.safety import bounded, one_line, safe_alignment, safe_language, safe_picture

Attributes: TypeAlias = Mapping[str, Json]

MAX_NUMBER = 999_999_999
"""The highest number of an item that Markdown has."""
MAX_SPAN = 100
"""Columns or rows that one cell may take: enough for people, and too few to blow up a table."""


def read_leaf(name: str, attributes: Attributes) -> Leaf | None:
    """Return the leaf that an element without children is, None when it is none or shows nothing."""
    read = _LEAVES.get(folded(name))
    return read(attributes) if read else None


def read_block(name: str, attributes: Attributes) -> Block:
    """Return the block that an element is, still without children; a group when its name is not known."""
    read = _BLOCKS.get(folded(name))
    return read(attributes) if read else Block(Kind.GROUP, name=name)


def _image(attributes: Attributes) -> Leaf | None:
    source = safe_picture(attributes.get("src"))
    return Image(source, one_line(attributes.get("alt")), one_line(attributes.get("title"))) if source else None


def _mention(attributes: Attributes) -> Leaf | None:
    name = one_line(attributes.get("label")) or one_line(attributes.get("id"))
    sign = one_line(attributes.get("mentionSuggestionChar")) or "@"
    return Run(sign + name) if name else None


def _break(_: Attributes) -> Leaf | None:
    return Break()


def _simple(kind: Kind) -> Callable[[Attributes], Block]:
    return lambda _: Block(kind)


def _paragraph(attributes: Attributes) -> Block:
    return Block(Kind.PARAGRAPH, align=safe_alignment(attributes.get("textAlign")))


def _heading(attributes: Attributes) -> Block:
    level = bounded(attributes.get("level"), 1, 6, default=1)
    return Block(Kind.HEADING, number=level, align=safe_alignment(attributes.get("textAlign")))


def _code(attributes: Attributes) -> Block:
    return Block(Kind.CODE, name=safe_language(attributes.get("language", attributes.get("params"))))


def _ordered(attributes: Attributes) -> Block:
    return Block(Kind.ORDERED, number=bounded(attributes.get("start", attributes.get("order")), 0, MAX_NUMBER, default=1))


def _task(attributes: Attributes) -> Block:
    return Block(Kind.ITEM, checked=attributes.get("checked") in (True, "true"))


def _cell(kind: Kind) -> Callable[[Attributes], Block]:
    def read(attributes: Attributes) -> Block:
        columns, rows = (bounded(attributes.get(name), 1, MAX_SPAN, default=1) for name in ("colspan", "rowspan"))
        return Block(kind, columns=columns, rows=rows)

    return read


_LEAVES: dict[str, Callable[[Attributes], Leaf | None]] = {"hardbreak": _break, "image": _image, "mention": _mention}

_BLOCKS: dict[str, Callable[[Attributes], Block]] = {
    "paragraph": _paragraph,
    "heading": _heading,
    "codeblock": _code,
    "blockquote": _simple(Kind.QUOTE),
    "horizontalrule": _simple(Kind.RULE),
    "bulletlist": _simple(Kind.BULLETS),
    "orderedlist": _ordered,
    "listitem": _simple(Kind.ITEM),
    "tasklist": _simple(Kind.TASKS),
    "taskitem": _task,
    "table": _simple(Kind.TABLE),
    "tablerow": _simple(Kind.ROW),
    "tableheader": _cell(Kind.HEADER),
    "tablecell": _cell(Kind.CELL),
}
