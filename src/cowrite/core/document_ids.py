"""What a document can be called."""

from __future__ import annotations

from typing import Final

MAX_ID_CHARACTERS: Final = 255


def is_document_id(text: str) -> bool:
    """Whether a document can have this id."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    # "*" is what tokens call all documents.
    return 0 < len(text) <= MAX_ID_CHARACTERS and text != "*" and "\0" not in text and not surrogates
