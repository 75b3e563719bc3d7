"""HTML as blocks.

Only what is known becomes anything: an element of the tables below, with checked addresses, colours and numbers. Everything
else is looked through: its text stays. So nothing has to be taken out of HTML to make it harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from cowrite.formats.blocks import Block, Break, Image, Kind, Leaf, Mark, MarkKind, Marks, Run
from cowrite.formats.delta import unbroken
from cowrite.formats.nodes import MAX_NUMBER, MAX_SPAN
from cowrite.formats.safety import bounded, one_line, safe_address, safe_alignment, safe_colour, safe_language, safe_picture
from cowrite.formats.settling import settle
from cowrite.formats.sources.html_tokens import End, HtmlToken, Start, tokens
from cowrite.formats.sources.invalid import MAX_NESTED, MAX_NODES, Counter, too_deep

_BLANKS: Final = " \t\n\r\f"
_SPACE = re.compile(f"[{_BLANKS}]+")
_STYLE = re.compile(r"(?:^|;)[ \t\n]*(color|background-color|background|text-align)[ \t\n]*:([^;]{0,80})", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-(\S{1,50})")


def read_html(text: str, nodes: int = MAX_NODES) -> Block:
    """Read a page or a part of one. Raises :class:`~cowrite.formats.sources.invalid.SourceInvalid`."""
    reader = HtmlReader(Counter(nodes))
    for token in tokens(text):
        reader.take(token)
    return settle(reader.end())


class HtmlReader:
    """Takes tags and text one after the other."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._root = Block(Kind.FRAGMENT)
        self._holders: list[tuple[str, Block]] = [("", self._root)]
        """The blocks that hold blocks and are open, outermost first."""
        self._line: Block | None = None
        """The paragraph, heading or code that is being filled."""
        self._inline = InlineMarks()

    def take(self, token: HtmlToken) -> None:
        """Raises :class:`~cowrite.formats.sources.invalid.SourceInvalid`."""
        if isinstance(token, str):
            self._text(token)
        elif isinstance(token, Start):
            self._start(token)
        else:
            self._end(token)

    def end(self) -> Block:
        """All that was taken, still to be settled."""
        self._end_line()
        return self._root

    # -- tags -----------------------------------------------------------------------------------------------------------------

    def _start(self, tag: Start) -> None:
        name = tag.name
        if name in _LINES:
            self._open_line(_LINES[name](tag.attributes))
        elif name in _HOLDERS:
            self._open_holder(tag)
        elif name in _APART:
            self._end_line()
        elif name == "hr":
            self._end_line()
            self._append(Block(Kind.RULE))
        elif name == "br":
            self._leaf(Break(self._inline.marks))
        elif name == "img":
            self._image(tag.attributes)
        elif name == "input":
            self._box(tag.attributes)
        elif name == "code" and self._line is not None and self._line.kind is Kind.CODE:
            self._line.name = self._line.name or _language(tag.attributes)
        else:
            self._inline.start(tag)

    def _end(self, tag: End) -> None:
        name = tag.name
        if name in _LINES or name in _APART:
            self._end_line()
        elif name in _HOLDERS:
            self._close(name, ())
        else:
            self._inline.end(name)

    def _open_holder(self, tag: Start) -> None:
        self._end_line()
        if tag.name in _BOUNDS:
            self._close(tag.name, _BOUNDS[tag.name])
        if len(self._holders) > MAX_NESTED:
            raise too_deep()
        block = _HOLDERS[tag.name](tag.attributes)
        self._append(block)
        self._holders.append((tag.name, block))

    def _close(self, name: str, bounds: tuple[str, ...]) -> None:
        """End the innermost open element of that name and all within it, if it is not beyond one of the ``bounds``."""
        self._end_line()
        for index in range(len(self._holders) - 1, 0, -1):
            opened = self._holders[index][0]
            if opened == name or (opened, name) in _SAME:
                del self._holders[index:]
                return
            if opened in bounds:
                return

    def _image(self, attributes: Mapping[str, str]) -> None:
        source = safe_picture(attributes.get("src"))
        alternative, title = one_line(attributes.get("alt")), one_line(attributes.get("title"))
        if source is not None:
            self._leaf(Image(source, alternative, title, self._inline.marks))
        elif alternative:
            self._leaf(Run(alternative, self._inline.marks))

    def _box(self, attributes: Mapping[str, str]) -> None:
        """The box of a task."""
        _, holder = self._holders[-1]
        if attributes.get("type", "").lower() == "checkbox" and holder.kind is Kind.ITEM:
            holder.checked = "checked" in attributes
            parent = self._holders[-2][1]
            if parent.kind is Kind.BULLETS:
                parent.kind = Kind.TASKS

    # -- text -----------------------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> None:
        line = self._line
        marks = self._inline.marks
        if line is not None and line.kind is Kind.CODE:
            for number, part in enumerate(unbroken(text)):
                if number:
                    self._leaf(Break())
                if part:
                    self._leaf(Run(part))
            return
        text = _SPACE.sub(" ", text)
        last = line.children[-1] if line is not None and line.children else None
        if last is None or isinstance(last, Break) or (isinstance(last, Run) and last.text.endswith(" ")):
            text = text.removeprefix(" ")
        if text:
            self._leaf(Run(unbroken(text)[0], marks))

    def _leaf(self, leaf: Leaf) -> None:
        if self._line is None:
            self._open_line(Block(Kind.PARAGRAPH))
        assert self._line is not None, "it was opened"
        self._counter.one_more()
        self._line.children.append(leaf)

    def _open_line(self, block: Block) -> None:
        self._end_line()
        self._append(block)
        self._line = block

    def _append(self, block: Block) -> None:
        self._counter.one_more()
        self._holders[-1][1].children.append(block)

    def _end_line(self) -> None:
        """The blank at the end of a line is none, nor is the line feed at the end of code, nor the last break."""
        line, self._line = self._line, None
        if line is None or not line.children:
            return
        last = line.children[-1]
        if isinstance(last, Break):
            line.children.pop()
        elif isinstance(last, Run) and last.text.endswith(" ") and line.kind is not Kind.CODE:
            line.children[-1:] = [replace(last, text=last.text[:-1])] if last.text != " " else []


