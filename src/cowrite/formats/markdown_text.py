"""Text in Markdown: what must be escaped, so that text which looks like Markdown comes back as text."""

from __future__ import annotations

import re
import unicodedata

# Characters that mean something wherever they stand, and others only before or between certain ones.
_SPECIAL = re.compile(
    r"[\\`*\[\]~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word an underscore is one
    r"|<(?=[A-Za-z/!?]|\Z)"
    r"|&(?=#?\w{1,40};)"
)
_LINE_START = re.compile(
    r"(?=#{1,6}(?:\s|\Z)"  # a heading
    r"|>"  # a quote
    r"|[+-](?:\s|\Z)"  # an item
    r"|[-=]+\s*\Z"  # a line under a heading
    r"|[|:-][|:\s-]*\Z)"  # the second line of a table
)
_NUMBERED = re.compile(r"(\d{1,9})(?=[.)](?:\s|\Z))")
_HEADING_END = re.compile(r"(?:(?<=\s)|\A)(?=#+\Z)")
_BACKTICKS = re.compile(r"`+")
_UNFENCED = re.compile(r"[\s()<>]")
_ENTITY = re.compile(r"&(?=#?\w{1,40};)")


def escape(text: str) -> str:
    """Escape what would be Markdown within a line."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def escape_line(line: str) -> str:
    """Escape what would be Markdown because it begins a line. For a line without blanks in front, escaped otherwise."""
    return _NUMBERED.sub(r"\1\\", line, count=1) if line[:1].isdigit() and _NUMBERED.match(line) else _escape_start(line)


def _escape_start(line: str) -> str:
    return "\\" + line if _LINE_START.match(line) else line


def escape_heading(line: str) -> str:
    """Escape what would end a heading: ``#`` at the end of its line."""
    return _HEADING_END.sub(r"\\", line, count=1)


def code_span(text: str) -> str:
    """Write text as code, between more backticks than it holds in a row."""
    fence = "`" * _fence_length(text, 1)
    strips = text[0] == text[-1] == " " and text.strip(" ")
    pad = " " if text[0] == "`" or text[-1] == "`" or strips else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def code_block(text: str, language: str) -> str:
    """Write text as a block of code, between fences longer than any in it."""
    fence = "`" * _fence_length(text, 3)
    return f"{fence}{language}\n{text}{chr(10) if text else ''}{fence}"


def _fence_length(text: str, least: int) -> int:
    runs = {len(run) for run in _BACKTICKS.findall(text)}
    return max(least, max(runs, default=0) + 1)


def target(address: str, title: str) -> str:
    """Write where a link leads, or an image comes from, with its title: what stands in round brackets."""
    address = _ENTITY.sub(r"\\&", address.replace("\\", r"\\"))
    if _UNFENCED.search(address):
        address = "<" + re.sub(r"[<>]", r"\\\g<0>", address) + ">"
    if not title:
        return f"({address})"
    title = _ENTITY.sub(r"\\&", re.sub(r"[\\\"]", r"\\\g<0>", title))
    return f'({address} "{title}")'


def entity_first(text: str) -> str:
    """Write the first character of an escaped text by its number: the same text, but no letter stands in front.

    An underscore behind it is no longer within a word, and is escaped.
    """
    rest = text[1:]
    return f"&#{ord(text[0])};" + ("\\" + rest if rest.startswith("_") else rest)


def entity_last(text: str) -> str:
    """Write the last character of an escaped text by its number; like :func:`entity_first`."""
    rest = text[:-1]
    return (rest[:-1] + "\\_" if rest.endswith("_") and not rest.endswith("\\_") else rest) + f"&#{ord(text[-1])};"


def is_plain_inside(character: str) -> bool:
    """Tell whether a delimiter before or behind this character is one for every reader, whatever is on its other side."""
    return not character.isspace() and unicodedata.category(character)[0] not in "PS"


def is_plain_outside(character: str) -> bool:
    """Tell whether every reader takes this character for a blank or for punctuation."""
    ascii_sign = character.isascii() and not character.isalnum() and character.isprintable()
    return character.isspace() or ascii_sign or unicodedata.category(character)[0] == "P"
