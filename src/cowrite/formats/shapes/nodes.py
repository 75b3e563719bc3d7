"""Blocks as the nodes of an XML tree that y-prosemirror reads.

It deletes from the document what its editor's schema does not allow, with everything in it. So every block here is one that
the schemas allow where it stands: an item begins with a paragraph, a task holds nothing else, quotes and cells hold at least
one, pictures are blocks where they are that, and code has no marks; nor has Tiptap's code within a line any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final, TypeAlias

from cowrite.formats.blocks import Block, Break, Image, Json, Kind, Leaf, Mark, MarkKind, Marks, Run, fold, plain


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of a family of schemas."""

    nodes: Mapping[Kind, str]
    hard_break: str
    image: str
    marks: Mapping[MarkKind, str]
    number: str
    """The attribute of a list's first number."""
    language: str
    """The attribute of the language of code."""
    aligned: str = ""
    """The attribute of a paragraph's alignment; empty: there is none."""
    image_is_block: bool = False
    code_is_alone: bool = False
    """Whether text that is code has no other marks."""


TIPTAP: Final = Vocabulary(
    nodes={
        Kind.PARAGRAPH: "paragraph",
        Kind.HEADING: "heading",
        Kind.CODE: "codeBlock",
        Kind.QUOTE: "blockquote",
        Kind.RULE: "horizontalRule",
        Kind.BULLETS: "bulletList",
        Kind.ORDERED: "orderedList",
        Kind.TASKS: "taskList",
        Kind.ITEM: "listItem",
        Kind.TABLE: "table",
        Kind.ROW: "tableRow",
        Kind.HEADER: "tableHeader",
        Kind.CELL: "tableCell",
    },
    hard_break="hardBreak",
    image="image",
    marks={
        MarkKind.LINK: "link",
        MarkKind.STRIKE: "strike",
        MarkKind.STRONG: "bold",
        MarkKind.EMPHASIS: "italic",
        MarkKind.UNDERLINE: "underline",
        MarkKind.HIGHLIGHT: "highlight",
        MarkKind.COLOUR: "textStyle",
        MarkKind.SUBSCRIPT: "subscript",
        MarkKind.SUPERSCRIPT: "superscript",
        MarkKind.CODE: "code",
    },
    number="start",
    language="language",
    aligned="textAlign",
    image_is_block=True,
    code_is_alone=True,
)
PROSEMIRROR: Final = Vocabulary(
    nodes={
        Kind.PARAGRAPH: "paragraph",
        Kind.HEADING: "heading",
        Kind.CODE: "code_block",
        Kind.QUOTE: "blockquote",
        Kind.RULE: "horizontal_rule",
        Kind.BULLETS: "bullet_list",
        Kind.ORDERED: "ordered_list",
        Kind.ITEM: "list_item",
        Kind.TABLE: "table",
        Kind.ROW: "table_row",
        Kind.HEADER: "table_header",
        Kind.CELL: "table_cell",
    },
    hard_break="hard_break",
    image="image",
    marks={
        MarkKind.LINK: "link",
        MarkKind.STRONG: "strong",
        MarkKind.EMPHASIS: "em",
        MarkKind.CODE: "code",
    },
    number="order",
    language="params",
)

_TASK: Final = "taskItem"
_Nodes: TypeAlias = "list[Json]"
_Parts: TypeAlias = "list[_Nodes | Leaf]"


def to_nodes(root: Block, vocabulary: Vocabulary) -> tuple[list[Json], list[str]]:
    """The nodes of a settled tree, and the names of what there are no names for: their text stays."""
    writer = _Writer(vocabulary)
    nodes = fold(root, writer.render)
    return nodes, sorted(writer.left_out)