class InlineMarks:
    """The marks of text by the tags around it. They go on over the ends of blocks, as in browsers."""

    def __init__(self) -> None:
        self._open: dict[str, list[Marks]] = {}
        """By the name of the tag, what each one that is open says."""
        self.marks: Marks = ()
        """What text here has, outermost first."""

    def start(self, tag: Start) -> bool:
        """A tag opens. Returns whether it is known."""
        read = _MARKS.get(tag.name)
        if read is None:
            return False
        self._open.setdefault(tag.name, []).append(read(tag.attributes))
        self._changed()
        return True

    def end(self, name: str) -> bool:
        """A tag closes. Returns whether it is known."""
        if self._open.get(name):
            self._open[name].pop()
            self._changed()
        return name in _MARKS

    def _changed(self) -> None:
        found = {mark.kind: mark for opened in self._open.values() if opened for mark in opened[-1]}
        self.marks = tuple(sorted(found.values()))


def _simple(kind: MarkKind) -> Callable[[Mapping[str, str]], Marks]:
    return lambda _: (Mark(kind),)


def _link(attributes: Mapping[str, str]) -> Marks:
    address = safe_address(attributes.get("href"))
    return (Mark(MarkKind.LINK, address, one_line(attributes.get("title"))),) if address else ()


def _styles(attributes: Mapping[str, str]) -> dict[str, str]:
    return {found[1].lower(): found[2].strip() for found in _STYLE.finditer(attributes.get("style", ""))}


def _span(attributes: Mapping[str, str]) -> Marks:
    styles = _styles(attributes)
    colour, behind = safe_colour(styles.get("color")), safe_colour(styles.get("background-color") or styles.get("background"))
    return (
        *((Mark(MarkKind.HIGHLIGHT, behind),) if behind else ()),
        *((Mark(MarkKind.COLOUR, colour),) if colour else ()),
    )


def _highlight(attributes: Mapping[str, str]) -> Marks:
    return (Mark(MarkKind.HIGHLIGHT, safe_colour(_styles(attributes).get("background-color"))),)


