"""A document as plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cowrite.formats.blocks import Block, Kind, Leaf, fold, plain
from cowrite.formats.reading import State, read_roots


def to_text(state: State, root: str | None = None) -> str:
    """Return what can be read in a document, or in one of its roots: for search, counting words, previews.

    Every paragraph, heading, item, line of code and row of a table (its cells between tabs) is a line; an entry of a map is
    ``key: value``. Roots follow one another in their order with a blank line between; those without text are left out. What is
    embedded is left out too, but for a mention's name, a video's address and a formula's source. A root that is plain text
    is given as it is, a root that is not there is "".
    """
    texts = ["\n".join(_lines(block)) for block in read_roots(state, root)]
    if len(texts) > 1:
        texts = [text.strip("\n") for text in texts if text.strip("\n")]
    return "\n\n".join(texts)


def _lines(root: Block) -> list[str]:
    return fold(root, _render)


def _render(block: Block, parts: list[list[str] | Leaf]) -> list[str]:
    """Return the lines of a block: those of its blocks, and each run of leaves among them as one."""
    return _BLOCKS.get(block.kind, _flow)(block, parts)


def _flow(_: Block, parts: list[list[str] | Leaf]) -> list[str]:
    lines: list[str] = []
    leaves: list[Leaf] = []
    for part in parts:
        if not isinstance(part, list):
            leaves.append(part)
            continue
        if leaves:
            lines.append(plain(leaves))
            leaves = []
        lines += part
    return [*lines, plain(leaves)] if leaves else lines


def _line(_: Block, parts: list[list[str] | Leaf]) -> list[str]:
    """A block that is a line even when it is empty."""
    return [plain([part for part in parts if not isinstance(part, list)])]


def _row(_: Block, parts: list[list[str] | Leaf]) -> list[str]:
    return ["\t".join(" ".join(" ".join(part).split()) for part in parts if isinstance(part, list))]


def _definitions(_: Block, parts: list[list[str] | Leaf]) -> list[str]:
    lines: list[str] = []
    texts = [part for part in parts if isinstance(part, list)]
    for [term], definition in zip(texts[::2], texts[1::2], strict=True):
        first, *rest = definition if len(definition) == 1 else ["", *definition]
        lines += [f"{term}: {first}".rstrip(" "), *rest]
    return lines


_BLOCKS: Mapping[Kind, Callable[[Block, list[list[str] | Leaf]], list[str]]] = {
    Kind.PARAGRAPH: _line,
    Kind.HEADING: _line,
    Kind.CODE: _line,
    Kind.TERM: _line,
    Kind.VERBATIM: _line,
    Kind.ROW: _row,
    Kind.DEFINITIONS: _definitions,
}
