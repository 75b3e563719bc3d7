"""A document as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from cowrite.formats.blocks import (
    CHANGES,
    Block,
    Break,
    Image,
    Kind,
    Leaf,
    Mark,
    MarkKind,
    Marks,
    Run,
    changes_in,
    fold,
    shared_marks,
)
from cowrite.formats.reading import State, read_roots

_Attributes: TypeAlias = Callable[[Block], str]


def to_html(state: State, root: str | None = None) -> str:
    """Return a document, or one of its roots, as a fragment of HTML that is safe to put into a page.

    Everything is escaped. There are no scripts, no frames, no form but the disabled boxes of tasks, and no ids; links lead to
    ``http``, ``https``, ``mailto``, ``tel`` and relative addresses, images may also be PNG, JPEG, GIF and WebP as ``data:``.
    Images are loaded from wherever the document says, so that their host learns of every reader: forbid it by a content
    security policy where that matters.

    Blocks that are not known are ``<div data-type="…">``, unknown things in text ``<span data-type="…">``; of unknown marks the
    text stays. Maps are definition lists, arrays ordered lists. A root that is plain text is one paragraph that keeps its
    blanks; elsewhere a browser shows several blanks as one. Roots follow one another in their order, each on a new line; a root
    that is not there is "".
    """
    return "\n".join(fold(block, render) for block in read_roots(state, root))


def render(block: Block, parts: list[str | Leaf]) -> str:
    """Write a block, of whose parts the blocks have been written."""
    written = _BLOCKS[block.kind](block, _flow(parts))
    if block.change is None or block.kind is Kind.FRAGMENT:
        return written
    tag = _FIRST_TAG.match(written)
    assert tag is not None, "what is written begins with the block's own element"
    name = _CLASSES[block.change.kind]
    return f"{tag[0]}{_attribute('class', name)}{_change(block.change, 'data-time')}{written[tag.end() :]}"


def _flow(parts: list[str | Leaf]) -> str:
    """Write leaves and what was made of blocks. Marks that go on from one leaf to the next are not ended between them."""
    out: list[str] = []
    opened: Marks = ()
    for part in parts:
        marks = () if isinstance(part, str) else part.marks
        if marks != opened:
            _change_marks(out, opened, marks)
            opened = marks
        out.append(part if isinstance(part, str) else _leaf(part))
    _change_marks(out, opened, ())
    return "".join(out)


def _change_marks(out: list[str], old: Marks, new: Marks) -> None:
    shared = shared_marks(old, new)
    out.extend(f"</{_MARKS[mark.kind]}>" for mark in reversed(old[shared:]))
    out.extend(f"<{_MARKS[mark.kind]}{_mark_attributes(mark)}>" for mark in new[shared:])


def _mark_attributes(mark: Mark) -> str:
    if mark.kind is MarkKind.REFORMATTED:
        return _attribute("class", _CLASSES[mark.kind]) + _change(mark, "data-time")
    if mark.kind in CHANGES:
        return _change(mark, "datetime")
    write = _MARK_ATTRIBUTES.get(mark.kind)
    return write(mark) if write and mark.value else ""


def _link(mark: Mark) -> str:
    title = _attribute("title", mark.title) if mark.title else ""
    return f'{_attribute("href", mark.value)}{title} rel="noopener noreferrer nofollow"'


def _change(mark: Mark, time_name: str) -> str:
    author = _attribute("data-author", mark.value) if mark.value else ""
    time = _attribute(time_name, mark.time) if mark.time else ""
    return f"{author}{time}{_attribute('title', mark.title)}"


def _leaf(leaf: Leaf) -> str:
    match leaf:
        case Run(text):
            return _escape(text)
        case Break():
            return "<br>"
        case Image(source, alternative, title):
            more = _attribute("title", title) if title else ""
            return f"<img{_attribute('src', source)}{_attribute('alt', alternative)}{more}>"
    return f"<span{_attribute('data-type', leaf.name)}></span>"


def _escape(text: str) -> str:
    return html.escape(text, quote=False).replace("\0", "\ufffd")


def _attribute(name: str, value: str) -> str:
    return f' {name}="{html.escape(value)}"'.replace("\0", "\ufffd")


def _style(block: Block) -> str:
    styles = [f"text-align: {block.align}"] if block.align else []
    styles += [f"padding-left: {3 * block.indent}em"] if block.indent else []
    return _attribute("style", "; ".join(styles)) if styles else ""


def _no_attributes(_: Block) -> str:
    return ""


def _type(block: Block) -> str:
    return _attribute("data-type", block.name)


def _start(block: Block) -> str:
    return f' start="{block.number}"' if block.number != 1 else ""


def _spans(block: Block) -> str:
    spans = (("colspan", block.columns), ("rowspan", block.rows))
    return "".join(f' {name}="{count}"' for name, count in spans if count > 1)


def _element(tag: str, attributes: _Attributes = _no_attributes) -> Callable[[Block, str], str]:
    return lambda block, content: f"<{tag}{attributes(block)}>{content}</{tag}>"


def _fragment(_: Block, content: str) -> str:
    return content


def _heading(block: Block, content: str) -> str:
    return f"<h{block.number}{_style(block)}>{content}</h{block.number}>"


def _verbatim(_: Block, content: str) -> str:
    lines = content.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "<br>")
    return f'<p style="white-space: pre-wrap">{lines}</p>'


def _code(block: Block, _: str) -> str:
    """The text of a code block, without marks, its lines as they are."""
    leaves = [leaf for leaf in block.children if not isinstance(leaf, Block)]
    lines = _flow([replace(_line_feed(leaf), marks=changes_in(leaf.marks)) for leaf in leaves])
    return f"<pre><code{_attribute('class', 'language-' + block.name) if block.name else ''}>{lines}</code></pre>"


def _line_feed(leaf: Leaf) -> Leaf:
    return Run("\n", leaf.marks) if isinstance(leaf, Break) else leaf


def _rule(_: Block, __: str) -> str:
    return "<hr>"


def _item(block: Block, content: str) -> str:
    if block.checked is None:
        return f"<li>{content}</li>"
    checked, box = ("true", " checked") if block.checked else ("false", "")
    return f'<li data-checked="{checked}"><input type="checkbox" disabled{box}>{content}</li>'


def _table(_: Block, content: str) -> str:
    return f"<table><tbody>{content}</tbody></table>"


def _tasks(_: Block, content: str) -> str:
    return f'<ul data-type="taskList">{content}</ul>'


_MARKS: Mapping[MarkKind, str] = {
    MarkKind.LINK: "a",
    MarkKind.STRIKE: "s",
    MarkKind.STRONG: "strong",
    MarkKind.EMPHASIS: "em",
    MarkKind.UNDERLINE: "u",
    MarkKind.HIGHLIGHT: "mark",
    MarkKind.COLOUR: "span",
    MarkKind.SUBSCRIPT: "sub",
    MarkKind.SUPERSCRIPT: "sup",
    MarkKind.CODE: "code",
    MarkKind.INSERTED: "ins",
    MarkKind.DELETED: "del",
    MarkKind.REFORMATTED: "span",
}

_MARK_ATTRIBUTES: Mapping[MarkKind, Callable[[Mark], str]] = {
    MarkKind.LINK: _link,
    MarkKind.HIGHLIGHT: lambda mark: _attribute("style", f"background-color: {mark.value}"),
    MarkKind.COLOUR: lambda mark: _attribute("style", f"color: {mark.value}"),
}

_FIRST_TAG = re.compile(r"<[a-z0-9]+")
_CLASSES: Mapping[MarkKind, str] = {
    MarkKind.INSERTED: "cowrite-insert",
    MarkKind.DELETED: "cowrite-delete",
    MarkKind.REFORMATTED: "cowrite-format",
}

_BLOCKS: Mapping[Kind, Callable[[Block, str], str]] = {
    Kind.FRAGMENT: _fragment,
    Kind.GROUP: _element("div", _type),
    Kind.PARAGRAPH: _element("p", _style),
    Kind.HEADING: _heading,
    Kind.VERBATIM: _verbatim,
    Kind.CODE: _code,
    Kind.QUOTE: _element("blockquote"),
    Kind.RULE: _rule,
    Kind.BULLETS: _element("ul"),
    Kind.ORDERED: _element("ol", _start),
    Kind.TASKS: _tasks,
    Kind.ITEM: _item,
    Kind.TABLE: _table,
    Kind.ROW: _element("tr"),
    Kind.HEADER: _element("th", _spans),
    Kind.CELL: _element("td", _spans),
    Kind.DEFINITIONS: _element("dl"),
    Kind.TERM: _element("dt"),
    Kind.DEFINITION: _element("dd"),
}
