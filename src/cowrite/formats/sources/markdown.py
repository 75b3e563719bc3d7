"""Markdown as blocks: CommonMark with GitHub's tables, task lists and strikethrough.

HTML in it is read as HTML, as far as it is known (:mod:`cowrite.formats.sources.html`); of what is not known, within text the
tags stay as text: they may be ``Vec<String>``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from cowrite.formats.blocks import Block, Break, Image, Kind, Leaf, Mark, MarkKind, Run
from cowrite.formats.delta import read_text, unbroken
from cowrite.formats.safety import bounded, one_line, safe_address, safe_language, safe_picture
from cowrite.formats.settling import settle
from cowrite.formats.sources.html import HtmlReader, InlineMarks
from cowrite.formats.sources.html_tokens import End, Start, tokens
from cowrite.formats.sources.invalid import MAX_NESTED, MAX_NODES, Counter, SourceInvalid, too_deep, too_many_nodes

_LEVELS: Final = 100
"""Levels that the parser looks at, more than are taken here: it is silent about what is nested deeper."""
_MAX_LABELS: Final = 20_000_000
"""Characters that may be looked at for the ends of links: each bracket that is not closed has it look to the end."""

# One level for each marker; a line of thousands would be looked at a hundred times.
_MARKERS = re.compile(rf"^(?:[ \t]*+(?:>|(?:[-+*]|[0-9]{{1,9}}+[.)])(?=[ \t]))){{{MAX_NESTED + 1}}}", re.MULTILINE)
_BOX = re.compile(r"\[([ xX])\](?: |$)")


def read_markdown(text: str, nodes: int = MAX_NODES) -> Block:
    """Read Markdown. Raises :class:`~cowrite.formats.sources.invalid.SourceInvalid`."""
    if text.count("\n") > nodes:
        raise too_many_nodes(nodes, "lines")
    if _MARKERS.search(text):
        raise too_deep()
    reader = _Reader(nodes)
    for token in _parser().parse(text):
        reader.take(token)
    return settle(reader.root)


class _Labels:
    """Looks for the ends of links, and counts how far it looks."""

    def __init__(self, parse: Callable[..., int]) -> None:
        self._parse = parse
        self._left = _MAX_LABELS

    def __call__(self, state: StateInline, start: int, disable_nested: bool = False) -> int:
        end = self._parse(state, start, disable_nested)
        self._left -= (end if end >= 0 else state.posMax) - start
        if self._left < 0:
            raise SourceInvalid("too_costly", "it has too many brackets [ that are not closed; write them as \\[")
        return end


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _LEVELS}).enable(["table", "strikethrough"])
    known: Any = parser.helpers
    helpers: Any = SimpleNamespace(
        parseLinkLabel=_Labels(known.parseLinkLabel),
        parseLinkDestination=known.parseLinkDestination,
        parseLinkTitle=known.parseLinkTitle,
    )
    # Addresses stay as they are written, whatever alphabet, and are checked where all of them are.
    whole: Any = parser
    whole.helpers, whole.normalizeLink, whole.validateLink = helpers, str, bool
    return parser


class _Reader:
    """Puts tokens into blocks."""

    def __init__(self, nodes: int) -> None:
        self.root = Block(Kind.FRAGMENT)
        self._open = [self.root]
        self._counter = Counter(nodes)

    def take(self, token: Token) -> None:
        """Raises :class:`SourceInvalid`."""
        if token.nesting < 0:
            if token.type in _CLOSING:
                self._close()
        elif token.nesting > 0:
            if token.type in _BLOCKS:
                self._begin(_BLOCKS[token.type](token))
        elif token.type == "inline":
            self._inline(token)
        elif token.type == "html_block":
            self._html(token.content)
        elif token.type == "hr":
            self._append(Block(Kind.RULE))
        else:
            self._append(_code(token))

    def _begin(self, block: Block) -> None:
        if len(self._open) > 2 * MAX_NESTED + 1:
            raise too_deep()
        self._append(block)
        self._open.append(block)

    def _append(self, block: Block) -> None:
        self._counter.one_more(1 + len(block.children))
        self._open[-1].children.append(block)

    def _close(self) -> None:
        block = self._open.pop()
        if block.kind is Kind.BULLETS:
            _find_tasks(block)

    def _html(self, content: str) -> None:
        reader = HtmlReader(self._counter)
        for token in tokens(content):
            reader.take(token)
        self._open[-1].children += reader.end().children

    def _inline(self, token: Token) -> None:
        block = self._open[-1]
        leaves = _Leaves(self._counter)
        for child in token.children or ():
            leaves.take(child)
        block.children += leaves.found
        if block.kind is Kind.PARAGRAPH and (box := _BOX.match(token.content)):
            block.name = box[0]  # until its list is known: an item's box, if it was not escaped


def _find_tasks(block: Block) -> None:
    """A list of which every item has a box is one of tasks; else the boxes are text."""
    firsts = [item.children[0] if isinstance(item, Block) and item.children else None for item in block.children]
    paragraphs = [first for first in firsts if isinstance(first, Block) and first.kind is Kind.PARAGRAPH and first.name]
    if not firsts or len(paragraphs) < len(firsts):
        return
    block.kind = Kind.TASKS
    for item, paragraph in zip(block.children, paragraphs, strict=True):
        assert isinstance(item, Block), "a list holds items"
        item.checked = paragraph.name[1] in "xX"
        first, *others = paragraph.children
        assert isinstance(first, Run), "the text of the box"
        rest = first.text[len(paragraph.name) :]
        paragraph.children = [Run(rest, first.marks), *others] if rest else [*others]
        paragraph.name = ""


class _Leaves:
    """Text with its marks."""

    def __init__(self, counter: Counter) -> None:
        self.found: list[Leaf] = []
        self._counter = counter
        self._marks: list[Mark | None] = []
        """Of what is open, innermost last; None: it says nothing."""
        self._html = InlineMarks()

    def take(self, token: Token) -> None:
        """Raises :class:`SourceInvalid`."""
        if token.nesting > 0:
            self._marks.append(_MARKS[token.type](token))
        elif token.nesting < 0:
            self._marks.pop()
        else:
            _LEAVES[token.type](self, token)

    def text(self, token: Token) -> None:
        """Text as it is."""
        if token.content:
            self._put(Run(" ".join(unbroken(token.content)), self._now()))

    def blank(self, _: Token) -> None:
        """A line of the source that ends: a blank."""
        self._put(Run(" ", self._now()))

    def line_break(self, _: Token) -> None:
        """A line that ends."""
        self._put(Break(self._now()))

    def code(self, token: Token) -> None:
        """Code within text."""
        self._put(Run(" ".join(unbroken(token.content)), self._now(Mark(MarkKind.CODE))))

    def image(self, token: Token) -> None:
        """A picture; where its address is none that may be, what stands for it."""
        source = safe_picture(token.attrGet("src"))
        alternative, title = one_line(_words(token.children or ())), one_line(token.attrGet("title"))
        if source is not None:
            self._put(Image(source, alternative, title, self._now()))
        elif alternative:
            self._put(Run(alternative, self._now()))

    def html(self, token: Token) -> None:
        """A tag, or a comment."""
        for tag in tokens(token.content):
            if isinstance(tag, Start) and tag.name == "br":
                self._put(Break(self._now()))
            elif (isinstance(tag, Start) and self._html.start(tag)) or (isinstance(tag, End) and self._html.end(tag.name)):
                continue
            else:
                self._put(Run(token.content, self._now()))

    def _now(self, *more: Mark) -> tuple[Mark, ...]:
        found = {mark.kind: mark for mark in (*self._html.marks, *filter(None, self._marks), *more)}
        return tuple(sorted(found.values()))

    def _put(self, leaf: Leaf) -> None:
        last = self.found[-1] if self.found else None
        if isinstance(leaf, Run) and isinstance(last, Run) and last.marks == leaf.marks:
            self.found[-1] = Run(last.text + leaf.text, leaf.marks)
            return
        self._counter.one_more()
        self.found.append(leaf)


def _words(children: Iterable[Token]) -> str:
    """The text of an image's alternative, without marks."""
    return "".join(child.content if child.type != "softbreak" else " " for child in children)


