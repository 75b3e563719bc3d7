"""HTML."""

from __future__ import annotations

from typing import Any

import pytest

from cowrite.formats import to_html
from formats.states import Json, ReadHtml, element, paragraph, text, tree
from formats.test_text import TIPTAP


@pytest.mark.rule("FO2", "FO8")
def test_a_tiptap_document() -> None:
    """The elements that Tiptap itself would write."""
    assert to_html(TIPTAP, "default") == (
        "<h1>Meeting notes #3</h1><p>We met <strong>yesterday <em>and </em></strong><em>decided</em> to ship, see "
        '<a href="https://example.org/plan_(v2)?a=1&amp;b=2" rel="noopener noreferrer nofollow">the plan</a>.</p>'
        "<p>First line<br>2. second line, with <code>snake_case()</code> and <s>old</s> <u>new</u></p>"
        '<ul><li><p>Apples</p></li><li><p>Pears</p><ol start="3"><li><p>Conference</p></li><li><p>Williams</p></li></ol>'
        "</li></ul>"
        '<ul data-type="taskList"><li data-checked="true"><input type="checkbox" disabled checked><p>Write *it*</p></li>'
        '<li data-checked="false"><input type="checkbox" disabled><p>Send it</p></li></ul>'
        "<blockquote><p>Less is more.</p><p>&gt; really</p></blockquote>"
        '<pre><code class="language-python">def f():\n    return "```"\n</code></pre><hr><p></p><p>5 &lt; 6 &amp; a_b</p>'
    )


@pytest.mark.rule("FO8")
@pytest.mark.parametrize(
    ("node", "written"),
    [
        (element("heading", text("t"), level=3.0, textAlign="center"), '<h3 style="text-align: center">t</h3>'),
        (element("heading", text("t"), level=True), "<h1>t</h1>"),
        (element("heading", text("t"), level="9"), "<h6>t</h6>"),
        (element("image", src="/a.png", alt='"a"\n b', title="t"), '<img src="/a.png" alt="&quot;a&quot; b" title="t">'),
        (element("code_block", text("<"), params="c++"), '<pre><code class="language-c++">&lt;</code></pre>'),
        (element("codeBlock", text("x"), language='"><b>'), "<pre><code>x</code></pre>"),
        (element("ordered_list", element("list_item", paragraph("x")), order=0), '<ol start="0"><li><p>x</p></li></ol>'),
        (
            element(
                "table", element("tableRow", element("tableHeader", colspan=2, rowspan=None), element("tableCell", rowspan=3))
            ),
            '<table><tbody><tr><th colspan="2"></th><td rowspan="3"></td></tr></tbody></table>',
        ),
        (element("paragraph", element("mention", label="Ann", mentionSuggestionChar="#")), "<p>#Ann</p>"),
        (element("mention"), '<div data-type="mention"></div>'),
    ],
)
def test_nodes(node: Json, written: str) -> None:
    """What is checked in them has a default."""
    assert to_html(tree(node)) == written


@pytest.mark.rule("FO2", "FO8")
@pytest.mark.parametrize(
    ("marks", "written"),
    [
        ({"strong": {}, "em": {}}, "<strong><em>x</em></strong>"),
        ({"subscript": {}}, "<sub>x</sub>"),
        ({"superscript": {}}, "<sup>x</sup>"),
        ({"script": "sub"}, "<sub>x</sub>"),
        ({"highlight": {}}, "<mark>x</mark>"),
        ({"highlight--aB3+/0==": {"color": "#ff0"}}, '<mark style="background-color: #ff0">x</mark>'),
        ({"background": "rgba(1, 2, 3, 0.5)"}, '<mark style="background-color: rgba(1, 2, 3, 0.5)">x</mark>'),
        ({"textStyle": {"color": "red", "fontSize": "9em"}}, '<span style="color: red">x</span>'),
        ({"color": "hsl(120deg 100% 50% / 20%)"}, '<span style="color: hsl(120deg 100% 50% / 20%)">x</span>'),
        ({"link": {"href": "#a", "title": "T"}}, '<a href="#a" title="T" rel="noopener noreferrer nofollow">x</a>'),
        ({"bold": False, "italic": None, "comment--aB3+/0==": {"id": 1}}, "x"),
    ],
)
def test_marks(marks: dict[str, Json], written: str) -> None:
    """ProseMirror's and Quill's, alone or overlapping."""
    assert to_html(tree(paragraph(("x", marks)))) == f"<p>{written}</p>"


@pytest.mark.rule("FO8")
def test_marks_go_on() -> None:
    """A mark that goes on over several pieces, and over a break, is one element."""
    line = paragraph(("a\n", {"bold": {}}), ("b", {"bold": {}, "code": {}}), ("c", {"bold": {}, "link": {"href": "/"}}))
    assert to_html(tree(line)) == (
        '<p><strong>a<br><code>b</code></strong><a href="/" rel="noopener noreferrer nofollow"><strong>c</strong></a></p>'
    )


