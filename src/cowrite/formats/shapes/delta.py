"""Blocks as a delta of Quill: lines, each ended by a line feed that carries what the line is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cowrite.formats.blocks import Block, Break, Image, Json, Kind, Leaf, Mark, MarkKind, Marks, Object, Run, fold
from cowrite.formats.delta import MAX_INDENT


@dataclass(slots=True)
class _Line:
    leaves: list[Leaf]
    attributes: dict[str, Json] = field(default_factory=dict)


_Lines: TypeAlias = list[_Line]
_Parts: TypeAlias = "list[_Lines | Leaf]"


def to_delta(root: Block) -> tuple[list[Json], list[str]]:
    """The delta of a settled tree, and the names of what Quill has nothing for: its text stays."""
    writer = _Writer()
    pieces: list[Json] = []
    for line in fold(root, writer.render):
        for leaf in line.leaves:
            pieces += writer.pieces(leaf)
        pieces.append({"insert": "\n", **({"attributes": line.attributes} if line.attributes else {})})
    return pieces, sorted(writer.left_out)


@dataclass(slots=True)
class _Writer:
    left_out: set[str] = field(default_factory=set)

    def render(self, block: Block, parts: _Parts) -> _Lines:
        return _BLOCKS.get(block.kind, _Writer.flow)(self, block, parts)

    def flow(self, block: Block, parts: _Parts) -> _Lines:
        """The lines of what is in a block; a line for leaves among them."""
        if block.kind in _LOST:
            self.left_out.add(block.name or block.kind.value)
        lines: _Lines = []
        leaves: list[Leaf] = []
        for part in [*parts, []]:
            if not isinstance(part, list):
                leaves.append(part)
                continue
            lines += _split(leaves, {}) if leaves else []
            leaves = []
            lines += part
        return lines

    def line(self, block: Block, parts: _Parts) -> _Lines:
        attributes: dict[str, Json] = {"header": block.number} if block.kind is Kind.HEADING else {}
        if block.align and block.align != "left":
            attributes["align"] = block.align
        return _split([part for part in parts if not isinstance(part, list)], attributes)

    def code(self, block: Block, parts: _Parts) -> _Lines:
        lines = _split([part for part in parts if not isinstance(part, list)], {"code-block": block.name or "plain"})
        return [_Line([Run(leaf.text) for leaf in line.leaves if isinstance(leaf, Run)], line.attributes) for line in lines]

    def rule(self, _: Block, __: _Parts) -> _Lines:
        self.left_out.add(Kind.RULE.value)
        return []

    def quote(self, block: Block, parts: _Parts) -> _Lines:
        lines = self.flow(block, parts)
        for line in lines:
            if not line.attributes.keys() & _KINDS:
                line.attributes["blockquote"] = True
        return lines

    def items(self, block: Block, parts: _Parts) -> _Lines:
        """Each item's first line is the item, what is in lists within it is indented further."""
        if block.kind is Kind.ORDERED and block.number != 1:
            self.left_out.add("start")
        lines: _Lines = []
        items = [child for child in block.children if isinstance(child, Block)]
        for item, inner in zip(items, [part for part in parts if isinstance(part, list)], strict=True):
            kind = _LISTS[block.kind] or ("checked" if item.checked else "unchecked")
            if not inner or inner[0].attributes.keys() & _KINDS:
                inner.insert(0, _Line([]))
            inner[0].attributes["list"] = kind
            for line in inner[1:]:
                line.attributes["indent"] = min(line.attributes.get("indent", 0) + 1, MAX_INDENT)
            lines += inner
        return lines

    def row(self, _: Block, parts: _Parts) -> _Lines:
        """Cells between tabs, as in the plain text."""
        self.left_out.add(Kind.TABLE.value)
        leaves: list[Leaf] = []
        for number, cell in enumerate(part for part in parts if isinstance(part, list)):
            leaves += [Run("\t")] if number else []
            for at, line in enumerate(cell):
                leaves += [Run(" ")] if at else []
                leaves += line.leaves
        return [_Line(leaves)]

    def pieces(self, leaf: Leaf) -> list[Json]:
        match leaf:
            case Run(text, marks):
                attributes = self._marks(marks)
                return [{"insert": text, **({"attributes": attributes} if attributes else {})}]
            case Image(source, alternative, _, marks):
                attributes = self._marks(marks) | ({"alt": alternative} if alternative else {})
                return [{"embed": {"image": source}, **({"attributes": attributes} if attributes else {})}]
        assert isinstance(leaf, Object), "breaks are lines by now"
        self.left_out.add(leaf.name)
        return []

    def _marks(self, marks: Marks) -> dict[str, Json]:
        written: dict[str, Json] = {}
        for mark in marks:
            written.update(_MARKS[mark.kind](mark))
        return written


def _split(leaves: Sequence[Leaf], attributes: Mapping[str, Json]) -> _Lines:
    """A line for each line: Quill has no breaks within one."""
    lines = [_Line([], dict(attributes))]
    for leaf in leaves:
        if isinstance(leaf, Break):
            lines.append(_Line([], dict(attributes)))
        else:
            lines[-1].leaves.append(leaf)
    return lines


def _flag(name: str, value: Json = True) -> Callable[[Mark], dict[str, Json]]:
    return lambda _: {name: value}


def _value(name: str, otherwise: str = "") -> Callable[[Mark], dict[str, Json]]:
    return lambda mark: {name: mark.value or otherwise}


_LOST = frozenset({Kind.GROUP, Kind.TERM, Kind.DEFINITION})
_KINDS = frozenset({"header", "list", "code-block"})
"""What a line can be but one of."""
_LISTS: Mapping[Kind, str] = {Kind.BULLETS: "bullet", Kind.ORDERED: "ordered", Kind.TASKS: ""}
_MARKS: Mapping[MarkKind, Callable[[Mark], dict[str, Json]]] = {
    MarkKind.LINK: _value("link"),
    MarkKind.STRIKE: _flag("strike"),
    MarkKind.STRONG: _flag("bold"),
    MarkKind.EMPHASIS: _flag("italic"),
    MarkKind.UNDERLINE: _flag("underline"),
    MarkKind.HIGHLIGHT: _value("background", "yellow"),
    MarkKind.COLOUR: _value("color"),
    MarkKind.SUBSCRIPT: _flag("script", "sub"),
    MarkKind.SUPERSCRIPT: _flag("script", "super"),
    MarkKind.CODE: _flag("code"),
}
_BLOCKS: Mapping[Kind, Callable[[_Writer, Block, _Parts], _Lines]] = {
    Kind.PARAGRAPH: _Writer.line,
    Kind.HEADING: _Writer.line,
    Kind.CODE: _Writer.code,
    Kind.RULE: _Writer.rule,
    Kind.QUOTE: _Writer.quote,
    Kind.BULLETS: _Writer.items,
    Kind.ORDERED: _Writer.items,
    Kind.TASKS: _Writer.items,
    Kind.ROW: _Writer.row,
}
"""Everything else is looked through."""