@dataclass(slots=True)
class _Writer:
    vocabulary: Vocabulary
    left_out: set[str] = field(default_factory=set)

    def render(self, block: Block, parts: _Parts) -> _Nodes:
        return _BLOCKS.get(block.kind, _Writer.flow)(self, block, parts)

    # -- blocks ---------------------------------------------------------------------------------------------------------------

    def flow(self, block: Block, parts: _Parts) -> _Nodes:
        """What is in a block, without itself: leaves are paragraphs."""
        if block.kind in (Kind.GROUP, Kind.TERM, Kind.DEFINITION):
            self.left_out.add(block.name or block.kind.value)
        nodes: _Nodes = []
        leaves: list[Leaf] = []
        for part in [*parts, []]:
            if not isinstance(part, list):
                leaves.append(part)
                continue
            if leaves:
                nodes += self._lines(self._name(Kind.PARAGRAPH), {}, leaves)
                leaves = []
            nodes += part
        return nodes

    def verbatim(self, _: Block, parts: _Parts) -> _Nodes:
        lines = plain(_leaves(parts)).split("\n")
        return [node for line in lines for node in self._lines(self._name(Kind.PARAGRAPH), {}, [Run(line)] if line else [])]

    def line(self, block: Block, parts: _Parts) -> _Nodes:
        attributes: dict[str, Json] = {"level": block.number} if block.kind is Kind.HEADING else {}
        if block.align and self.vocabulary.aligned:
            attributes[self.vocabulary.aligned] = block.align
        elif block.align:
            self.left_out.add("align")
        return self._lines(self.vocabulary.nodes[block.kind], attributes, _leaves(parts))

    def code(self, block: Block, parts: _Parts) -> _Nodes:
        attributes = {self.vocabulary.language: block.name} if block.name else {}
        text = plain(_leaves(parts))
        return [_element(self._name(Kind.CODE), attributes, [_text([{"insert": text}])] if text else [])]

    def rule(self, _: Block, __: _Parts) -> _Nodes:
        return [_element(self._name(Kind.RULE))]

    def quote(self, block: Block, parts: _Parts) -> _Nodes:
        return [_element(self._name(Kind.QUOTE), {}, self._filled(self.flow(block, parts)))]

    def items(self, block: Block, parts: _Parts) -> _Nodes:
        kind = block.kind
        if kind not in self.vocabulary.nodes:  # tasks where there are none
            self.left_out.add(kind.value)
            kind = Kind.BULLETS
        start = kind is Kind.ORDERED and block.number != 1
        children = [node for part in parts if isinstance(part, list) for node in part]
        if kind is Kind.TASKS:
            return self._tasks(children)
        return (
            [_element(self._name(kind), {self.vocabulary.number: block.number} if start else {}, children)] if children else []
        )

    def item(self, block: Block, parts: _Parts) -> _Nodes:
        children = self.flow(block, parts)
        paragraph = self._name(Kind.PARAGRAPH)
        if not children or children[0]["$xml"] != paragraph:
            children.insert(0, _element(paragraph))
        if block.checked is None:
            return [_element(self._name(Kind.ITEM), {}, children)]
        if Kind.TASKS in self.vocabulary.nodes:
            return self._task(block.checked, children)
        box = {"insert": "[x] " if block.checked else "[ ] "}
        children[0] = {**children[0], "children": [_text([box]), *children[0]["children"]]}
        return [_element(self._name(Kind.ITEM), {}, children)]

    def _task(self, checked: bool, children: _Nodes) -> _Nodes:
        """A task, and behind it what is no paragraph: unless it is configured to, Tiptap's holds nothing else."""
        end = next((index for index, node in enumerate(children) if node["$xml"] != self._name(Kind.PARAGRAPH)), len(children))
        behind: _Nodes = []
        for node in children[end:]:
            self.left_out.add("nested")
            behind += node["children"] if node["$xml"] == self._name(Kind.TASKS) else [node]
        return [_element(_TASK, {"checked": checked}, children[:end]), *behind]

    def _tasks(self, children: _Nodes) -> _Nodes:
        """Task lists: a new one begins after each block that came out of a task, so that everything keeps its order."""
        nodes: _Nodes = []
        for are_tasks, group in groupby(children, lambda node: bool(node["$xml"] == _TASK)):
            alike = list(group)
            nodes += [_element(self._name(Kind.TASKS), {}, alike)] if are_tasks else alike
        return nodes

    def table(self, _: Block, parts: _Parts) -> _Nodes:
        rows = [node for part in parts if isinstance(part, list) for node in part]
        return [_element(self._name(Kind.TABLE), {}, rows)] if rows else []

    def row(self, _: Block, parts: _Parts) -> _Nodes:
        cells = [node for part in parts if isinstance(part, list) for node in part]
        return [_element(self._name(Kind.ROW), {}, cells or [_element(self._name(Kind.CELL), {}, self._filled([]))])]

    def cell(self, block: Block, parts: _Parts) -> _Nodes:
        spans = {"colspan": block.columns, "rowspan": block.rows}
        attributes = {name: count for name, count in spans.items() if count > 1}
        return [_element(self._name(block.kind), attributes, self._filled(self.flow(block, parts)))]

    def _name(self, kind: Kind) -> str:
        return self.vocabulary.nodes[kind]

    def _filled(self, children: _Nodes) -> _Nodes:
        return children or [_element(self._name(Kind.PARAGRAPH))]

    # -- lines ----------------------------------------------------------------------------------------------------------------

    def _lines(self, name: str, attributes: Mapping[str, Json], leaves: Sequence[Leaf]) -> _Nodes:
        """A paragraph or heading; where pictures are blocks, one for what is before each of them and behind it."""
        nodes: _Nodes = []
        line: _Nodes = []
        for leaf in _parted(leaves) if self.vocabulary.image_is_block else leaves:
            if isinstance(leaf, Image) and self.vocabulary.image_is_block:
                nodes += [*([_element(name, attributes, line)] if line else []), *self._inline(leaf)]
                line = []
                continue
            for node in self._inline(leaf):
                if line and "$xmltext" in node and "$xmltext" in line[-1]:
                    line[-1]["$xmltext"] += node["$xmltext"]
                else:
                    line.append(node)
        return [*nodes, _element(name, attributes, line)] if line or not nodes else nodes

    def _inline(self, leaf: Leaf) -> _Nodes:
        match leaf:
            case Run(text, marks):
                return [_text([{"insert": text, "attributes": self._marks(marks)}])]
            case Break():
                return [_element(self.vocabulary.hard_break)]
            case Image(source, alternative, title, marks):
                self.left_out.update(mark.kind.name.lower() for mark in marks if mark.kind is MarkKind.LINK)
                described = {"src": source, "alt": alternative, "title": title}
                return [_element(self.vocabulary.image, {key: value for key, value in described.items() if value})]
        self.left_out.add(leaf.name)
        return []

    def _marks(self, marks: Marks) -> dict[str, Json]:
        written: dict[str, Json] = {}
        code_alone = self.vocabulary.code_is_alone and any(mark.kind is MarkKind.CODE for mark in marks)
        for mark in marks:
            name = self.vocabulary.marks.get(mark.kind)
            if name is None or (code_alone and mark.kind is not MarkKind.CODE):
                self.left_out.add(mark.kind.name.lower())
            else:
                written[name] = _ATTRIBUTES.get(mark.kind, _no_attributes)(mark)
        return written


