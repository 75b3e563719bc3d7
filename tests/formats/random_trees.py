"""Random documents of Tiptap, what Markdown must make of them, and random trees that no schema would allow."""

from __future__ import annotations

from random import Random
from typing import Any, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from formats.states import Json, element, text

Characters: TypeAlias = list[tuple[str, frozenset[str]]]
"""A line: each character with the marks on it; blanks have none, because Markdown cannot tell."""
Shape: TypeAlias = tuple[Any, ...]
"""A block: its name, and what is in it."""

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKS = {"strong": "bold", "em": "italic", "s": "strike"}
SIGNS = """
a b cd e1 1 2. 3) x_y __ _ * ** *** ` `` ~ ~~ ~~~ [ ] ( ) [x] [a](b) ![ ! < <b> </i> <!-- > >> # ## - -- --- + = == : | |-
&amp; &#65; & ; \\ \\\\ . , " ' é 😀 ß € http://a.b/c_d www.a.b
"""
BITS = [*SIGNS.split(), " ", "  ", " ", "\t", "\n", "1. ", "- ", "# ", "> ", "+ ", "    ", "word", "Wort "]
LINKS = ["https://a.b/c", "https://a.b/(c)", "/a b", "mailto:x@y.z", "a&amp;b", "?q=<&x=\\*", "#f"]


class RandomTree:
    """``state`` is a tree's children as JSON, ``shapes`` what is to come back from Markdown.

    Text that is code may have other marks, as ProseMirror's own schema lets it, unless ``code_is_alone``, as Tiptap has it.
    """

    def __init__(self, random: Random, *, code_is_alone: bool = False) -> None:
        self.random = random
        self.code_is_alone = code_is_alone
        self.state, self.shapes = self.blocks(3, 5)

    def blocks(self, depth: int, count: int) -> tuple[list[Json], list[Shape]]:
        makers = [self.paragraph, self.paragraph, self.heading, self.code, self.rule]
        deep = [self.bullets, self.ordered, self.quote, self.table]
        nodes, shapes = [], []
        for _ in range(self.random.randint(0, count)):
            if depth and self.random.random() < 0.5:
                node, shape = self.random.choice(deep)(depth - 1)
            else:
                node, shape = self.random.choice(makers)()
            nodes.append(node)
            if shape:
                shapes.append(shape)
        return nodes, shapes

    def string(self) -> str:
        return "".join(self.random.choice(BITS) for _ in range(self.random.randint(1, 4)))

    def runs(self) -> tuple[list[Json], Characters]:
        pieces: list[tuple[str, dict[str, Json]]] = []
        characters: Characters = []
        for _ in range(self.random.randint(0, 5)):
            string = self.string()
            names = [name for name in ("bold", "italic", "strike") if self.random.random() < 0.35]
            if self.random.random() < 0.1:
                names = ["code"] if self.code_is_alone else [*names, "code"]
                string = " ".join(string.split()) or "code"
            attributes: dict[str, Json] = {name: {} for name in names}
            if self.random.random() < 0.15 and not (self.code_is_alone and "code" in names):
                attributes["link"] = {"href": self.random.choice(LINKS)}
                names.append("link " + READER.normalizeLink(attributes["link"]["href"]))
            pieces.append((string, attributes))
            characters += [(character, frozenset(names)) for character in string]
        return [text(*pieces)], trimmed(characters)

    def paragraph(self) -> tuple[Json, Shape]:
        nodes, characters = self.runs()
        return element("paragraph", *nodes), ("paragraph", characters) if characters else ()

    def heading(self) -> tuple[Json, Shape]:
        level = self.random.randint(1, 6)
        nodes, characters = self.runs()
        line = trimmed([(character.replace("\n", " "), marks) for character, marks in characters])
        return element("heading", *nodes, level=level), (f"h{level}", line)

    def code(self) -> tuple[Json, Shape]:
        lines = self.string() + "\n" + self.string()
        return element("codeBlock", text(lines), language="c++"), ("code", "c++", lines + "\n")

    def rule(self) -> tuple[Json, Shape]:
        return element("horizontalRule"), ("hr",)

    def quote(self, depth: int) -> tuple[Json, Shape]:
        nodes, shapes = self.blocks(depth, 3)
        return element("blockquote", *nodes), ("blockquote", *shapes)

    def items(self, depth: int) -> tuple[list[Json], list[Shape]]:
        items = [self.blocks(depth, 3) for _ in range(self.random.randint(1, 3))]
        return [element("listItem", *nodes) for nodes, _ in items], [("item", *shapes) for _, shapes in items]

    def bullets(self, depth: int) -> tuple[Json, Shape]:
        nodes, shapes = self.items(depth)
        return element("bulletList", *nodes), ("ul", *shapes)

    def ordered(self, depth: int) -> tuple[Json, Shape]:
        start = self.random.choice([0, 1, 1, 9, 1234])
        nodes, shapes = self.items(depth)
        return element("orderedList", *nodes, start=start), ("ol", start, *shapes)

    def table(self, _: int) -> tuple[Json, Shape]:
        width = self.random.randint(1, 3)
        rows, shapes = [], []
        for number in range(self.random.randint(1, 3)):
            cells = [self.runs() for _ in range(width)]
            name = "tableCell" if number else "tableHeader"
            rows.append(element("tableRow", *(element(name, element("paragraph", *nodes)) for nodes, _ in cells)))
            shapes.append([characters for _, characters in cells])
        return element("table", *rows), ("table", *shapes)


def trimmed(characters: Characters) -> Characters:
    """Without what Markdown cannot keep: marks on blanks, blanks at the ends of lines, breaks at the end."""
    kept: Characters = []
    for character, marks in characters:
        if character == "\n":
            while kept and kept[-1][0].isspace() and kept[-1][0] != "\n":
                kept.pop()
        elif character.isspace() and (not kept or kept[-1][0] == "\n"):
            continue
        kept.append((character, frozenset() if character.isspace() else marks))
    while kept and kept[-1][0].isspace():
        kept.pop()
    return kept


