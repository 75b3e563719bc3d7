"""Markdown."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from cowrite.formats import to_markdown
from formats.states import Json, element, paragraph, text, tree
from formats.test_text import TIPTAP

BOLD: dict[str, Json] = {"bold": {}}
ITALIC: dict[str, Json] = {"italic": {}}
BOTH = BOLD | ITALIC


@pytest.mark.rule("FO11")
def test_a_tiptap_document() -> None:
    """As one would write it."""
    assert to_markdown(TIPTAP) == (
        "# Meeting notes #3\n\nWe met **yesterday _and_** *decided* to ship, see [the plan](<https://example.org/plan_(v2)?a=1&b=2>)."
        "\n\nFirst line\\\n2\\. second line, with `snake_case()` and ~~old~~ new\n\n- Apples\n\n- Pears\n\n  3. Conference\n"
        "  4. Williams\n\n+ [x] Write \\*it\\*\n+ [ ] Send it\n\n> Less is more.\n>\n> \\> really\n\n"
        '````python\ndef f():\n    return "```"\n\n````\n\n***\n\n5 < 6 & a_b'
    )


@pytest.mark.rule("FO12")
@pytest.mark.parametrize(
    "line",
    [
        *("# a", "####### a", "#", "a #", "> a", ">", "- a", "-", "+ a", "* a", "1. a", "1) a", "12345678901. a", "1.", "1.a"),
        *(
            "---",
            "- - -",
            "***",
            "___",
            "===",
            "=",
            "```",
            "~~~",
            "| a |",
            "|-|",
            ":-:",
            "-|-",
            "[a]: b",
            "[^1]: b",
            "[ ] a",
            "[x] a",
        ),
        *(
            "*a*",
            "_a_",
            "__a__",
            "a_b_c",
            "_a",
            "a*b",
            "**a",
            "`a`",
            "``",
            "~a~",
            "~~a~~",
            "[a](b)",
            "![a](b)",
            "[a][b]",
            "<b>",
            "<!--",
        ),
        *(
            "<http://a.b>",
            "a < b",
            "1<2",
            "&amp;",
            "&#65;",
            "& b",
            "&amp",
            "\\*",
            "\\",
            "a\\",
            "\\\\",
            "a!",
            "http://a.b/c_d",
            "<?",
            "<",
        ),
    ],
)
def test_text_that_looks_like_markdown(line: str) -> None:
    """Comes back as text: as a paragraph, behind a break, in an item, in a cell and in a heading."""
    for form in ("{}", "- {}", "> {}", "# {}"):
        node = {"{}": element("paragraph", text(line)), "# {}": element("heading", text(line))}.get(form) or element(
            {"- {}": "bulletList", "> {}": "blockquote"}[form], paragraph(line)
        )
        assert texts(to_markdown(tree(node))) == [line]
    assert texts(to_markdown(tree(paragraph("a | b\n" + line)))) == ["a | b", line]
    table = element(
        "table", element("tableRow", element("tableHeader", paragraph(line)), element("tableHeader", paragraph("|")))
    )
    assert texts(to_markdown(tree(table))) == [line, "|"]


def texts(markdown: str) -> list[str]:
    """The lines of text that a reader finds, in one block; nothing but text, tables and what the test has put around it."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    lines = [""]
    blocks = [token for token in reader.parse(markdown) if token.type == "inline"]
    for number, block in enumerate(blocks):
        lines += [""] if number else []
        for token in block.children or []:
            assert token.type in {"text", "hardbreak", "text_special"}, markdown
            lines = [*lines, ""] if token.type == "hardbreak" else [*lines[:-1], lines[-1] + token.content]
    return lines


@pytest.mark.rule("FO13")
@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([("a ", BOLD), "b"], "**a** b"),
        (["a", (" b ", BOLD), "c"], "a **b** c"),
        ([(" ", BOLD), "a", ("\t", BOLD)], "a"),
        ([("a ", BOLD), ("b", BOTH)], "**a _b_**"),
        ([("a ", BOTH), ("b", ITALIC)], "**_a_** *b*"),
        ([("a", BOLD), ("b", ITALIC)], "**a**_b_"),
        ([("a.", BOLD), "b"], "**a.**&#98;"),
        (["b", (".a", BOLD)], "&#98;**.a**"),
        (["x_", ("y", BOTH)], "x\\_**_y_**"),
        (["x_y", (".", BOLD), "x_y"], "x\\_&#121;**.**&#120;\\_y"),
        (["y", ("é", BOLD), (".", BOTH)], "&#121;**&#233;_._**"),
        (["wow!", ("a", {"link": {"href": "b"}})], "wow\\![a](b)"),
        ([("a\nb", BOLD)], "**a\\\nb**"),
        ([("a\n", BOLD), "b"], "**a**\\\nb"),
        (["\u00a0 ", ("a", BOLD), "\u00a0 "], "\u00a0 **a**\u00a0"),
        (["\na \n\n b\n"], "\\\na\\\n\\\nb"),
        (["a", ("b", {"underline": {}}), ("c", {"comment--abcd1234": {}})], "abc"),
        ([("`a``", {"code": {}})], "``` `a`` ```"),
        ([(" a ", {"code": {}})], "`  a  `"),
        ([("  ", {"code": {}})], ""),
        ([("a", {"link": {"href": "/a (b)\\<", "title": 'a "b" \\ &lt;'}})], '[a](</a (b)\\\\\\<> "a \\"b\\" \\\\ \\&lt;")'),
        ([("a", {"link": {"href": "javascript&colon;x"}})], "[a](javascript\\&colon;x)"),
    ],
)
def test_marks(pieces: list[str | tuple[str, dict[str, Json]]], written: str) -> None:
    """Blanks stand outside of them, and letters do not keep them from being marks."""
    assert to_markdown(tree(paragraph(*pieces))) == written


