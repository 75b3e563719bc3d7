"""A document as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from cowrite.formats.blocks import Block, Kind, Leaf, Mark, MarkKind, Run, fold, leaves_of, plain
from cowrite.formats.markdown_inline import inline
from cowrite.formats.markdown_text import code_block, escape_heading, escape_line
from cowrite.formats.reading import State, read_roots


class _Piece(NamedTuple):
    """A block that is written."""

    kind: Kind
    text: str


_EMPTY_CELLS, _EMPTY_OF_EACH = 10_000, 10
"""How many empty cells a table may have, and how many more for each cell that is there."""
_Parts: TypeAlias = "list[list[_Piece] | Leaf]"


def to_markdown(state: State, root: str | None = None) -> str:
    """Return a document, or one of its roots, as CommonMark with GitHub's tables, task lists and strikethrough.

    A root that is plain text is given as it is: what code editors keep is often Markdown already. In everything else, text
    comes back as text, whatever it looks like. Markdown has no empty paragraphs, no blanks at the ends of a line, no breaks in
    a heading (they become blanks) and no underline, highlight, colour, script or alignment: those are left out, and so are
    unknown blocks around what is in them. A cell of a table is one line, with ``<br>`` for breaks; a cell that spans several is
    followed by empty ones; a table without a header has an empty one. Maps are lists of ``**key**: value``. Roots follow one
    another in their order, with a blank line between; a root that is not there is "".
    """
    texts = [markdown_of(block) for block in read_roots(state, root)]
    if len(texts) > 1:
        texts = [text.strip("\n") for text in texts if text.strip("\n")]
    return "\n\n".join(texts)


def markdown_of(root: Block) -> str:
    """The same of blocks that came from somewhere else."""
    return _join(_write(root))


def _flatten_cells(root: Block) -> Block:
    """Put the leaves of everything in a cell directly into the cell: one line is all that it has."""
    to_do = [root]
    while to_do:
        block = to_do.pop()
        if block.kind in (Kind.CELL, Kind.HEADER):
            block.children = list(leaves_of(block))
        to_do += [child for child in block.children if isinstance(child, Block)]
    return root


def _write(root: Block) -> list[_Piece]:
    return fold(_flatten_cells(root), _render)


def _render(block: Block, parts: _Parts) -> list[_Piece]:
    return _BLOCKS.get(block.kind, _flow)(block, parts)


def _flow(_: Block, parts: _Parts) -> list[_Piece]:
    """Blocks as they are, and leaves between them as paragraphs."""
    pieces: list[_Piece] = []
    for is_block, group in groupby(parts, lambda part: isinstance(part, list)):
        if is_block:
            pieces += [piece for part in group if isinstance(part, list) for piece in part]
        else:
            pieces += _paragraph_of([part for part in group if not isinstance(part, list)])
    return pieces


def _paragraph_of(leaves: Sequence[Leaf]) -> list[_Piece]:
    lines = inline(leaves).split("\n")
    text = "\n".join(escape_line(line) for line in lines)
    return [_Piece(Kind.PARAGRAPH, text)] if text else []


def _heading(block: Block, parts: _Parts) -> list[_Piece]:
    line = escape_heading(inline(_leaves(parts), line_break=" "))
    return [_Piece(Kind.HEADING, f"{'#' * block.number} {line}".rstrip(" "))]


def _verbatim(_: Block, parts: _Parts) -> list[_Piece]:
    return [_Piece(Kind.VERBATIM, plain(_leaves(parts)))]


def _code(block: Block, parts: _Parts) -> list[_Piece]:
    return [_Piece(Kind.CODE, code_block(plain(_leaves(parts)), block.name))]


def _quote(block: Block, parts: _Parts) -> list[_Piece]:
    lines = _join(_flow(block, parts)).split("\n")
    return [_Piece(Kind.QUOTE, "\n".join("> " + line if line else ">" for line in lines))]


def _rule(_: Block, __: _Parts) -> list[_Piece]:
    """Stars, because dashes may be read as an item, a heading's underline, or the beginning of metadata."""
    return [_Piece(Kind.RULE, "***")]


def _item(block: Block, parts: _Parts) -> list[_Piece]:
    pieces = _flow(block, parts)
    if block.checked is not None:
        box = "[x]" if block.checked else "[ ]"
        text = ""
        if pieces and pieces[0].kind is Kind.PARAGRAPH:
            text, pieces = " " + pieces[0].text, pieces[1:]
        pieces = [_Piece(Kind.PARAGRAPH, box + text), *pieces]
    return [_Piece(Kind.ITEM, _join(pieces, tight=_is_tight(pieces)))]


def _is_tight(pieces: Sequence[_Piece]) -> bool:
    """Tell whether an item is a paragraph and lists that may follow it without a blank line."""
    return bool(pieces) and pieces[0].kind is Kind.PARAGRAPH and all(_INTERRUPTING.match(piece.text) for piece in pieces[1:])


def _bullets(block: Block, parts: _Parts) -> list[_Piece]:
    return _list(block.kind, [("- ", text) for text in _texts(parts)])


def _ordered(block: Block, parts: _Parts) -> list[_Piece]:
    numbered = enumerate(_texts(parts), block.number)
    return _list(block.kind, [(f"{min(number, 999_999_999)}. ", text) for number, text in numbered])


def _definitions(block: Block, parts: _Parts) -> list[_Piece]:
    entries = [part for part in parts if isinstance(part, list)]
    items = [("- ", _entry(term.text, pieces)) for [term], pieces in zip(entries[::2], entries[1::2], strict=True)]
    return _list(block.kind, items)


