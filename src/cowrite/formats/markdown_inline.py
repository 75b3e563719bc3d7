"""Lines in Markdown: leaves with their marks.

Theory of operation. Markdown has no brackets for marks: ``**`` begins or ends one only where blanks, punctuation and letters
around it allow. So this goes in steps, each over a list:

1. *pieces*: text, in which blanks stand alone, and what cannot be cut (code, images). A blank keeps only those marks that go on
   over it: so none begins or ends at a blank.
2. *tokens*: text between delimiters, which open and close in order.
3. Where the characters around a delimiter would keep it from being one, the letter outside of it is written as an entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

from cowrite.formats.blocks import Break, Image, Leaf, Mark, MarkKind, Marks, Run, shared_marks
from cowrite.formats.markdown_text import (
    code_span,
    entity_first,
    entity_last,
    escape,
    is_plain_inside,
    is_plain_outside,
    target,
)

HARD_BREAK = "\\\n"

_DELIMITERS = {MarkKind.LINK: "[", MarkKind.STRIKE: "~~", MarkKind.STRONG: "**", MarkKind.EMPHASIS: "*"}
_BLANKS = " \t"


class _Sort(Enum):
    TEXT = auto()
    BLANK = auto()
    FIXED = auto()
    BREAK = auto()
    OPEN = auto()
    CLOSE = auto()


@dataclass(slots=True)
class _Piece:
    sort: _Sort
    text: str
    marks: Marks = ()


@dataclass(slots=True)
class _Token:
    sort: _Sort
    text: str
    mark: Mark | None = None


def inline(leaves: Sequence[Leaf], line_break: str = HARD_BREAK) -> str:
    """Write leaves as a line, or as several with ``line_break`` between.

    Blanks at the ends of lines, which Markdown does not keep, and breaks at the end of it all are left out.
    """
    if len(leaves) == 1 and isinstance(leaves[0], Run) and not leaves[0].marks:
        return escape(leaves[0].text.strip(_BLANKS))  # as most paragraphs are
    pieces = _trimmed(_pieces(leaves, line_break))
    _move_blanks_out(pieces)
    tokens = list(_tokens(_merged(pieces)))
    _choose_emphasis(tokens)
    while _separate(tokens):
        pass
    return "".join(token.text for token in tokens)


def _pieces(leaves: Iterable[Leaf], line_break: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for leaf in _merged_runs(leaves):
        marks = tuple(mark for mark in leaf.marks if mark.kind in _DELIMITERS)
        match leaf:
            case Run(text) if leaf.marks and leaf.marks[-1].kind is MarkKind.CODE and not text.isspace():
                pieces.append(_Piece(_Sort.FIXED, code_span(text), marks))
            case Run(text):
                pieces += _apart(text, marks)
            case Image(source, alternative, title):
                pieces.append(_Piece(_Sort.FIXED, f"![{escape(alternative)}]{target(source, title)}", marks))
            case Break():
                pieces.append(_Piece(_Sort.BREAK, line_break, marks))
    return pieces


def _apart(text: str, marks: Marks) -> Iterator[_Piece]:
    """Set the blanks at both ends of a text apart from it."""
    core = text.strip()
    if len(core) == len(text):
        yield _Piece(_Sort.TEXT, text, marks)
        return
    before, _, after = text.partition(core) if core else (text, "", "")
    for sort, part in ((_Sort.BLANK, before), (_Sort.TEXT, core), (_Sort.BLANK, after)):
        if part:
            yield _Piece(sort, part, marks)


def _merged_runs(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    """Make one run of neighbours whose marks are the same in Markdown."""
    last: Run | None = None
    for leaf in leaves:
        if not isinstance(leaf, Run):
            if last:
                yield last
            last = None
            yield leaf
            continue
        marks = tuple(mark for mark in leaf.marks if mark.kind in _DELIMITERS or mark.kind is MarkKind.CODE)
        if last and last.marks == marks:
            last = Run(last.text + leaf.text, marks)
            continue
        if last:
            yield last
        last = Run(leaf.text, marks)
    if last:
        yield last


def _trimmed(pieces: list[_Piece]) -> list[_Piece]:
    """Leave out blanks at the beginning and the end of each line, and breaks at the end."""
    kept: list[_Piece] = []
    for piece in pieces:
        if piece.sort is _Sort.BLANK and (not kept or kept[-1].sort is _Sort.BREAK):
            piece.text = piece.text.lstrip(_BLANKS)
        if piece.sort is _Sort.BREAK:
            _trim_end(kept)
        if piece.text:
            kept.append(piece)
    _trim_end(kept)
    while kept and kept[-1].sort is _Sort.BREAK:
        kept.pop()
        _trim_end(kept)
    return kept


def _trim_end(pieces: list[_Piece]) -> None:
    while pieces and pieces[-1].sort is _Sort.BLANK:
        pieces[-1].text = pieces[-1].text.rstrip(_BLANKS)
        if pieces[-1].text:
            break
        pieces.pop()


def _move_blanks_out(pieces: list[_Piece]) -> None:
    """Leave blanks and breaks only those marks that are open on both of their sides, and on all blanks between the two.

    A break has no looks, and in trees no marks: what is the same on both of its sides goes on over it.
    """
    groups = [list(group) for _, group in groupby(pieces, _is_blank)]
    before: Marks = ()
    for group, following in zip(groups, [*groups[1:], []], strict=False):
        if _is_blank(group[0]):
            around = before[: shared_marks(before, following[0].marks)] if following else ()
            blanks = (_leading(around, piece.marks) for piece in group if piece.sort is _Sort.BLANK)
            marks = around[: min(blanks, default=len(around))]
            for piece in group:
                piece.marks = marks
        before = group[-1].marks


def _is_blank(piece: _Piece) -> bool:
    return piece.sort is _Sort.BLANK or piece.sort is _Sort.BREAK


def _leading(marks: Marks, wanted: Marks) -> int:
    """Count the marks, from the outermost on, that are wanted."""
    return next((number for number, mark in enumerate(marks) if mark not in wanted), len(marks))


def _merged(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Make one piece of text of neighbours with the same marks, and escape it."""
    texts = (_Sort.TEXT, _Sort.BLANK)
    last: _Piece | None = None
    for piece in pieces:
        if last and piece.sort in texts and piece.marks == last.marks:
            last.text += piece.text
            continue
        if last:
            yield _Piece(_Sort.TEXT, escape(last.text), last.marks)
        last = _Piece(_Sort.TEXT, piece.text, piece.marks) if piece.sort in texts else None
        if last is None:
            yield piece
    if last:
        yield _Piece(_Sort.TEXT, escape(last.text), last.marks)


