"""Plain text: what all sources are first."""

from __future__ import annotations

from cowrite.formats.blocks import Block, Kind
from cowrite.formats.delta import read_text
from cowrite.formats.sources.invalid import MAX_NODES, MAX_SOURCE_BYTES, Counter, SourceInvalid


def text_of(content: bytes, *, most: int = MAX_SOURCE_BYTES) -> str:
    """The text that these bytes are, without a byte order mark, its lines ended with line feeds. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    if len(content) > most:
        raise SourceInvalid("too_large", f"it has more than {most} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceInvalid("not_utf8", f"it is no text in UTF-8: byte {error.start + 1} cannot be read") from None
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise SourceInvalid("null_character", f"it holds U+0000, in line {line}; no text has one")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_plain(text: str, nodes: int = MAX_NODES) -> Block:
    """Each line as a paragraph; the end of the last one is no line more. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    counter, root = Counter(nodes), Block(Kind.FRAGMENT)
    lines = text.removesuffix("\n").split("\n") if text else []
    counter.one_more(2 * len(lines))
    root.children += [Block(Kind.PARAGRAPH, [*read_text(line, {})]) for line in lines]
    return root
