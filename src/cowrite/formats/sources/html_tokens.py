"""HTML cut into tags and text, in time proportional to its length.

The standard library's parser takes time that grows with the square of what it is given: 100 KB of ``<a x='`` keep it busy for
twenty seconds (Python 3.11). What is cut here is not mended: what is no tag is text, as in browsers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias


class Start(NamedTuple):
    """A tag that opens an element. Names are in small letters; of two attributes of one name the first counts."""

    name: str
    attributes: Mapping[str, str]


class End(NamedTuple):
    """A tag that closes one."""

    name: str


HtmlToken: TypeAlias = Start | End | str

HIDDEN: Final = frozenset({"script", "style", "template", "title", "textarea", "iframe", "noembed", "noframes", "xmp"})
"""Elements whose content is no HTML, or not shown: they are left out with it."""

# Possessive throughout: where a tag does not come to its end nothing is tried again.
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(
    r"[\s/]*+(?P<name>[^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:\"(?P<double>[^\"]*+)\"|'(?P<single>[^']*+)'|(?P<bare>[^\s>\"'][^\s>]*+)))?+"
)
# Python refuses to read numbers of thousands of digits.
_TOO_LONG = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")


def tokens(text: str) -> Iterator[HtmlToken]:
    """Cut HTML. Comments, declarations, and the elements of :data:`HIDDEN` are left out; references are resolved."""
    at, end = 0, len(text)
    begun = 0  # of the text that is not told yet
    nowhere: set[str] = set()
    """What does not come any more: it is looked for once."""
    while (at := text.find("<", at)) >= 0:
        behind, token = _markup(text, at, nowhere)
        if behind is None:
            at += 1
            continue
        if at > begun:
            yield _resolved(text[begun:at])
        at = begun = behind
        if isinstance(token, Start) and token.name in HIDDEN:
            at = begun = _end_of(text, behind, token.name)
        elif token is not None:
            yield token
    if begun < end:
        yield _resolved(text[begun:])


def _markup(text: str, at: int, nowhere: set[str]) -> tuple[int | None, HtmlToken | None]:
    """What begins at a ``<``: where it ends (None: it is text), and the tag (None: there is nothing to tell)."""
    if text.startswith("<!--", at):
        return _behind(text, at + 4, "-->", nowhere), None
    if text.startswith(("<!", "<?"), at):
        return _behind(text, at + 2, ">", nowhere), None
    name = None if ">" in nowhere else _NAME.match(text, at)
    if name is None:
        return None, None
    closing = text[at + 1] == "/"
    place = name.end()
    attributes: dict[str, str] = {}
    while not closing and (found := _ATTRIBUTE.match(text, place)):
        value = found["double"] or found["single"] or found["bare"] or ""
        attributes.setdefault(found["name"].lower(), _resolved(value))
        place = found.end()
    behind = _behind(text, place, ">", nowhere)
    tag = name[1].lower()
    return behind, End(tag) if closing else Start(tag, attributes)


def _resolved(text: str) -> str:
    return html.unescape(_TOO_LONG.sub("\ufffd", text)) if "&" in text else text


def _behind(text: str, at: int, what: str, nowhere: set[str]) -> int | None:
    """The place behind the next ``what``; None when there is none."""
    found = -1 if what in nowhere else text.find(what, at)
    if found < 0:
        nowhere.add(what)
        return None
    return found + len(what)


def _end_of(text: str, at: int, name: str) -> int:
    """The place of its end tag; the end of all where there is none, as browsers take it."""
    found = re.compile(f"</{name}", re.IGNORECASE).search(text, at)
    return len(text) if found is None else found.start()
