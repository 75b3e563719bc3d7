"""What may leave a document: addresses, colours and numbers that anybody may have written into it.

Everything is either one of what is listed here, or dropped. Nothing is mended, because a browser may read the mended one
otherwise.
"""

from __future__ import annotations

import re

from cowrite.formats.blocks import Json

SCHEMES = frozenset({"http", "https", "mailto", "tel"})
MAX_COLOUR = 64
"""Characters of a colour: blanks without end would make its pattern slow."""
ALIGNMENTS = frozenset({"left", "center", "right", "justify"})

# Browsers take these out of an address before they look for its scheme.
_IGNORED = re.compile(r"[\0-\x1f\x7f]")
_SCHEME = re.compile(r"([^/?#:]*):")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]*={0,2}", re.IGNORECASE)
_COLOUR = re.compile(
    r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})"
    r"|[a-z]{3,30}"
    r"|(?:rgb|hsl)a?\([ ]*[0-9.]{1,9}(?:deg|%)?(?:[ ]*[, /][ ]*[0-9.]{1,9}%?){2,3}[ ]*\)",
    re.IGNORECASE,
)
_LANGUAGE = re.compile(r"[\w+#.-]{1,50}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def safe_address(value: Json) -> str | None:
    """Return the address that a link may lead to: of a scheme that does nothing but lead there, or relative. Else None."""
    if not isinstance(value, str):
        return None
    address = _IGNORED.sub("", value).strip(" ")
    scheme = _SCHEME.match(address)
    if not address or (scheme and scheme[1].lower() not in SCHEMES):
        return None
    return address


def safe_picture(value: Json) -> str | None:
    """Return the address that an image may come from: that of a link, or a picture as ``data:`` (no SVG: it is a program)."""
    if isinstance(value, str) and _PICTURE.fullmatch(value):
        return value
    return safe_address(value)


def safe_colour(value: Json) -> str:
    """Return a colour of CSS by name or by numbers, "" for everything else."""
    return value if isinstance(value, str) and len(value) <= MAX_COLOUR and _COLOUR.fullmatch(value) else ""


def safe_language(value: Json) -> str:
    """Return the name of a programming language when it is one word, else ""."""
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else ""


def safe_alignment(value: Json) -> str:
    """Return a value of CSS's ``text-align``, "" for everything else."""
    return value if isinstance(value, str) and value in ALIGNMENTS else ""


def bounded(value: Json, low: int, high: int, *, default: int) -> int:
    """Return the whole number that is meant, within its bounds; ``default`` when none is."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    return int(min(max(value, low), high))


def one_line(value: Json) -> str:
    """Return a text of one line, such as an image's title; "" for what is no text."""
    return " ".join(value.split()) if isinstance(value, str) else ""