@pytest.mark.rule("FO11")
def test_lists() -> None:
    """Neighbours stay apart, what is in an item stays in it, and what would begin something else does not."""
    item = element("listItem")
    second = element("orderedList", element("listItem", paragraph("b")), start=2)
    lists = [
        element("bulletList", element("listItem", paragraph("a"), second)),
        element("bulletList", item),
        element("bulletList", element("listItem", element("bulletList", element("listItem", element("bulletList", item))))),
        element("orderedList", item, start=1),
        element("orderedList", element("listItem", text("x"), element("codeBlock", text("\n y")))),
        element("orderedList"),
    ]
    assert to_markdown(tree(*lists)) == ("- a\n\n  2. b\n\n+\n\n- - +\n\n1.\n\n1) x\n\n   ```\n\n    y\n   ```")


@pytest.mark.rule("FO11")
def test_tasks() -> None:
    """The box stands before the text, alone when there is none."""
    tasks = element("taskList", element("taskItem", checked="true"), element("taskItem", element("codeBlock")), paragraph("a"))
    assert to_markdown(tree(tasks)) == "- [x]\n\n- [ ]\n\n  ```\n  ```\n\n- [ ] a"


@pytest.mark.rule("FO14")
def test_tables() -> None:
    """A cell is a line; spans leave empty cells; a missing header is empty."""
    deep = element("tableCell", paragraph("a\nb"), element("bulletList", paragraph("c")), element("codeBlock", text("d|e")))
    wide = element("tableCell", paragraph("w"), colspan=2, rowspan=2)
    rows = [
        element("tableRow", wide, deep),
        element("tableRow", element("tableCell", paragraph("x"))),
        element("tableRow", element("tableCell", rowspan=3), element("tableCell", paragraph("y"))),
        element("tableRow"),
        element("tableRow", element("tableCell", paragraph("z"))),
    ]
    assert to_markdown(tree(element("table", *rows))) == (
        "|  |  |  |\n| --- | --- | --- |\n| w |  | a<br>b<br>c<br>`d\\|e` |\n|  |  | x |\n|  | y |\n|\n|  | z |"
    )
    assert to_markdown(tree(element("table"), element("table", element("tableRow")))) == "|  |\n| --- |"


@pytest.mark.rule("FO14")
def test_cells_that_span_more_than_anybody_reads() -> None:
    """Few bytes ask for many empty cells; beyond a bound a cell is one cell, and all that is written is there."""
    rows = [element("tableRow", element("tableCell", paragraph(f"cell {n}"), colspan=100, rowspan=100)) for n in range(300)]
    written = to_markdown(tree(element("table", *rows)))
    assert 10_000 < written.count("|") < 20_000
    assert all(f" cell {n} |" in written for n in range(300))


@pytest.mark.rule("FO14")
def test_what_markdown_lacks() -> None:
    """Empty paragraphs, breaks in headings, alignment, unknown blocks: their text stays."""
    heading = element("heading", text("a\nb #"), level=2, textAlign="center")
    nodes = [paragraph(), heading, element("callout", paragraph("c"), text("d")), element("heading"), element("blockquote")]
    assert to_markdown(tree(*nodes)) == "## a b \\#\n\nc\n\nd\n\n#\n\n>"
    image = element("image", src="/a b.png", alt="[x]", title="t")
    assert to_markdown(tree(image, element("emoji"), paragraph("a"))) == '![\\[x\\]](</a b.png> "t")\n\na'


@pytest.mark.rule("FO11")
def test_maps_and_arrays() -> None:
    """Lists, with their keys in bold."""
    state = {
        "m": {
            "$map": {
                "a*": "# b",
                "c": {"d": 1, "": None},
                "e": ["x\ny", {"$bin": ""}],
                "f": {},
                "g": {"$text": [{"insert": "1\n2"}]},
            }
        }
    }
    assert to_markdown(state) == (
        "- **a\\***: \\# b\n\n- **c**:\n  - **d**: 1\n  - : null\n\n"
        "- **e**:\n  1. x\\\n     y\n  2.\n\n- **f**:\n\n- **g**: 1\n\n  2"
    )