def _link(token: Token) -> Mark | None:
    address = safe_address(token.attrGet("href"))
    return Mark(MarkKind.LINK, address, one_line(token.attrGet("title"))) if address else None


def _mark(kind: MarkKind) -> Callable[[Token], Mark | None]:
    return lambda _: Mark(kind)


def _simple(kind: Kind) -> Callable[[Token], Block]:
    return lambda _: Block(kind)


def _heading(token: Token) -> Block:
    return Block(Kind.HEADING, number=int(token.tag[1]))


def _ordered(token: Token) -> Block:
    return Block(Kind.ORDERED, number=bounded(token.attrGet("start"), 0, 999_999_999, default=1))


def _code(token: Token) -> Block:
    language, *_ = token.info.split() or [""]
    return Block(Kind.CODE, [*read_text(token.content.removesuffix("\n"), {})], name=safe_language(language))


_BLOCKS: Mapping[str, Callable[[Token], Block]] = {
    "paragraph_open": _simple(Kind.PARAGRAPH),
    "heading_open": _heading,
    "blockquote_open": _simple(Kind.QUOTE),
    "bullet_list_open": _simple(Kind.BULLETS),
    "ordered_list_open": _ordered,
    "list_item_open": _simple(Kind.ITEM),
    "table_open": _simple(Kind.TABLE),
    "tr_open": _simple(Kind.ROW),
    "th_open": _simple(Kind.HEADER),
    "td_open": _simple(Kind.CELL),
}
"""What is not here (the parts of a table) is looked through."""
_CLOSING = frozenset(name.replace("_open", "_close") for name in _BLOCKS)
_MARKS: Mapping[str, Callable[[Token], Mark | None]] = {
    "strong_open": _mark(MarkKind.STRONG),
    "em_open": _mark(MarkKind.EMPHASIS),
    "s_open": _mark(MarkKind.STRIKE),
    "link_open": _link,
}
_LEAVES: Mapping[str, Callable[[_Leaves, Token], None]] = {
    "text": _Leaves.text,
    "softbreak": _Leaves.blank,
    "hardbreak": _Leaves.line_break,
    "code_inline": _Leaves.code,
    "image": _Leaves.image,
    "html_inline": _Leaves.html,
}