@pytest.mark.rule("FO9")
@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", " JavaScript:x", "java\nscript:x", "\x01javascript:x", "\u00a0javascript:x", "vbscript:x"),
        *("data:text/html,x", "file:///etc", "blob:x", "", " ", None, 7, {"href": "http://a"}),
    ],
)
def test_bad_addresses(address: Any) -> None:
    """Are dropped; the text stays, an image does not."""
    line = paragraph(("x", {"link": {"href": address}}))
    assert to_html(tree(line)) == "<p>x</p>"
    assert "<img" not in to_html(tree(element("image", src=address)))


@pytest.mark.rule("FO9")
@pytest.mark.parametrize(
    "address",
    ["https://a.b", "HTTP://a", "mailto:a@b", "tel:+1", "/a:b", "a/b", "?q=a:b", "#a:b", "//a.b/c", "javascript&colon;x"],
)
def test_good_addresses(address: str) -> None:
    """Lead where they lead."""
    page = ReadHtml(to_html(tree(paragraph(("x", {"link": {"href": address}})), element("image", src=address))))
    assert dict(page.tags)["a"]["href"] == dict(page.tags)["img"]["src"] == address


@pytest.mark.rule("FO9")
def test_pictures_in_addresses() -> None:
    """Those that are pixels, in images only."""
    good, bad = "data:image/png;base64,iVBORw0=", "data:image/svg+xml;base64,iVBORw0="
    assert to_html(tree(element("image", src=good))) == f'<img src="{good}" alt="">'
    assert to_html(tree(element("image", src=bad))) == '<div data-type="image"></div>'
    assert to_html(tree(paragraph(("x", {"link": {"href": good}})))) == "<p>x</p>"


@pytest.mark.rule("FO9")
@pytest.mark.parametrize(
    "colour", ["url(x)", "red;x:y", "expression(1)", "#12345", "rgb(1,2)", "var(--a)", "", 7, None, "rgb(1" + " " * 100_000]
)
def test_bad_colours(colour: Any) -> None:
    """Are dropped."""
    assert to_html(tree(paragraph(("x", {"textStyle": {"color": colour, "backgroundColor": colour}})))) == "<p>x</p>"


@pytest.mark.rule("FO10")
def test_unknown_things() -> None:
    """Blocks by themselves, within text in the text."""
    inner = element("paragraph", text("a"), element("emoji", name="x"), element("note", text("b"), element("hardBreak")))
    node = element('call"out', inner, element("youtube", src="https://a"))
    assert to_html(tree(node)) == (
        '<div data-type="call&quot;out"><p>a<span data-type="emoji"></span>b<br></p><div data-type="youtube"></div></div>'
    )


@pytest.mark.rule("FO3")
@pytest.mark.parametrize(
    ("node", "written"),
    [
        (element("bulletList", paragraph("a"), text("b")), "<ul><li><p>a</p>b</li></ul>"),
        (element("listItem", text("a")), '<div data-type="listItem">a</div>'),
        (element("table", text("a")), "<table><tbody><tr><td>a</td></tr></tbody></table>"),
        (element("tableRow", text("a")), '<div data-type="tableRow"><td>a</td></div>'),
        (element("paragraph", element("bulletList")), '<div data-type="paragraph"><ul></ul></div>'),
        (element("horizontalRule", text("a")), '<div data-type="horizontalRule">a</div>'),
        (element("hardBreak", text("a")), '<div data-type="hardBreak">a</div>'),
        (element("codeBlock", paragraph("a"), paragraph(("b", {"bold": {}}))), "<pre><code>a\nb</code></pre>"),
        (element("bulletList", element("taskItem", text("a"), checked=True)), "<ul><li>a</li></ul>"),
    ],
)
def test_out_of_place(node: Json, written: str) -> None:
    """What no schema allows becomes what can be written, with its text."""
    assert to_html(tree(node)) == written


@pytest.mark.rule("FO8")
def test_maps_and_arrays() -> None:
    """Definition lists and ordered lists, with everything in them."""
    state = {"m": {"$map": {"a": {"$array": ["<", {"$text": [{"insert": "t\n"}]}]}, "$$b": {"c": None}, "d": {"$doc": "x"}}}}
    assert to_html(state) == (
        "<dl><dt>a</dt><dd><ol><li>&lt;</li><li><p>t</p></li></ol></dd><dt>$b</dt><dd><dl><dt>c</dt><dd>null</dd></dl></dd>"
        '<dt>d</dt><dd><span data-type="doc"></span></dd></dl>'
    )
