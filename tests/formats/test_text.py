"""Plain text, and what all formats read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cowrite.formats import to_html, to_markdown, to_text
from formats.states import Json, delta, element, paragraph, text, tree
from timing import MS

TIPTAP: dict[str, Json] = json.loads((Path(__file__).parent / "tiptap.json").read_text())
"""What a Tiptap editor with y-tiptap 3 writes, read by the engine."""

FORMATS = [to_text, to_html, to_markdown]


@pytest.mark.rule("FO7")
def test_a_tiptap_document() -> None:
    """Each paragraph and item is a line; the text of code has its own."""
    assert to_text(TIPTAP) == (
        "Meeting notes #3\nWe met yesterday and decided to ship, see the plan.\nFirst line\n2. second line, with snake_case() "
        "and old new\nApples\nPears\nConference\nWilliams\nWrite *it*\nSend it\nLess is more.\n> really\n"
        'def f():\n    return "```"\n\n\n5 < 6 & a_b'
    )


@pytest.mark.rule("FO1")
def test_roots() -> None:
    """With a blank line between; empty ones leave no gap; one that is not there is empty."""
    state = tree(paragraph("a")) | {"empty": {"$text": []}, "z": {"$text": [{"insert": "b\n"}]}}
    assert to_text(state) == "a\n\nb"
    assert to_markdown(state) == "a\n\nb"
    assert to_text(state, "z") == to_markdown(state, "z") == "b\n"
    assert to_html(state) == '<p>a</p>\n<p style="white-space: pre-wrap"></p>\n<p style="white-space: pre-wrap">b<br></p>'
    assert [form(state, "none") for form in FORMATS] == [form({}) for form in FORMATS] == ["", "", ""]


@pytest.mark.rule("FO7")
def test_what_is_a_line() -> None:
    """Rows with tabs, entries of maps with their key; leaves between blocks; what is embedded is left out."""
    cell = element("tableCell", paragraph("b"), paragraph("c"))
    table = element("table", element("tableRow", element("tableCell", paragraph("a")), cell))
    loose = element("callout", text("x"), paragraph("y"), text("z"))
    image = element("paragraph", text("i"), element("image", src="/a.png"), element("mention", id="7", label="Ann"))
    assert to_text(tree(table, loose, element("horizontalRule"), image)) == "a\tb c\nx\ny\nz\ni@Ann"
    values = {"a": 1, "b": [True, {"$number": "NaN"}], "c": {"$$ref": None}, "d": {"$bin": "AA=="}, "e": {"$doc": "x"}, "f": []}
    assert to_text({"m": {"$map": values}}) == "a: 1\nb:\ntrue\nNaN\nc: $ref: null\nd:\ne:\nf:"
    assert to_text({"m": {"$array": ["x\ny", 2.5, {"$text": [{"insert": "t\n"}]}]}}) == "x\ny\n2.5\nt"


@pytest.mark.rule("FO5")
def test_characters() -> None:
    """Every kind of line end breaks a line; what no page can show is U+FFFD; plain text is what it is."""
    state = tree(paragraph("a\r\nb\rc\nd\0\ufffe\U0001ffff\x85\t"))
    assert to_text(state) == "a\nb\nc\nd\ufffd\ufffd\ufffd\ufffd\t"
    assert to_html(state) == "<p>a<br>b<br>c<br>d\ufffd\ufffd\ufffd\ufffd\t</p>"
    plain = "# A\r\n\n* <b>\0 "
    assert to_text(delta(plain)) == to_markdown(delta(plain)) == plain
    assert to_html(delta(plain)) == '<p style="white-space: pre-wrap"># A<br><br>* &lt;b&gt;\ufffd </p>'


@pytest.mark.rule("FO4")
@pytest.mark.parametrize("name", ["blockquote", "unknown", "bulletList", "table", "paragraph", "codeBlock"])
def test_deep_trees(name: str) -> None:
    """No format recurses."""
    node = paragraph("deep")
    for _ in range(1500):
        node = element(name, node)
    assert to_text(tree(node)) == "deep"
    assert ">deep<" in to_html(tree(node))
    assert "deep" in to_markdown(tree(node))


@pytest.mark.rule("FO4")
def test_deep_values() -> None:
    """Nor do they over maps, arrays and texts in texts."""
    value: Json = "deep"
    for _ in range(300):
        value = {
            "$array": [
                {"$map": {"k": {"$text": [{"embed": {"$xmltext": [{"embed": {"$xml": "p", "attrs": {}, "children": []}}]}}]}}},
                value,
            ]
        }
    for form in FORMATS:
        assert "deep" in form({"root": value})


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.large
def test_large_documents_are_quick(form: Callable[[dict[str, Json]], str]) -> None:
    """A megabyte takes no second, however many pieces it has."""
    sentence = paragraph("Some text that ", ("is bold", {"bold": {}}), " and then goes on for a while, with no end in sight.")
    state = tree(*[sentence] * 4500)
    assert len(json.dumps(state)) > 1_000_000
    begun = time.process_time()
    form(state)
    assert time.process_time() - begun < 1000 * MS