def _entry(term: str, pieces: list[_Piece]) -> str:
    text = f"{term}:"
    if pieces and pieces[0].kind is Kind.PARAGRAPH:
        text, pieces = f"{text} {pieces[0].text}", pieces[1:]
    pieces = [_Piece(Kind.PARAGRAPH, text), *pieces]
    return _join(pieces, tight=_is_tight(pieces))


def _term(_: Block, parts: _Parts) -> list[_Piece]:
    name = plain(_leaves(parts)).replace("\n", " ")
    return [_Piece(Kind.TERM, inline([Run(name, (Mark(MarkKind.STRONG),))]))]


def _list(kind: Kind, items: Sequence[tuple[str, str]]) -> list[_Piece]:
    texts = [_indented(marker, text) for marker, text in items]
    between = "\n\n" if any("\n\n" in text for text in texts) else "\n"
    return [_Piece(kind, between.join(texts))] if texts else []


def _indented(marker: str, text: str) -> str:
    first, *lines = text.split("\n")
    rest = [" " * len(marker) + line if line else "" for line in lines]
    return "\n".join([(marker + first).rstrip(" "), *rest])


def _cell(block: Block, parts: _Parts) -> list[_Piece]:
    return [_Piece(block.kind, inline(_leaves(parts), line_break="<br>").replace("|", "\\|"))]


def _table(block: Block, parts: _Parts) -> list[_Piece]:
    rows = [part for part in parts if isinstance(part, list)]
    if not rows:
        return []
    lines = _grid([row for row in block.children if isinstance(row, Block)], rows)
    width = max(1, *map(len, lines))
    if any(cell.kind is not Kind.HEADER for cell in rows[0]):
        lines.insert(0, [])
    lines[0] += [""] * (width - len(lines[0]))
    lines.insert(1, ["---"] * width)
    return [_Piece(Kind.TABLE, "\n".join("|" + "".join(f" {cell} |" if cell else "  |" for cell in line) for line in lines))]


def _grid(rows: Sequence[Block], texts: Sequence[list[_Piece]]) -> list[list[str]]:
    """Put each cell into its column, with empty ones where a cell spans several columns or rows: as long as those do not become
    too many, for a few bytes of a document say that a cell spans a hundred columns of a hundred rows.
    """
    room = _EMPTY_CELLS + _EMPTY_OF_EACH * sum(len(row.children) for row in rows)
    lines: list[list[str]] = []
    covered: dict[int, int] = {}  # column → how many rows below are still covered by a cell above
    for row, pieces in zip(rows, texts, strict=True):
        line: list[str] = []
        below: dict[int, int] = {column: left - 1 for column, left in covered.items() if left > 1}
        for cell, piece in zip(row.children, pieces, strict=True):
            assert isinstance(cell, Block), "a row holds cells alone"
            while len(line) in covered and room > 0:
                line.append("")
                room -= 1
            columns = cell.columns if cell.columns <= room else 1
            if cell.rows > 1 and room > 0:
                below.update((len(line) + offset, cell.rows - 1) for offset in range(columns))
            line += [piece.text, *[""] * (columns - 1)]
            room -= columns - 1
        lines.append(line)
        covered = below
    return lines


def _join(pieces: Sequence[_Piece], *, tight: bool = False) -> str:
    """Put blocks after one another.

    A list gets another marker when it follows one like it, which it would continue, and when it begins with nothing but
    markers: three dashes in a line are a rule.
    """
    texts: list[str] = []
    last, changed = "", False
    for piece in pieces:
        family = _FAMILIES.get(piece.kind, "")
        changed = (bool(family) and family == last and not changed) or (not texts and bool(_DASHES.match(piece.text)))
        last = family
        texts.append(_MARKERS.sub(_other_marker, piece.text) if changed else piece.text)
    return ("\n" if tight else "\n\n").join(texts)


def _other_marker(match: re.Match[str]) -> str:
    return match[0].translate(str.maketrans("-.", "+)"))


def _leaves(parts: _Parts) -> list[Leaf]:
    return [part for part in parts if not isinstance(part, list)]


def _texts(parts: _Parts) -> list[str]:
    return [piece.text for part in parts if isinstance(part, list) for piece in part]


_INTERRUPTING = re.compile(r"- (?=\S)|1\. (?=\S)")
_DASHES = re.compile(r"-(?: -)*$", re.MULTILINE)
_MARKERS = re.compile(r"^(?:-|\d+\.)(?= |$)", re.MULTILINE)
"""The markers of a list's own items: everything else in it is indented."""

_FAMILIES: Mapping[Kind, str] = {
    Kind.BULLETS: "bullets",
    Kind.TASKS: "bullets",
    Kind.DEFINITIONS: "bullets",
    Kind.ORDERED: "numbers",
}

_BLOCKS: Mapping[Kind, Callable[[Block, _Parts], list[_Piece]]] = {
    Kind.HEADING: _heading,
    Kind.VERBATIM: _verbatim,
    Kind.CODE: _code,
    Kind.QUOTE: _quote,
    Kind.RULE: _rule,
    Kind.ITEM: _item,
    Kind.BULLETS: _bullets,
    Kind.TASKS: _bullets,
    Kind.DEFINITIONS: _definitions,
    Kind.TERM: _term,
    Kind.ORDERED: _ordered,
    Kind.TABLE: _table,
    Kind.HEADER: _cell,
    Kind.CELL: _cell,
}
