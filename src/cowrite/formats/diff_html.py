"""What changed between two moments, as HTML."""

from __future__ import annotations

from cowrite.formats.blocks import Json, fold
from cowrite.formats.diff_reading import read_diff
from cowrite.formats.html import render


def diff_to_html(tree: Json, root: str | None = None) -> str:
    """Return a diff (the tree of JSON that ``cowrite.crdt.history.diff`` makes), or one of its roots, as safe HTML.

    It is that of :func:`cowrite.formats.to_html` for both moments at once: what came is ``<ins>``, what went ``<del>``, what
    was formatted ``<span class="cowrite-format">``. A block that came, went, or has other attributes has a class:
    ``cowrite-insert``, ``cowrite-delete`` or ``cowrite-format``. Each of these tells its author (``data-author``), its time
    (``datetime``, or ``data-time`` where HTML knows no such attribute) and both for people (``title``). Attributes and
    formatting are those after, of what went those before.
    """
    return "\n".join(fold(block, render) for block in read_diff(tree, root))
