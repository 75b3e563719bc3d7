"""The marks of text: formatting attributes as y-prosemirror and Quill write them.

ProseMirror's marks are objects (``{"bold": {}}``, ``{"link": {"href": "…"}}``), Quill's plain values (``{"bold": true}``,
``{"link": "…"}``). Both are read by one table, because their names hardly differ. Marks that are not known mean nothing here;
their text stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cowrite.formats.blocks import Json, Mark, MarkKind, Marks
from cowrite.formats.safety import one_line, safe_address, safe_colour

# y-prosemirror ends the names of marks that may overlap their own kind so, from 1.3 on.
HASH = re.compile(r"--[A-Za-z0-9+/=]{8}\Z")


def folded(name: str) -> str:
    """Return a name of a node or mark as the tables have it: ``bulletList`` and ``bullet_list`` are the same."""
    return name.replace("_", "").replace("-", "").lower()


def read_marks(attributes: Mapping[str, Json]) -> Marks:
    """Return the known marks among formatting attributes, outermost first; of two of one kind the last by name."""
    if not attributes:
        return ()
    found: dict[MarkKind, Mark] = {}
    for name, value in attributes.items():
        if isinstance(value, Mark):  # a change: no JSON is a mark, so no client can have written it
            found[value.kind] = value
            continue
        read = _MARKS.get(folded(HASH.sub("", name)))
        if read is not None and value is not None and value is not False:
            found.update((mark.kind, mark) for mark in read(value))
    return tuple(sorted(found.values()))


def _simple(kind: MarkKind) -> Callable[[Json], list[Mark]]:
    return lambda _: [Mark(kind)]


def _coloured(kind: MarkKind) -> Callable[[Json], list[Mark]]:
    def read(value: Json) -> list[Mark]:
        colour = safe_colour(value)
        return [Mark(kind, colour)] if colour else []

    return read


def _link(value: Json) -> list[Mark]:
    fields = value if isinstance(value, dict) else {"href": value}
    address = safe_address(fields.get("href"))
    return [Mark(MarkKind.LINK, address, one_line(fields.get("title")))] if address else []


def _highlight(value: Json) -> list[Mark]:
    return [Mark(MarkKind.HIGHLIGHT, safe_colour(value.get("color")) if isinstance(value, dict) else "")]


def _style(value: Json) -> list[Mark]:
    fields = value if isinstance(value, dict) else {}
    return [*_colour(fields.get("color")), *_background(fields.get("backgroundColor"))]


def _script(value: Json) -> list[Mark]:
    return [Mark(kind) for name, kind in (("sub", MarkKind.SUBSCRIPT), ("super", MarkKind.SUPERSCRIPT)) if value == name]


_colour = _coloured(MarkKind.COLOUR)
_background = _coloured(MarkKind.HIGHLIGHT)

_MARKS: dict[str, Callable[[Json], list[Mark]]] = {
    "link": _link,
    "bold": _simple(MarkKind.STRONG),
    "strong": _simple(MarkKind.STRONG),
    "italic": _simple(MarkKind.EMPHASIS),
    "em": _simple(MarkKind.EMPHASIS),
    "underline": _simple(MarkKind.UNDERLINE),
    "strike": _simple(MarkKind.STRIKE),
    "strikethrough": _simple(MarkKind.STRIKE),
    "code": _simple(MarkKind.CODE),
    "subscript": _simple(MarkKind.SUBSCRIPT),
    "superscript": _simple(MarkKind.SUPERSCRIPT),
    "script": _script,
    "highlight": _highlight,
    "background": _background,
    "color": _colour,
    "textstyle": _style,
}