def shapes_of(markdown: str) -> list[Shape]:
    """What a reader of Markdown makes of it."""
    return [_shape(node) for node in SyntaxTreeNode(READER.parse(markdown)).children]


def _shape(node: SyntaxTreeNode) -> Shape:
    match node.type:
        case "paragraph":
            return ("paragraph", _line(node))
        case "heading":
            return (node.tag, _line(node))
        case "fence":
            return ("code", node.info, node.content)
        case "hr":
            return ("hr",)
        case "table":
            return ("table", *([_line(cell) for cell in row.children] for part in node.children for row in part.children))
        case "ordered_list":
            return ("ol", node.attrs.get("start", 1), *map(_shape, node.children))
    name = {"bullet_list": "ul", "list_item": "item"}.get(node.type, node.type)
    return (name, *map(_shape, node.children))


def _line(node: SyntaxTreeNode) -> Characters:
    return trimmed([character for child in node.children for inner in child.children for character in _characters(inner)])


def _characters(node: SyntaxTreeNode, marks: frozenset[str] = frozenset()) -> Characters:
    match node.type:
        case "text":
            return [(character, marks) for character in node.content]
        case "code_inline":
            return [(character, marks | {"code"}) for character in node.content]
        case "hardbreak":
            return [("\n", marks)]
        case "html_inline":
            assert node.content == "<br>"
            return [("\n", marks)]
        case "link":
            marks |= {f"link {node.attrs['href']}"}
        case _:
            marks |= {MARKS[node.type]}
    return [character for child in node.children for character in _characters(child, marks)]


NAMES = """
paragraph heading bulletList ordered_list listItem taskList taskItem blockquote codeBlock horizontalRule hardBreak image mention
table tableRow tableHeader tableCell callout doc "><script>
""".split()  # noqa: SIM905
VALUES: list[Json] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2,
        2.5,
        1e300,
        "",
        "2",
        "x",
        '" onload="x',
        "javascript:alert(1)",
        "https://a.b",
        [],
        {},
        {"a": 1},
    ),
    *({"$number": "NaN"}, {"$bin": "AA=="}, {"$text": [{"insert": "in an attribute"}]}),
]
ATTRIBUTES = [
    "level",
    "start",
    "order",
    "checked",
    "language",
    "params",
    "src",
    "alt",
    "title",
    "colspan",
    "rowspan",
    "textAlign",
]
FORMATS = [
    "bold",
    "italic",
    "link",
    "code",
    "textStyle",
    "highlight--Abcd+/0=",
    "comment--Abcd+/0=",
    "color",
    "script",
    "background",
]
LINES = ["list", "header", "indent", "align", "code-block", "blockquote"]


class WildTree:
    """A tree that only a client without a schema would write. ``texts`` are the strings in it, in order."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.texts: list[str] = []
        self.state = {name: self.root() for name in "ab"}

    def root(self) -> Json:
        return self.random.choice([self.fragment, self.delta, self.value])(4)

    def fragment(self, depth: int) -> Json:
        return {"$xml": None, "attrs": {}, "children": [self.node(depth) for _ in range(self.random.randint(0, 4))]}

    def node(self, depth: int) -> Json:
        if not depth or self.random.random() < 0.3:
            return {"$xmltext": self.pieces(depth, FORMATS), "attrs": {}}
        children = [self.node(depth - 1) for _ in range(self.random.randint(0, 3))]
        attributes = {name: self.random.choice(VALUES) for name in ATTRIBUTES if self.random.random() < 0.3}
        name = self.random.choice(NAMES)
        if name == "mention":
            attributes.pop("label", None)
        return {"$xml": name, "attrs": attributes, "children": children}

    def delta(self, depth: int) -> Json:
        return {"$text": self.pieces(depth, FORMATS + LINES)}

    def pieces(self, depth: int, names: list[str]) -> list[Json]:
        pieces: list[Json] = []
        for _ in range(self.random.randint(0, 4)):
            piece: dict[str, Json] = {}
            if depth and self.random.random() < 0.2:
                piece["embed"] = self.random.choice([self.node, self.delta, self.plain])(depth - 1)
            else:
                piece["insert"] = "".join(self.random.choice([*BITS, "\n", "\0"]) for _ in range(3))
                self.texts.append(piece["insert"])
            formats = ["bullet", "ordered", "checked", "javascript", "red", *VALUES]
            attributes = {name: self.random.choice(formats) for name in names if self.random.random() < 0.2}
            pieces.append(piece | ({"attributes": attributes} if attributes else {}))
        return pieces

    def plain(self, _: int) -> Json:
        return self.random.choice(
            [None, 1, "x", {}, {"image": "javascript:x"}, {"unknown": 1}, {"formula": 1}, {"$map": {"a": 1}}]
        )

    def value(self, depth: int) -> Json:
        if not depth:
            self.texts.append(self.random.choice(BITS))
            return self.texts[-1]
        inner = self.random.choice([self.value, self.delta, self.fragment])
        match self.random.randint(0, 2):
            case 0:
                return {"$array": [inner(depth - 1) for _ in range(self.random.randint(0, 3))]}
            case 1:
                entries = {}
                for key in self.random.sample(["", "$$k", "a"], 2):
                    self.texts.append(key.removeprefix("$"))
                    entries[key] = inner(depth - 1)
                return {"$map": entries}
        if self.random.random() < 0.5:
            return {"$doc": "x"}
        self.texts.append("knull")
        return {"$array": [{"$bin": ""}, {"k": [None]}]}