def _tokens(pieces: Iterable[_Piece]) -> Iterator[_Token]:
    opened: Marks = ()
    for piece in pieces:
        yield from _changes(opened, piece.marks)
        opened = piece.marks
        yield _Token(piece.sort, piece.text)
    yield from _changes(opened, ())


def _changes(old: Marks, new: Marks) -> Iterator[_Token]:
    shared = shared_marks(old, new)
    for mark in reversed(old[shared:]):
        yield _Token(_Sort.CLOSE, _closing(mark), mark)
    for mark in new[shared:]:
        yield _Token(_Sort.OPEN, _DELIMITERS[mark.kind], mark)


def _closing(mark: Mark) -> str:
    return "]" + target(mark.value, mark.title) if mark.kind is MarkKind.LINK else _DELIMITERS[mark.kind]


def _choose_emphasis(tokens: Sequence[_Token]) -> None:
    """Write emphasis with ``_`` where it touches ``**``: stars in a row are read in more than one way."""
    opening = 0
    for index, token in enumerate(tokens):
        if token.mark is None or token.mark.kind is not MarkKind.EMPHASIS:
            continue
        if token.sort is _Sort.OPEN:
            opening = index
        elif _touches_stars(tokens, opening) or _touches_stars(tokens, index):
            tokens[opening].text = token.text = "_"


def _touches_stars(tokens: Sequence[_Token], index: int) -> bool:
    around = tokens[max(index - 1, 0) : index + 2]
    return any(token.mark is not None and token.mark.kind is MarkKind.STRONG for token in around)


def _separate(tokens: Sequence[_Token]) -> bool:
    """Write letters as entities where they would keep a delimiter beside them from being one; and ``!`` before a link.

    Tells whether that changed anything: an entity may keep the delimiter on its other side from being one.
    """
    edge = _Token(_Sort.BREAK, "\n")
    changed = False
    for index, token in enumerate(tokens):
        if token.mark is None:
            continue
        before = tokens[index - 1] if index else edge
        after = tokens[index + 1] if index + 1 < len(tokens) else edge
        if token.text == "[":
            if before.sort is _Sort.TEXT and before.text.endswith("!") and not before.text.endswith("\\!"):
                before.text = before.text[:-1] + "\\!"
        elif token.sort is _Sort.OPEN and _needs_entity(token, inner=after.text[0], outer=before.text[-1]):
            before.text = entity_last(before.text)
            changed = True
        elif token.sort is _Sort.CLOSE and _needs_entity(token, inner=before.text[-1], outer=after.text[0]):
            after.text = entity_first(after.text)
            changed = True
    return changed


def _needs_entity(delimiter: _Token, *, inner: str, outer: str) -> bool:
    if delimiter.mark is not None and delimiter.mark.kind is MarkKind.LINK:
        return False
    return not is_plain_outside(outer) and (delimiter.text == "_" or not is_plain_inside(inner))
