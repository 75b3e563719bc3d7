"""From what is imported to what an editor opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cowrite.formats.blocks import Block, Json
from cowrite.formats.markdown import markdown_of
from cowrite.formats.shapes import Shape, Source
from cowrite.formats.shapes.delta import to_delta
from cowrite.formats.shapes.nodes import PROSEMIRROR, TIPTAP, to_nodes
from cowrite.formats.sources.html import read_html
from cowrite.formats.sources.invalid import SourceLimits, too_many_nodes
from cowrite.formats.sources.markdown import read_markdown
from cowrite.formats.sources.plain import read_plain, text_of
from cowrite.formats.sources.prosemirror import blocks_of, read_prosemirror

_DEFAULT: Final = SourceLimits()


@dataclass(frozen=True, slots=True)
class Shaped:
    """What is to be written into a root: the nodes of an XML tree, or the delta of a text."""

    nodes: Sequence[Json] | None = None
    delta: Sequence[Json] | None = None
    left_out: Sequence[str] = ()
    """Names of what the editor has nothing for; its text is there."""


_Make: TypeAlias = Callable[[str, Source, int], Shaped]


def shaped(content: bytes, source: Source, shape: Shape, limits: SourceLimits = _DEFAULT) -> Shaped:
    """Make of bytes what an editor opens. Raises
    :class:`~cowrite.formats.sources.invalid.SourceInvalid`.
    """
    text, nodes = text_of(content, most=limits.bytes), limits.nodes
    made = _of_prosemirror(text, shape, nodes) if source is Source.PROSEMIRROR else _SHAPES[shape](text, source, nodes)
    if _too_many(made, nodes):
        raise too_many_nodes(nodes)
    return made


def _of_prosemirror(text: str, shape: Shape, nodes: int) -> Shaped:
    read = read_prosemirror(text, nodes)
    if shape in _VOCABULARIES:
        return Shaped(nodes=read.nodes, left_out=read.left_out)
    block = blocks_of(read.nodes)
    return _source(markdown_of(block)) if shape is Shape.TEXT else _delta(block)


def _tree(shape: Shape) -> _Make:
    def make(text: str, source: Source, nodes: int) -> Shaped:
        made, left_out = to_nodes(_READERS[source](text, nodes), _VOCABULARIES[shape])
        return Shaped(nodes=made, left_out=left_out)

    return make


def _text(text: str, source: Source, nodes: int) -> Shaped:
    return _source(markdown_of(read_html(text, nodes)) if source is Source.HTML else text)


def _quill(text: str, source: Source, nodes: int) -> Shaped:
    return _source(text) if source is Source.TEXT else _delta(_READERS[source](text, nodes))


def _source(text: str) -> Shaped:
    return Shaped(delta=[{"insert": text}] if text else [])


def _delta(block: Block) -> Shaped:
    delta, left_out = to_delta(block)
    return Shaped(delta=delta, left_out=left_out)


def _too_many(made: Shaped, nodes: int) -> bool:
    count = 0
    waiting = [*(made.nodes or ()), *(made.delta or ())]
    while waiting and count <= nodes:
        value = waiting.pop()
        count += 1 + len(value.get("attrs", value.get("attributes", ())))
        waiting += value.get("children", value.get("$xmltext", ()))
    return count > nodes


_READERS: Mapping[Source, Callable[[str, int], Block]] = {
    Source.MARKDOWN: read_markdown,
    Source.HTML: read_html,
    Source.TEXT: read_plain,
}
_VOCABULARIES = {Shape.TIPTAP: TIPTAP, Shape.PROSEMIRROR: PROSEMIRROR}
_SHAPES: Mapping[Shape, _Make] = {
    Shape.TIPTAP: _tree(Shape.TIPTAP),
    Shape.PROSEMIRROR: _tree(Shape.PROSEMIRROR),
    Shape.TEXT: _text,
    Shape.QUILL: _quill,
}
