"""What is imported, from its bytes to blocks: Markdown, HTML and plain text.

They say nothing of an editor: :mod:`cowrite.formats.shapes` does. ProseMirror's JSON is a tree already, and stays the one it is
(:mod:`cowrite.formats.sources.prosemirror`).
"""

from __future__ import annotations

from cowrite.formats.blocks import Block, Kind
from cowrite.formats.delta import read_text
from cowrite.formats.sources.html import read_html
from cowrite.formats.sources.invalid import MAX_SOURCE_BYTES, Counter, SourceInvalid
from cowrite.formats.sources.markdown import read_markdown

__all__ = ["read_html", "read_markdown", "read_plain", "text_of"]


def text_of(content: bytes) -> str:
    """The text that these bytes are, without a byte order mark, its lines ended with line feeds. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    if len(content) > MAX_SOURCE_BYTES:
        raise SourceInvalid("too_large", f"it has more than {MAX_SOURCE_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceInvalid("not_utf8", f"it is no text in UTF-8: byte {error.start + 1} cannot be read") from None
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise SourceInvalid("null_character", f"it holds U+0000, in line {line}; no text has one")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_plain(text: str) -> Block:
    """Each line as a paragraph; the end of the last one is no line more. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    counter, root = Counter(), Block(Kind.FRAGMENT)
    lines = text.removesuffix("\n").split("\n") if text else []
    counter.one_more(2 * len(lines))
    root.children += [Block(Kind.PARAGRAPH, [*read_text(line, {})]) for line in lines]
    return root
