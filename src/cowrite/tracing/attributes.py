"""What cowrite's own attributes are called."""

from __future__ import annotations

from typing import Final, TypeAlias

Value: TypeAlias = str | int | bool
"""What an attribute may be."""

DOCUMENT: Final = "cowrite.document.id"