def _align(attributes: Mapping[str, str]) -> str:
    return safe_alignment((_styles(attributes).get("text-align") or attributes.get("align", "")).lower())


def _language(attributes: Mapping[str, str]) -> str:
    found = _LANGUAGE.search(attributes.get("class", ""))
    return safe_language(found[1]) if found else ""


def _paragraph(attributes: Mapping[str, str]) -> Block:
    return Block(Kind.PARAGRAPH, align=_align(attributes))


def _heading(level: int) -> Callable[[Mapping[str, str]], Block]:
    return lambda attributes: Block(Kind.HEADING, number=level, align=_align(attributes))


def _code(attributes: Mapping[str, str]) -> Block:
    return Block(Kind.CODE, name=_language(attributes))


def _holder(kind: Kind) -> Callable[[Mapping[str, str]], Block]:
    return lambda _: Block(kind)


def _bullets(attributes: Mapping[str, str]) -> Block:
    return Block(Kind.TASKS if attributes.get("data-type") == "taskList" else Kind.BULLETS)


def _ordered(attributes: Mapping[str, str]) -> Block:
    return Block(Kind.ORDERED, number=bounded(attributes.get("start"), 0, MAX_NUMBER, default=1))


def _item(attributes: Mapping[str, str]) -> Block:
    return Block(Kind.ITEM, checked=attributes.get("data-checked") == "true")


def _cell(kind: Kind) -> Callable[[Mapping[str, str]], Block]:
    def read(attributes: Mapping[str, str]) -> Block:
        columns, rows = (bounded(attributes.get(name), 1, MAX_SPAN, default=1) for name in ("colspan", "rowspan"))
        return Block(kind, columns=columns, rows=rows)

    return read


_LINES: Mapping[str, Callable[[Mapping[str, str]], Block]] = {
    "p": _paragraph,
    "pre": _code,
    **{f"h{level}": _heading(level) for level in range(1, 7)},
}
"""Elements that hold text."""
_HOLDERS: Mapping[str, Callable[[Mapping[str, str]], Block]] = {
    "blockquote": _holder(Kind.QUOTE),
    "ul": _bullets,
    "ol": _ordered,
    "li": _item,
    "table": _holder(Kind.TABLE),
    "tr": _holder(Kind.ROW),
    "td": _cell(Kind.CELL),
    "th": _cell(Kind.HEADER),
}
"""Elements that hold these and others."""
_BOUNDS: Mapping[str, tuple[str, ...]] = {
    "li": ("ul", "ol"),
    "tr": ("table",),
    "td": ("tr", "table"),
    "th": ("tr", "table"),
}
"""Elements that end one of their kind before them, if it is not beyond one of these."""
_SAME = frozenset({("td", "th"), ("th", "td")})
_APART = frozenset(
    re.findall(
        r"\w+",
        "address article aside body caption center dd details dialog dir div dl dt fieldset figcaption figure footer form "
        "frameset header hgroup html legend main menu nav optgroup option search section summary tbody tfoot thead",
    )
)
"""Elements that begin and end a line, and are nothing else."""
_MARKS: Mapping[str, Callable[[Mapping[str, str]], Marks]] = {
    "a": _link,
    "b": _simple(MarkKind.STRONG),
    "strong": _simple(MarkKind.STRONG),
    "i": _simple(MarkKind.EMPHASIS),
    "em": _simple(MarkKind.EMPHASIS),
    "cite": _simple(MarkKind.EMPHASIS),
    "u": _simple(MarkKind.UNDERLINE),
    "ins": _simple(MarkKind.UNDERLINE),
    "s": _simple(MarkKind.STRIKE),
    "del": _simple(MarkKind.STRIKE),
    "strike": _simple(MarkKind.STRIKE),
    "code": _simple(MarkKind.CODE),
    "kbd": _simple(MarkKind.CODE),
    "samp": _simple(MarkKind.CODE),
    "tt": _simple(MarkKind.CODE),
    "sub": _simple(MarkKind.SUBSCRIPT),
    "sup": _simple(MarkKind.SUPERSCRIPT),
    "mark": _highlight,
    "span": _span,
    "font": lambda attributes: _span({"style": f"color: {attributes.get('color', '')}"}),
}
