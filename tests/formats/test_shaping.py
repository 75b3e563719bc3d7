"""From what is imported to what an editor opens, and back again."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from cowrite.formats import to_html, to_markdown, to_prosemirror, to_text
from cowrite.formats.shapes import ROOTS, Shape, Source
from cowrite.formats.shapes.nodes import PROSEMIRROR, TIPTAP
from cowrite.formats.shaping import Shaped, shaped
from cowrite.formats.sources.invalid import MAX_NODES, SourceInvalid
from crdt.random_edits import seeds
from formats.random_trees import RandomTree
from formats.states import Json, delta, element, paragraph, text, tree

EVERYTHING = """# Title 😀

a **b** *c* ~~d~~ `e` [f](/g "h") שלום é\\
next

> quote

- a
- b
  1. c

3. d

- [x] done
- [ ] not

```py
x
y
```

***

| a | b |
| --- | --- |
| c | **d** |
"""


def made(source: str, shape: Shape = Shape.TIPTAP, form: Source = Source.MARKDOWN) -> Shaped:
    return shaped(source.encode(), form, shape)


def state_of(one: Shaped) -> dict[str, Json]:
    return tree(*one.nodes) if one.nodes is not None else {"text": {"$text": list(one.delta or ())}}


@pytest.mark.rule("EX2", "EX8")
@pytest.mark.parametrize("shape", [Shape.TIPTAP, Shape.TEXT])
def test_markdown_comes_back_as_it_was(shape: Shape) -> None:
    one = made(EVERYTHING, shape)
    assert not one.left_out
    assert to_markdown(state_of(one)).strip("\n") == EVERYTHING.strip("\n")


@pytest.mark.rule("EX8")
def test_html_and_json_come_back_as_they_were() -> None:
    page = to_html(state_of(made(EVERYTHING)))
    once = to_html(state_of(made(page, form=Source.HTML)))
    assert to_html(state_of(made(once, form=Source.HTML))) == once == page
    written = to_prosemirror(state_of(made(EVERYTHING)))
    back = made(json.dumps(written), form=Source.PROSEMIRROR)
    assert (to_prosemirror(state_of(back)), back.left_out) == (written, [])


@pytest.mark.rule("EX8")
def test_random_documents_come_back() -> None:
    for seed in seeds(60):
        state = tree(*RandomTree(Random(seed), code_is_alone=True).state)
        markdown = to_markdown(state)
        assert to_markdown(state_of(made(markdown))) == markdown, seed
        page = to_html(state_of(made(to_html(state), form=Source.HTML)))
        assert to_html(state_of(made(page, form=Source.HTML))) == page, seed
        assert to_html(state_of(made(json.dumps(to_prosemirror(state)), form=Source.PROSEMIRROR))) == to_html(state), seed


@pytest.mark.rule("EX2")
def test_names_of_prosemirrors_own_schemas() -> None:
    one = made(EVERYTHING + "\n1) x\n\n<u>y</u>", Shape.PROSEMIRROR)
    assert one.left_out == ["strike", "taskList", "underline"]
    known = {*PROSEMIRROR.nodes.values(), "hard_break"}
    assert set(names(one.nodes)) == known
    assert "list_item" in known
    assert "[x] done" in to_text(state_of(one))
    assert made("<p align=center>a</p>", Shape.PROSEMIRROR, Source.HTML).left_out == ["align"]
    inline = made("![a](/b)", Shape.PROSEMIRROR).nodes
    assert inline == [element("paragraph", element("image", src="/b", alt="a"))]
    assert {*TIPTAP.nodes.values(), "taskItem", "hardBreak"} == set(names(made(EVERYTHING).nodes))


def names(nodes: Any) -> list[str]:
    found = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        found += [node["$xml"]] if "$xml" in node else []
        waiting += node.get("children", ())
    return found


@pytest.mark.rule("EX3")
def test_every_block_stands_where_schemas_allow_it() -> None:
    def nodes(source: str, form: Source = Source.HTML) -> Any:
        return made(source, form=form).nodes

    assert nodes("-", Source.MARKDOWN) == [element("bulletList", element("listItem", element("paragraph")))]
    assert nodes("- # a", Source.MARKDOWN) == [
        element("bulletList", element("listItem", element("paragraph"), element("heading", bare("a"), level=1)))
    ]
    assert nodes("<blockquote></blockquote>") == [element("blockquote", element("paragraph"))]
    assert nodes("<table><tr></tr></table><table></table><ul></ul>") == [
        element("table", element("tableRow", element("tableCell", element("paragraph"))))
    ]
    assert nodes("<table><tr><td colspan=2>a") == [
        element("table", element("tableRow", element("tableCell", element("paragraph", bare("a")), colspan=2)))
    ]
    assert nodes("<pre><b>a</b></pre><pre></pre>") == [
        element("codeBlock", {"$xmltext": [{"insert": "a"}]}),
        element("codeBlock"),
    ]
    assert nodes("a <img src=/b> <br> c<img src=/d title=e>") == [
        element("paragraph", bare("a")),
        element("image", src="/b"),
        element("paragraph", bare("c")),
        element("image", src="/d", title="e"),
    ]
    assert nodes("<h1> <br><img src=/b></h1><p></p>") == [element("image", src="/b"), element("paragraph")]
    assert nodes("<i>a</i><br><img src=/b><b> </b>") == [
        element("paragraph", {"$xmltext": [{"insert": "a", "attributes": {"italic": {}}}]}),
        element("image", src="/b"),
    ]
    assert nodes("<td>a</td>") == [element("paragraph", bare("a"))]


@pytest.mark.rule("EX2", "EX3")
def test_a_task_holds_paragraphs_alone() -> None:
    """What else is in it comes behind it in its order: tasks as tasks of the same list, everything else between two lists."""
    one = made("- [ ] a\n\n  b\n  - [x] c\n    - [ ] d\n- [x] e\n  - f\n  - [ ] g\n\n  h\n- [ ] i\n")

    def task(*lines: str, checked: bool = False) -> Json:
        return element("taskItem", *(element("paragraph", bare(line)) for line in lines), checked=checked)

    between = element("bulletList", *(element("listItem", element("paragraph", bare(line))) for line in ("f", "[ ] g")))
    assert one.nodes == [
        element("taskList", task("a", "b"), task("c", checked=True), task("d"), task("e", checked=True)),
        between,
        element("paragraph", bare("h")),
        element("taskList", task("i")),
    ]
    assert one.left_out == ["nested"]
    picture = made("- [x] ![](/b)")
    assert picture.nodes == [
        element("taskList", element("taskItem", element("paragraph"), checked=True)),
        element("image", src="/b"),
    ]
    assert made("- [ ] a\n\n  b").left_out == made("- a\n  - [ ] b").left_out == []
    assert made("- [ ] a\n  - [ ] b", Shape.PROSEMIRROR).left_out == ["taskList"]


@pytest.mark.rule("EX2", "EX3")
def test_text_that_is_code_has_no_other_marks_in_tiptap() -> None:
    source = "[`a`](http://b) **c `d`** `e`"
    one = made(source)
    assert (to_text(state_of(one)), one.left_out) == ("a c d e", ["link", "strong"])
    pieces = [piece for node in one.nodes or () for piece in node["children"][0]["$xmltext"]]
    assert [(piece["insert"], set(piece["attributes"])) for piece in pieces] == [
        *(("a", {"code"}), (" ", set()), ("c ", {"bold"}), ("d", {"code"}), (" ", set()), ("e", {"code"})),
    ]
    other = made(source, Shape.PROSEMIRROR)
    assert (to_markdown(state_of(other)).strip(), other.left_out) == (source, [])


def bare(string: str) -> Json:
    return {"$xmltext": [{"insert": string, "attributes": {}}]}


@pytest.mark.rule("EX2")
def test_what_there_is_nothing_for_is_named() -> None:
    assert made("<td>a</td>", form=Source.HTML).left_out == ["tableCell"]
    assert made("[![a](/b)](/c)").left_out == ["link"]
    assert made("<span style='color:red;background:blue'>a</span><mark>b</mark>", form=Source.HTML).nodes == [
        element(
            "paragraph",
            {
                "$xmltext": [
                    {"insert": "a", "attributes": {"highlight": {"color": "blue"}, "textStyle": {"color": "red"}}},
                    {"insert": "b", "attributes": {"highlight": {}}},
                ]
            },
        )
    ]
    assert to_prosemirror(tree(element("paragraph", element("x"))))["content"][0]["content"] == [{"type": "x"}]
    embedded = delta({"embed": {"chart": 1}}, "\n")
    assert to_prosemirror(embedded)["content"] == [{"type": "paragraph"}]
    aligned = made("<p align=center>a</p>", form=Source.HTML).nodes
    assert aligned == [element("paragraph", bare("a"), textAlign="center")]
    unknown = {"type": "doc", "content": [{"type": "x", "content": [{"type": "paragraph", "content": [{"type": "y"}]}]}]}
    quill = made(json.dumps(unknown), Shape.QUILL, Source.PROSEMIRROR)
    assert (quill.left_out, quill.delta) == (["x", "y"], [{"insert": "\n"}])


@pytest.mark.rule("EX2")
def test_a_text_without_formatting() -> None:
    assert made("a\n*b*\n", Shape.TEXT).delta == [{"insert": "a\n*b*\n"}]
    assert made("<b>a</b>", Shape.TEXT, Source.HTML).delta == [{"insert": "**a**"}]
    assert made("", Shape.TEXT).delta == []
    document = {"type": "doc", "content": [{"type": "heading", "content": [{"type": "text", "text": "a"}]}]}
    assert made(json.dumps(document), Shape.TEXT, Source.PROSEMIRROR).delta == [{"insert": "# a"}]
    assert made("a\n\nb", Shape.TIPTAP, Source.TEXT).nodes == [
        element("paragraph", bare("a")),
        element("paragraph"),
        element("paragraph", bare("b")),
    ]
    assert made("a\nb", Shape.QUILL, Source.TEXT).delta == [{"insert": "a\nb"}]
    assert ROOTS[Shape.TIPTAP] == "default"


@pytest.mark.rule("EX2")
def test_a_text_of_quill() -> None:
    one = made(EVERYTHING, Shape.QUILL)
    assert one.left_out == ["horizontalRule", "start", "table"]
    back = to_markdown(state_of(one))
    for part in (
        "# Title 😀",
        "a **b** *c* ~~d~~ `e` [f](/g)",
        "> quote",
        "- a\n- b\n  1. c",
        "[x] done",
        "[ ] not",
        "```py\nx\ny\n```",
    ):
        assert part in back, part
    lines = made("<h1 align=center>a</h1><ul><li><h2>b</h2>c</ul><blockquote><h3>d</h3></blockquote>", Shape.QUILL, Source.HTML)
    assert [piece.get("attributes") for piece in lines.delta or () if piece["insert"] == "\n"] == [
        {"header": 1, "align": "center"},
        {"list": "bullet"},
        {"header": 2, "indent": 1},
        {"indent": 1},
        {"header": 3},
    ]
    marks = "<u>a</u><sub>b</sub><sup>c</sup><mark>d</mark><span style='color:red'>e</span><img src=/f alt=g><img src=/h>"
    pieces = made(marks, Shape.QUILL, Source.HTML).delta
    assert pieces == [
        {"insert": "a", "attributes": {"underline": True}},
        {"insert": "b", "attributes": {"script": "sub"}},
        {"insert": "c", "attributes": {"script": "super"}},
        {"insert": "d", "attributes": {"background": "yellow"}},
        {"insert": "e", "attributes": {"color": "red"}},
        {"embed": {"image": "/f"}, "attributes": {"alt": "g"}},
        {"embed": {"image": "/h"}},
        {"insert": "\n"},
    ]
    table = made("<table><tr><td>a<p>b<td>c</table>", Shape.QUILL, Source.HTML)
    assert to_text(state_of(table)) == "a b\tc\n"
    bare_leaves = made("<table><tr>a</table>", Shape.QUILL, Source.HTML).delta
    assert bare_leaves == [{"insert": "a"}, {"insert": "\n"}]
    cell = made("|a|\n|-|\n|*b*|", Shape.QUILL).delta
    assert cell == [{"insert": "a"}, {"insert": "\n"}, {"insert": "b", "attributes": {"italic": True}}, {"insert": "\n"}]
    plain = made("```\nx\n```", Shape.QUILL).delta
    assert plain == [{"insert": "x"}, {"insert": "\n", "attributes": {"code-block": "plain"}}]


@pytest.mark.rule("EX6")
def test_nodes_of_all_kinds_are_counted() -> None:
    cells = "|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n"
    assert made(cells + cells[:201] * 20).nodes
    with pytest.raises(SourceInvalid) as caught:
        made(cells + ("|" + "a|" * 100 + "\n") * (MAX_NODES // 400 + 10))
    assert caught.value.code == "too_many_nodes"


# -- out again ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("EX9")
def test_the_json_of_prosemirror() -> None:
    state = tree(
        element(
            "any",
            paragraph(("a", {"bold": {}, "comment--AAAAAAAA": {"id": 1}, "comment--BBBBBBBB": {"id": {"$$x": [1]}}}), "b"),
            text("c"),
            x=[1, {"$$y": None}],
        ),
        element("leaf"),
    )
    assert to_prosemirror(state) == {
        "type": "doc",
        "content": [
            {
                "type": "any",
                "attrs": {"x": [1, {"$y": None}]},
                "content": [
                    {
                        "type": "paragraph",
                        "content": [
                            {
                                "type": "text",
                                "text": "a",
                                "marks": [
                                    {"type": "bold"},
                                    {"type": "comment", "attrs": {"id": 1}},
                                    {"type": "comment", "attrs": {"id": {"$x": [1]}}},
                                ],
                            },
                            {"type": "text", "text": "b"},
                        ],
                    },
                    {"type": "text", "text": "c"},
                ],
            },
            {"type": "leaf"},
        ],
    }
    back = made(json.dumps(to_prosemirror(state)), form=Source.PROSEMIRROR)
    assert to_prosemirror(state_of(back)) == to_prosemirror(state)


@pytest.mark.rule("EX9")
def test_other_roots_as_the_json_of_prosemirror() -> None:
    state = delta("a", ("\n", {"header": 2})) | {"other": {"$text": [{"insert": "x\n\ny"}]}, "map": {"$map": {"k": "v"}}}
    whole = to_prosemirror(state)["content"]
    assert [node["type"] for node in whole] == ["heading", "paragraph", "paragraph", "paragraph", "paragraph", "paragraph"]
    assert to_prosemirror(state, "other")["content"][1:] == [
        {"type": "paragraph"},
        {"type": "paragraph", "content": [{"type": "text", "text": "y"}]},
    ]
    assert to_prosemirror(state, "none") == {"type": "doc", "content": []}
    embedded = [{"embed": element("br")}, {"embed": {"x": 1}}, {"embed": 2}, {"insert": "a", "attributes": {"b": True}}]
    assert to_prosemirror(tree({"$xmltext": embedded}))["content"] == [
        {"type": "br"},
        {"type": "text", "text": "a", "marks": [{"type": "b"}]},
    ]
