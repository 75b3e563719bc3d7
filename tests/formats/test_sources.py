"""What is imported, as blocks: Markdown, HTML and text, told by the Markdown and HTML that are made of them again."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from cowrite.formats.blocks import Block, Kind, fold
from cowrite.formats.html import render
from cowrite.formats.shapes import Shape, Source
from cowrite.formats.shaping import shaped
from cowrite.formats.sources.html import read_html
from cowrite.formats.sources.html_tokens import End, Start, tokens
from cowrite.formats.sources.invalid import MAX_NESTED, MAX_NODES, MAX_SOURCE_BYTES, SourceInvalid
from cowrite.formats.sources.markdown import read_markdown
from cowrite.formats.sources.plain import read_plain, text_of


def shown(block: Block) -> str:
    return fold(block, render)


def code_of(text: str | bytes, source: Source = Source.MARKDOWN, shape: Shape = Shape.TIPTAP) -> str:
    with pytest.raises(SourceInvalid) as caught:
        shaped(text if isinstance(text, bytes) else text.encode(), source, shape)
    assert caught.value.reason
    return caught.value.code


# -- Markdown -----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("EX1")
@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("# a\n\nb **c** *d* ~~e~~ `f`", "<h1>a</h1><p>b <strong>c</strong> <em>d</em> <s>e</s> <code>f</code></p>"),
        ("a\nb\\\nc", "<p>a b<br>c</p>"),
        ("> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"),
        ("- a\n  1. b\n- c", "<ul><li><p>a</p><ol><li><p>b</p></li></ol></li><li><p>c</p></li></ul>"),
        ("7. a", '<ol start="7"><li><p>a</p></li></ol>'),
        ("-", "<ul><li></li></ul>"),
        ("***", "<hr>"),
        ("```py x\na\n\nb\n```", '<pre><code class="language-py">a\n\nb</code></pre>'),
        ("    a", "<pre><code>a</code></pre>"),
        (
            "|a|b|\n|-|-|\n|c<br>d|**e**|",
            "<table><tbody><tr><th>a</th><th>b</th></tr><tr><td>c<br>d</td><td><strong>e</strong></td></tr></tbody></table>",
        ),
        ('[a](/b "c")', '<p><a href="/b" title="c" rel="noopener noreferrer nofollow">a</a></p>'),
        ("[a](https://x.org/ü?q=א)", '<p><a href="https://x.org/ü?q=א" rel="noopener noreferrer nofollow">a</a></p>'),
        ("[**a**](javascript:b)", "<p><strong>a</strong></p>"),
        ('![*a*\nb](/c.png "d")', '<p><img src="/c.png" alt="a b" title="d"></p>'),
        ("x![a](javascript:b)![](javascript:b)", "<p>xa</p>"),
        ("<u>a</u> Vec<String> <b>*c*</b></i><!-- d -->", "<p><u>a</u> Vec&lt;String&gt; <strong><em>c</em></strong></p>"),
        ("</x>", ""),
        ("a </x>", "<p>a &lt;/x&gt;</p>"),
        ("<div>\n\n*a*\n\n</div>\n\n<p>b <i>c</i></p>", "<p><em>a</em></p><p>b <em>c</em></p>"),
        ("**a\x01**", "<p><strong>a\ufffd</strong></p>"),
    ],
)
def test_markdown(markdown: str, html: str) -> None:
    assert shown(read_markdown(markdown)) == html


@pytest.mark.rule("EX1")
def test_tasks() -> None:
    """A list of which every item has a box; one that is escaped, or that one item lacks, is text."""
    tasks = shown(read_markdown("- [x] a\n- [ ] **b**\n- [X]\n"))
    assert tasks.count("checkbox") == 3
    assert tasks.count("checked>") == 2
    assert "<p>a</p>" in tasks
    assert "<p><strong>b</strong></p>" in tasks
    for text in ("- [x] a\n- b", "- \\[x] a", "-", "- # a", "1. [x] a"):
        assert "checkbox" not in shown(read_markdown(text)), text
    assert "[x] a" in shown(read_markdown("- \\[x] a"))


# -- HTML ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("EX4")
@pytest.mark.parametrize(
    ("html", "shows"),
    [
        ("<h2 style='text-align: center'> a\n <b>b </b> c </h2>", '<h2 style="text-align: center">a <strong>b </strong>c</h2>'),
        ("a<p align=right>b<p>c", '<p>a</p><p style="text-align: right">b</p><p>c</p>'),
        ("<div>a<div>b</div></div><section>c</section>", "<p>a</p><p>b</p><p>c</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>d", "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul></li></ul><p>d</p>"),
        ("<ol start=3><li><p>a</p></li></ol>", '<ol start="3"><li><p>a</p></li></ol>'),
        ("<table><tr><th>a<td>b<tr><td colspan=2 rowspan=x>c</table>", None),
        (
            "<pre><code class='x language-py y'>a\n <b>b</b>\n\nc\n</code></pre>",
            '<pre><code class="language-py">a\n b\n\nc</code></pre>',
        ),
        ("<pre class=lang-c>a</pre><pre>", '<pre><code class="language-c">a</code></pre><pre><code></code></pre>'),
        ("<blockquote>a<hr>b</blockquote></blockquote>", "<blockquote><p>a</p><hr><p>b</p></blockquote>"),
        ("a<br>b<br>", "<p>a<br>b</p>"),
        ("<p>a <br> b</p><p> </p>", "<p>a <br>b</p><p></p>"),
        (
            "<s>a</s><u>b</u><sub>c</sub><sup>d</sup><mark style='background-color:red'>e</mark><mark>f</mark>",
            '<p><s>a</s><u>b</u><sub>c</sub><sup>d</sup><mark style="background-color: red">e</mark><mark>f</mark></p>',
        ),
        (
            "<span style='color:#f00;background:blue'>a</span><span style='color:url(x)'>b</span>",
            '<p><mark style="background-color: blue"><span style="color: #f00">a</span></mark>b</p>',
        ),
        (
            "<font color=red>c</font>",
            '<p><span style="color: red">c</span></p>',
        ),
        ("<a href='java&#10;script:x'>a</a><a href=' https://b '>c</a>", None),
        ("<img src=javascript:x alt=a><img src=/b.png title=c><img>", '<p>a<img src="/b.png" alt="" title="c"></p>'),
        ("<script>a</script>b<style>c</style><TITLE>d</title ><iframe>e", "<p>b</p>"),
        ("<script>a", ""),
        ("<!-- a --><!doctype b><?c?>d<!-- e", "<p>d&lt;!-- e</p>"),
        ("a < b <1> <b", "<p>a &lt; b &lt;1&gt; &lt;b</p>"),
        ("&amp;&#128512;&#x1F600;&#99999999999999999999;&#xFFFFFFFFFF;", "<p>&amp;😀😀\ufffd\ufffd</p>"),
        ("<b>a<p>b</b>c", "<p><strong>a</strong></p><p><strong>b</strong>c</p>"),
        ("<ul><li data-checked=true>a<li>b</ul>", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
        ("<ul data-type=taskList><li data-checked=true>a</ul>", None),
        ("<ul><li><input type=checkbox checked> a<li><input type=checkbox>b</ul>", None),
        ("<ol><li><input type=checkbox>a</ol><input type=checkbox><ul><li><input></ul>", None),
        ("<li><input type=checkbox>a</li>", '<div data-type="listItem"><p>a</p></div>'),
        ("<ul>a</ul><table>b</table>", None),
        ("<video>a</video><b >b</b ><x y='>' z=\"1\" = w/>c", "<p>a<strong>b</strong>c</p>"),
        ("<a b='c", "<p>&lt;a b='c</p>"),
        ("<td>x</td>", '<div data-type="tableCell"><p>x</p></div>'),
    ],
)
def test_html(html: str, shows: str | None) -> None:
    made = shown(read_html(html))
    assert shows is None or made == shows
    for bad in ("script", "style>", "java", "url("):
        assert bad not in made.replace("&lt;", "<"), made


@pytest.mark.rule("EX4")
def test_html_lists_and_tables() -> None:
    table = shown(read_html("<table><tr><th>a<td>b<tr><td colspan=2 rowspan=x>c</table>d"))
    assert table == (
        "<table><tbody><tr><th><p>a</p></th><td><p>b</p></td></tr>"
        '<tr><td colspan="2"><p>c</p></td></tr></tbody></table><p>d</p>'
    )
    tasks = shown(read_html("<ul><li><input type=checkbox checked> a<li><input type=checkbox>b</ul>"))
    assert tasks == shown(read_html("<ul data-type=taskList><li data-checked=true>a<li>b</ul>"))
    assert tasks.count("checkbox") == 2


@pytest.mark.rule("EX4")
@pytest.mark.parametrize(
    "bit",
    [
        "<!--",
        "<!",
        "</",
        "<a x='",
        '<a x="',
        "<a ",
        "<?",
        "&",
        "<script>",
        "<a=",
        "</a ",
        "<script></scrip",
        "<x y=z ",
        "&#1",
        "<li>",
        "<b>",
    ],
)
def test_hostile_html_takes_no_longer(bit: str) -> None:
    """The standard library's parser takes minutes for some of these."""
    began = time.process_time()
    list(tokens(bit * (100_000 // len(bit))))
    with suppress(SourceInvalid):
        read_html(bit * (20_000 // len(bit)))
    assert time.process_time() - began < 3


def test_tokens() -> None:
    assert list(tokens("<P A=1 a=2 B>x</P >y")) == [Start("p", {"a": "1", "b": ""}), "x", End("p"), "y"]
    assert list(tokens("<title>a</title><title>b</TITLE>c")) == [End("title"), End("title"), "c"]


# -- text and bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("EX5")
def test_text_stays_as_it_is() -> None:
    text = "e\u0301 é 😀 👨\u200d👩\u200d👧 שלום \u202eabc\u202c \U0010ffff \ufb01"
    assert text_of(b"\xef\xbb\xbf" + f"{text}\r\na\rb".encode()) == f"{text}\na\nb"
    assert shown(read_plain(f"{text}\n\nb\n")) == f"<p>{text.replace(chr(0x10FFFF), chr(0xFFFD))}</p><p></p><p>b</p>"
    assert read_plain("").children == []
    whole = shaped(text.encode(), Source.TEXT, Shape.TEXT)
    assert whole.delta == [{"insert": text}]


@pytest.mark.rule("EX5")
def test_what_is_no_text() -> None:
    assert code_of(b"a\xff") == "not_utf8"
    with pytest.raises(SourceInvalid, match="in line 2"):
        text_of(b"a\nb\0")
    assert code_of("a\0") == "null_character"
    assert code_of('{"type":"doc","content":[{"type":"text","text":"\\ud800"}]}', Source.PROSEMIRROR) == "lone_surrogate"
    assert code_of('{"type":"doc","content":[{"type":"text","text":"a\\u0000"}]}', Source.PROSEMIRROR) == "null_character"


@pytest.mark.rule("EX6")
def test_too_much() -> None:
    assert code_of(b"a" * (MAX_SOURCE_BYTES + 1)) == "too_large"
    assert code_of("a\n" * (MAX_NODES + 1)) == "too_many_nodes"
    assert code_of("a\n" * (MAX_NODES // 2 + 1), Source.TEXT) == "too_many_nodes"
    assert code_of("<p>" * (MAX_NODES + 1), Source.HTML) == "too_many_nodes"
    assert code_of("a\n\n" * 8000) == "too_many_nodes"
    assert code_of(">" * 200 + "a") == "too_deep"
    assert code_of("- " * (MAX_NESTED + 1) + "a") == "too_deep"
    assert code_of("".join("  " * depth + "- a\n" for depth in range(50))) == "too_deep"
    assert code_of("\n".join(">" * depth + " a\n" for depth in range(40)) + ">\n" + "> " * 40 + "- " * 8 + "a") == "too_deep"
    assert code_of("<ul><li>" * 60, Source.HTML) == "too_deep"
    assert code_of("[" * 20_000) == "too_costly"
    deep = "".join("  " * depth + "- a\n" for depth in range(MAX_NESTED))
    assert shaped(deep.encode(), Source.MARKDOWN, Shape.TIPTAP).nodes


# -- the JSON of ProseMirror --------------------------------------------------------------------------------------------------


def doc(*content: Any, **more: Any) -> str:
    return json.dumps({"type": "doc", "content": list(content), **more})


def nested(depth: int) -> Any:
    node: Any = {"type": "p", "content": [{"type": "text", "text": "x"}]}
    for _ in range(depth - 2):
        node = {"type": "q", "content": [node]}
    return node


@pytest.mark.rule("EX7")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[", "not JSON"),
        ('{"type":"doc","content":[NaN]}', "NaN"),
        ("[]", "the document: a node is a JSON object"),
        ('{"type":"text","text":"a"}', "no node that holds others"),
        ("{}", "no node that holds others"),
        (doc(1), r"content\[0\]: a node"),
        (doc({"type": 1}), "its type is a name"),
        (doc({"type": ""}), "its type is a name"),
        (doc({"type": "p", "x": 1}), "no field 'x'"),
        (doc({"type": "p", "text": "a"}), "has no text"),
        (doc({"type": "p", "content": {}}), "content is a list"),
        (doc({"type": "p", "attrs": []}), "attrs is an object"),
        (doc({"type": "p", "content": [{"type": "text"}]}), r"content\[0\].content\[0\]: a text has characters"),
        (doc({"type": "text", "text": ""}), "a text has characters"),
        (doc({"type": "text", "text": "a", "content": [1]}), "a text has no content"),
        (doc({"type": "text", "text": "a", "marks": [1]}), "a mark is an object"),
        (doc({"type": "text", "text": "a", "marks": [{"type": "b", "attrs": 1}]}), "attrs is an object"),
    ],
)
def test_no_document_of_prosemirror(text: str, place: str) -> None:
    with pytest.raises(SourceInvalid, match=place) as caught:
        shaped(text.encode(), Source.PROSEMIRROR, Shape.TIPTAP)
    assert caught.value.code == "not_prosemirror"


@pytest.mark.rule("EX6", "EX7")
def test_a_document_of_prosemirror_nested_too_deep() -> None:
    assert shaped(doc(nested(98)).encode(), Source.PROSEMIRROR, Shape.TIPTAP).nodes
    assert code_of(doc(nested(101)), Source.PROSEMIRROR) == "too_deep"
    assert code_of("[" * 100_000, Source.PROSEMIRROR) == "too_deep"
    value: Any = 1
    for _ in range(102):
        value = [value]
    assert code_of(doc({"type": "p", "attrs": {"a": value}}), Source.PROSEMIRROR) == "too_deep"
    many = [{"type": "p"}] * (MAX_NODES + 1)
    assert code_of(doc(*many), Source.PROSEMIRROR) == "too_many_nodes"


@pytest.mark.rule("EX7")
def test_what_a_document_of_prosemirror_keeps() -> None:
    comment = [{"type": "comment", "attrs": {"id": number}} for number in (1, 2)]
    text = doc(
        {
            "type": "any:name",
            "attrs": {"n": None, "o": {"$x": [1.5, "ü"]}, "b": False},
            "content": [
                {"type": "text", "text": "a", "marks": [*comment, {"type": "bold"}]},
                {"type": "text", "text": "b", "attrs": None, "marks": None},
                {"type": "leaf", "marks": [{"type": "link"}]},
                {"type": "text", "text": "c"},
            ],
        },
        attrs={"x": 1},
    )
    read = shaped(text.encode(), Source.PROSEMIRROR, Shape.PROSEMIRROR)
    assert read.left_out == ["attrs of the document", "marks of leaf"]
    assert read.nodes is not None
    (node,) = read.nodes
    assert (node["$xml"], node["attrs"]) == ("any:name", {"o": {"$$x": [1.5, "ü"]}, "b": False})
    first, leaf, last = node["children"]
    marked, plain = first["$xmltext"]
    assert sorted(marked["attributes"].values(), key=str) == sorted([{"id": 1}, {"id": 2}, {}], key=str)
    assert [name[:9] for name in marked["attributes"]] == ["comment--", "comment--", "bold"]
    assert (plain, leaf["$xml"], last["$xmltext"]) == (
        {"insert": "b", "attributes": {}},
        "leaf",
        [{"insert": "c", "attributes": {}}],
    )


def test_kinds() -> None:
    """What is read is settled: a list holds items."""
    assert [child.kind for child in read_html("<ul>a</ul>").children if isinstance(child, Block)] == [Kind.BULLETS]
