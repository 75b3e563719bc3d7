"""What every format is made from: blocks in blocks, and leaves in them.

Theory of operation. Editors keep documents as XML trees (ProseMirror, Tiptap) or as deltas (Quill). Both are read into the
same blocks (:mod:`cowrite.formats.reading`), which hold checked values alone: known kinds, safe addresses, numbers in bounds.
So a format is a table from kinds to functions, and what is dangerous in a document is dealt with once.

Nothing here recurses: a document may be nested deeper than Python's stack allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

Result = TypeVar("Result")


class MarkKind(IntEnum):
    """What a mark says of text. Outermost first: a link is never cut in two by what begins or ends in it."""

    LINK = 1
    STRIKE = 2
    STRONG = 3
    EMPHASIS = 4
    UNDERLINE = 5
    HIGHLIGHT = 6
    COLOUR = 7
    SUBSCRIPT = 8
    SUPERSCRIPT = 9
    CODE = 10
    INSERTED = 11
    """These three only where two moments are compared."""
    DELETED = 12
    REFORMATTED = 13


CHANGES = frozenset({MarkKind.INSERTED, MarkKind.DELETED, MarkKind.REFORMATTED})


class Mark(NamedTuple):
    """One mark. ``value`` is a link's address, a colour, or the author of a change; ``title`` a link's or a change's."""

    kind: MarkKind
    value: str = ""
    title: str = ""
    time: str = ""
    """When a change was made, as ISO 8601."""


Marks: TypeAlias = tuple[Mark, ...]
"""The marks of a leaf, outermost first, each kind at most once."""


@dataclass(frozen=True, slots=True)
class Run:
    """Text with the same marks. Without line breaks, but for the text of a verbatim block."""

    text: str
    marks: Marks = ()


@dataclass(frozen=True, slots=True)
class Break:
    """The end of a line within a block."""

    marks: Marks = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A picture with a safe address."""

    source: str
    alternative: str = ""
    title: str = ""
    marks: Marks = ()


@dataclass(frozen=True, slots=True)
class Object:
    """Something within text that no format can show: its name alone."""

    name: str
    marks: Marks = ()


Leaf: TypeAlias = Run | Break | Image | Object


class Kind(StrEnum):
    """What a block is. The values are names for people."""

    FRAGMENT = "fragment"
    """Blocks after one another: a root."""
    GROUP = "group"
    """A block that is not known, and one that stands where its kind makes no sense. ``name`` says what it was."""
    INLINE = "inline"
    """Something unknown within text; only while a document is read."""
    PARAGRAPH = "paragraph"
    HEADING = "heading"
    """``number`` is its level, 1 to 6."""
    VERBATIM = "verbatim"
    """A root that is text without any formatting."""
    CODE = "codeBlock"
    """``name`` is the language, or empty. Holds leaves alone."""
    QUOTE = "blockquote"
    RULE = "horizontalRule"
    BULLETS = "bulletList"
    ORDERED = "orderedList"
    """``number`` is its first item's."""
    TASKS = "taskList"
    ITEM = "listItem"
    TABLE = "table"
    ROW = "tableRow"
    HEADER = "tableHeader"
    CELL = "tableCell"
    DEFINITIONS = "definitions"
    """The entries of a map: terms and definitions in turn."""
    TERM = "term"
    DEFINITION = "definition"


@dataclass(slots=True)
class Block:
    """A block with everything in it. Which fields mean something depends on its kind."""

    kind: Kind
    children: list[Block | Leaf] = field(default_factory=list)
    name: str = ""
    number: int = 1
    checked: bool | None = None
    """Whether the task of an item is done; None for items that are no tasks."""
    align: str = ""
    indent: int = 0
    columns: int = 1
    rows: int = 1
    change: Mark | None = None
    """What became of the block itself, where two moments are compared."""


def fold(root: Block, render: Callable[[Block, list[Result | Leaf]], Result]) -> Result:
    """Render a block from the innermost ones outwards.

    ``render`` is called once for each block, with what it made of the block's children, among the leaves as they are.
    """
    parts: list[Result | Leaf] = []
    stack = [(root, iter(root.children), parts)]
    while True:
        block, rest, parts = stack[-1]
        inner = _next_block(rest, parts)
        if inner is not None:
            stack.append((inner, iter(inner.children), []))
            continue
        stack.pop()
        result = render(block, parts)
        if not stack:
            return result
        stack[-1][2].append(result)


def _next_block(rest: Iterator[Block | Leaf], parts: list[Result | Leaf]) -> Block | None:
    for child in rest:
        if isinstance(child, Block):
            return child
        parts.append(child)
    return None


def leaves_of(block: Block) -> list[Leaf]:
    """Return all leaves in a block, with a break wherever another block begins or ends between two. Code is marked as such."""
    leaves: list[Leaf] = []
    stack = [(block, iter(block.children))]
    apart = False
    while stack:
        holder, rest = stack[-1]
        child = next(rest, None)
        if child is None:
            stack.pop()
            apart = True
        elif isinstance(child, Block):
            stack.append((child, iter(child.children)))
            apart = True
        else:
            if apart and leaves:
                leaves.append(Break())
            apart = False
            if holder.kind is Kind.CODE and isinstance(child, Run):
                child = Run(child.text, (Mark(MarkKind.CODE), *changes_in(child.marks)))
            leaves.append(child)
    return leaves


def changes_in(marks: Marks) -> Marks:
    """Return those marks that say what has changed."""
    return tuple(mark for mark in marks if mark.kind in CHANGES)


def plain(leaves: Sequence[Leaf]) -> str:
    """Return the text of leaves: breaks as line feeds, without what is embedded."""
    return "".join(leaf.text if isinstance(leaf, Run) else "\n" if isinstance(leaf, Break) else "" for leaf in leaves)


def shared_marks(left: Marks, right: Marks) -> int:
    """Count the marks, from the outermost on, that need not be ended between two leaves."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
