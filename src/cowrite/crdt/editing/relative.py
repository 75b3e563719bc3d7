"""Relative positions in texts, as Yjs writes them as JSON: they name the character before, whatever others write around it.

The engine gives them of a text that is a root, or in a map or an array, and not of one in a tree. Of that one they are read in
the document's encoded state, which is looked through for it (about 12 µs for each struct).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cowrite.crdt.history.items import FORMAT, Holder, Piece, read_items
from cowrite.crdt.shared_types import Handle, Reader
from cowrite.crdt.values import Json

ASSOCIATION: Final = -1
"""A position belongs to the character on its left. (On its right the engine panics at the end of a text.)"""


def path_to(reader: Reader, text: Handle) -> tuple[Handle, Sequence[int]]:
    """What a text in a tree stands in at the very top, and the index of each node on the way to it. That is a root, or what is
    left of something that was deleted.
    """
    path: list[int] = []
    node = text
    while (parent := node.parent()) is not None:
        path.append(reader.nodes(parent).index(node))
        node = parent
    return node, path[::-1]


def position_in_tree(state: bytes, root: str, path: Sequence[int], units: int) -> Json:
    """The position behind so many UTF-16 units of the text at ``path``. Raises :class:`EngineFault`, :class:`HostileUpdate`."""
    items = read_items(state)
    holder = items.root(root)
    text: Piece | None = None
    for index in path:
        text = _child(holder, index)
        holder = items.within(text)
    assert text is not None, "a text in a tree is in something"
    return _before(holder, units) or {"type": _id(text.client, text.clock), "assoc": ASSOCIATION}


def _child(holder: Holder, index: int) -> Piece:
    return [piece for piece in holder.pieces if not piece.deleted][index]


def _before(holder: Holder, units: int) -> Json:
    """The position of the unit before, None: there is none."""
    for piece in holder.pieces if units else ():
        if piece.deleted or piece.content == FORMAT:
            continue
        if units <= piece.length:
            return {"item": _id(piece.client, piece.clock + units - 1), "assoc": ASSOCIATION}
        units -= piece.length
    return None


def _id(client: int, clock: int) -> Json:
    return {"client": client, "clock": clock}
