"""Positions in text are counted in UTF-16 code units, as JavaScript, the language-server protocol and Yjs count."""

from __future__ import annotations


def utf16_length(text: str) -> int:
    """Return how many UTF-16 code units ``text`` takes; U+10000 and above take two. Lone surrogates count one each."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) >> 1


def splits_pair(text: str, index: int) -> bool:
    """Tell whether a UTF-16 index lies between the two halves of one character. ``index`` is within ``text``."""
    if text.isascii() or index == 0:
        return False
    half = text.encode("utf-16-le", "surrogatepass")[2 * index - 1 : 2 * index + 2]
    return len(half) == 3 and half[0] & 0xFC == 0xD8 and half[2] & 0xFC == 0xDC


def is_unicode(text: str) -> bool:
    """Tell whether ``text`` can be encoded: it holds no lone surrogate (half of a pair, which JSON escapes can make)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
