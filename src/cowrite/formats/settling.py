"""The grammar of blocks: what may stand where.

Editors keep to their schema, but a client may write any tree. Here each becomes one that every format can write: what stands in
a list is an item, in a table a row, in a row a cell; paragraphs and headings hold leaves alone, or are groups.
No text is lost by it.
"""

from __future__ import annotations

from cowrite.formats.blocks import Block, Kind, Leaf, Object, fold, leaves_of

LISTS = frozenset({Kind.BULLETS, Kind.ORDERED, Kind.TASKS})
TEXTBLOCKS = frozenset({Kind.PARAGRAPH, Kind.HEADING})
LINES = frozenset({*TEXTBLOCKS, Kind.CODE, Kind.INLINE})
"""Blocks in which an unknown element is taken for a part of the text."""

_HOLDERS: dict[Kind, frozenset[Kind]] = {
    Kind.ITEM: LISTS,
    Kind.ROW: frozenset({Kind.TABLE}),
    Kind.HEADER: frozenset({Kind.ROW}),
    Kind.CELL: frozenset({Kind.ROW}),
}
"""Blocks that mean something only in these."""

_WRAPPERS: dict[Kind, Kind] = {
    **dict.fromkeys(LISTS, Kind.ITEM),
    Kind.TABLE: Kind.ROW,
    Kind.ROW: Kind.CELL,
}
"""Blocks of which every child is one of these, or is put into one."""


def settle(root: Block) -> Block:
    """Bring a tree that was just read into order, in place; return it."""
    return fold(root, _settle)


def _settle(block: Block, parts: list[Block | Leaf]) -> Block:
    block.children = _spliced(parts)
    if block.kind is Kind.CODE:
        block.children = list(leaves_of(Block(Kind.FRAGMENT, block.children)))
    elif _is_out_of_shape(block):
        _demote(block)
    for child in block.children:
        if isinstance(child, Block) and block.kind not in _HOLDERS.get(child.kind, {block.kind}):
            _demote(child)
    if block.kind in _WRAPPERS:
        block.children = _wrapped(block.children, _WRAPPERS[block.kind])
    if block.kind in LISTS:
        _settle_tasks(block)
    return block


def _spliced(parts: list[Block | Leaf]) -> list[Block | Leaf]:
    """Put what is in unknown elements within text into that text; one with nothing in it is an object."""
    children: list[Block | Leaf] = []
    for part in parts:
        if isinstance(part, Block) and part.kind is Kind.INLINE:
            children.extend(part.children or [Object(part.name, (part.change,) if part.change else ())])
        else:
            children.append(part)
    return children


def _is_out_of_shape(block: Block) -> bool:
    if block.kind is Kind.RULE:
        return bool(block.children)
    return block.kind in TEXTBLOCKS and any(isinstance(child, Block) for child in block.children)


def _demote(block: Block) -> None:
    block.name = block.kind.value
    block.kind = Kind.GROUP
    block.checked = None


def _wrapped(children: list[Block | Leaf], wrapper: Kind) -> list[Block | Leaf]:
    """Put children that are no ``wrapper`` into one, neighbours into the same."""
    wrapped: list[Block | Leaf] = []
    made: Block | None = None
    for child in children:
        if isinstance(child, Block) and (child.kind is wrapper or (child.kind, wrapper) == (Kind.HEADER, Kind.CELL)):
            made = None
            wrapped.append(child)
            continue
        if made is None:
            made = Block(wrapper)
            wrapped.append(made)
        made.children += _wrapped([child], Kind.CELL) if wrapper is Kind.ROW else [child]
    return wrapped


def _settle_tasks(block: Block) -> None:
    """Make every item of a task list a task, and none of another list."""
    for item in [child for child in block.children if isinstance(child, Block)]:
        item.checked = bool(item.checked) if block.kind is Kind.TASKS else None
