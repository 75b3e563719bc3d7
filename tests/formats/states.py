"""States written short, and HTML read back."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, TypeAlias

Json: TypeAlias = Any

VOID = {"br", "hr", "img", "input"}


def text(*pieces: str | tuple[str, dict[str, Json]]) -> Json:
    """An XML text: strings, and strings with their formatting."""
    delta = [{"insert": piece} if isinstance(piece, str) else {"insert": piece[0], "attributes": piece[1]} for piece in pieces]
    return {"$xmltext": delta, "attrs": {}}


def element(name: str, /, *children: Json, **attributes: Json) -> Json:
    return {"$xml": name, "attrs": attributes, "children": list(children)}


def paragraph(*pieces: str | tuple[str, dict[str, Json]]) -> Json:
    return element("paragraph", text(*pieces))


def tree(*children: Json) -> dict[str, Json]:
    """A state whose only root is an XML tree."""
    return {"default": {"$xml": None, "attrs": {}, "children": list(children)}}


def delta(*pieces: str | tuple[str, dict[str, Json]] | dict[str, Json]) -> dict[str, Json]:
    """A state whose only root is a text: strings, strings with formatting, and whole pieces."""
    written: list[Json] = []
    for piece in pieces:
        if isinstance(piece, str):
            written.append({"insert": piece})
        elif isinstance(piece, tuple):
            written.append({"insert": piece[0], "attributes": piece[1]})
        else:
            written.append(piece)
    return {"body": {"$text": written}}


class ReadHtml(HTMLParser):
    """Reads HTML and fails where elements do not end in the order in which they began."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)