def _parted(leaves: Sequence[Leaf]) -> list[Leaf]:
    """Without the blanks and breaks around pictures, which stand apart from the text."""
    parted: list[Leaf] = []
    for leaf in leaves:
        behind = bool(parted) and isinstance(parted[-1], Image)
        if behind and isinstance(leaf, Run):
            leaf = replace(leaf, text=leaf.text.lstrip(" "))
        if behind and (isinstance(leaf, Break) or (isinstance(leaf, Run) and not leaf.text)):
            continue
        if isinstance(leaf, Image):
            while parted and _is_blank(parted[-1]):
                parted.pop()
            if parted and isinstance(last := parted[-1], Run):
                parted[-1] = replace(last, text=last.text.rstrip(" "))
        parted.append(leaf)
    return parted


def _is_blank(leaf: Leaf) -> bool:
    return isinstance(leaf, Break) or (isinstance(leaf, Run) and not leaf.text.strip(" "))


def _leaves(parts: Iterable[_Nodes | Leaf]) -> list[Leaf]:
    return [part for part in parts if not isinstance(part, list)]


def _element(name: str, attributes: Mapping[str, Json] | None = None, children: Sequence[Json] = ()) -> dict[str, Json]:
    return {"$xml": name, "attrs": dict(attributes or {}), "children": list(children)}


def _text(delta: list[Json]) -> dict[str, Json]:
    return {"$xmltext": delta}


def _no_attributes(_: Mark) -> dict[str, Json]:
    return {}


def _link(mark: Mark) -> dict[str, Json]:
    return {"href": mark.value, **({"title": mark.title} if mark.title else {})}


def _colour(mark: Mark) -> dict[str, Json]:
    return {"color": mark.value} if mark.value else {}


_ATTRIBUTES: Mapping[MarkKind, Callable[[Mark], dict[str, Json]]] = {
    MarkKind.LINK: _link,
    MarkKind.HIGHLIGHT: _colour,
    MarkKind.COLOUR: _colour,
}
_BLOCKS: Mapping[Kind, Callable[[_Writer, Block, _Parts], _Nodes]] = {
    Kind.PARAGRAPH: _Writer.line,
    Kind.HEADING: _Writer.line,
    Kind.VERBATIM: _Writer.verbatim,
    Kind.CODE: _Writer.code,
    Kind.QUOTE: _Writer.quote,
    Kind.RULE: _Writer.rule,
    Kind.BULLETS: _Writer.items,
    Kind.ORDERED: _Writer.items,
    Kind.TASKS: _Writer.items,
    Kind.ITEM: _Writer.item,
    Kind.TABLE: _Writer.table,
    Kind.ROW: _Writer.row,
    Kind.HEADER: _Writer.cell,
    Kind.CELL: _Writer.cell,
}
"""Everything else is looked through."""
