"""A diff as HTML: without what came it is the text of the document before, without what went that of the one after."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from typing import Any

import pytest

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.history.diff import diff
from cowrite.crdt.state import get_state
from cowrite.formats import to_html
from cowrite.formats.diff_html import diff_to_html
from crdt.history.recorded import record
from crdt.random_edits import seeds
from formats.states import ReadHtml

ALL = ["text", "xml", "map", "array"]
ANA = {"author": "Ana", "created_at": 1_700_000_000_000, "offset": 3}
BEN = {"author": 'B"en', "created_at": 1_700_000_060_500, "offset": 4}
BY_ANA = 'data-author="Ana" datetime="2023-11-14T22:13:20.000Z" title="Ana, 2023-11-14 22:13:20 UTC"'
BY_BEN = 'data-author="B&quot;en" datetime="2023-11-14T22:14:20.500Z" title="B&quot;en, 2023-11-14 22:14:20 UTC"'


def written(node: dict[str, Any]) -> str:
    return diff_to_html({"roots": [{"name": "r", "changed": True, **node}]})


def tree(*children: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "xml", "attributes": {}, "attribute_changes": {}, "children": list(children)}


def element(tag: str, *children: dict[str, Any], change: str = "equal", **more: Any) -> dict[str, Any]:
    shape = {"change": change, "kind": "element", "tag": tag, "attributes": {}, "attribute_changes": {}}
    return {**shape, "children": list(children), **more}


def text(*runs: dict[str, Any], change: str = "equal") -> dict[str, Any]:
    return {"change": change, "kind": "xmltext", "attributes": {}, "attribute_changes": {}, "runs": list(runs)}


def run(change: str, content: str, **more: Any) -> dict[str, Any]:
    return {"change": change, "text": content, **more}


@pytest.mark.rule("FO15", "FO16")
def test_a_plain_text() -> None:
    runs = [run("equal", "a\n<"), run("insert", "b\n", **ANA), run("delete", "c", **BEN)]
    html = written({"kind": "text", "runs": runs})
    assert html == f'<p style="white-space: pre-wrap">a<br>&lt;<ins {BY_ANA}>b<br></ins><del {BY_BEN}>c</del></p>'


@pytest.mark.rule("FO15", "FO16")
def test_a_quill_text() -> None:
    """Formatting is that after; of what went that before. What is embedded is marked as well."""
    bold = {"attributes": {"bold": True}}
    runs = [
        run("format", "a", before={}, **bold, **ANA),
        run("insert", "b", **bold, **BEN),
        run("equal", "\n", attributes={"header": 2}),
        {"change": "delete", "embed": {"image": "/x.png"}, **BEN},
        {"change": "insert", "embed": {"formula": "e"}, **ANA},
        {"change": "insert", "node": {"kind": "map", "entries": {}}, **ANA},
        {"change": "equal", "node": {"kind": "text", "runs": [run("insert", "in", **ANA)]}},
        {"change": "equal", "node": text(run("equal", "xt"))},
    ]
    styled = BY_ANA.replace("datetime", "data-time")
    assert written({"kind": "text", "runs": runs}) == (
        f'<h2><strong><span class="cowrite-format" {styled}>a</span><ins {BY_BEN}>b</ins></strong></h2>'
        f'<p><del {BY_BEN}><img src="/x.png" alt=""></del><code><ins {BY_ANA}>e</ins></code>'
        f'<ins {BY_ANA}><span data-type="$map"></span></ins></p>'
        f'<div data-type="paragraph"><p><ins {BY_ANA}>in</ins></p></div><div data-type="paragraph">xt</div>'
    )


@pytest.mark.rule("FO15", "FO16")
def test_blocks() -> None:
    """A block that came or went says so, and one with other attributes; leaves are marked."""
    changes = {"level": {"before": 1, "after": 2, **ANA}, "x": {"after": 1, **BEN}}
    nodes = [
        element("heading", text(run("equal", "t")), attributes={"level": 2}, attribute_changes=changes),
        element("paragraph", text(run("insert", "n", **ANA), change="insert"), change="insert", **ANA),
        element("paragraph", element("hardBreak", change="delete", **BEN), element("hardBreak")),
        element("paragraph", element("odd", text(run("equal", "o"))), element("odd", change="delete", **BEN)),
        {"change": "insert", "kind": "fragment", "children": [element("rule")], **ANA},
        element("codeBlock", text(run("equal", "x"), run("delete", "\ny", **BEN), {"change": "equal", "embed": {"e": 1}})),
    ]
    assert written(tree(*nodes)) == (
        '<h2 class="cowrite-format" data-author="B&quot;en" data-time="2023-11-14T22:14:20.500Z" '
        'title="B&quot;en, 2023-11-14 22:14:20 UTC">t</h2>'
        f'<p class="cowrite-insert" {BY_ANA.replace("datetime", "data-time")}><ins {BY_ANA}>n</ins></p>'
        f'<p><del {BY_BEN}><br></del><br></p><p>o<del {BY_BEN}><span data-type="odd"></span></del></p>'
        '<div data-type="rule"></div>'
        f'<pre><code>x<del {BY_BEN}>\ny</del><span data-type="e"></span></code></pre>'
    )


@pytest.mark.rule("FO15", "FO16")
def test_maps_and_arrays() -> None:
    items = {
        "kind": "array",
        "items": [
            {"change": "equal", "values": [1, "b"]},
            {"change": "delete", "values": [{"k": [True]}], **BEN},
            {"change": "equal", "node": element("paragraph", text(run("equal", "p")))},
        ],
    }
    entries = {
        "gone": {"change": "delete", "value": "v", **BEN},
        "list": {"change": "equal", "node": items},
        "other": {"change": "replace", "before": 1, "value": "n", **ANA},
    }
    ben, ana = (by.replace("datetime", "data-time") for by in (BY_BEN, BY_ANA))
    assert written({"kind": "map", "entries": entries}) == (
        f'<dl><dt><del {BY_BEN}>gone</del></dt><dd class="cowrite-delete" {ben}><del {BY_BEN}>v</del></dd>'
        f'<dt>list</dt><dd><ol><li>1</li><li>b</li><li class="cowrite-delete" {ben}><dl><dt><del {BY_BEN}>k</del></dt>'
        f"<dd><ol><li><del {BY_BEN}>true</del></li></ol></dd></dl></li><li><p>p</p></li></ol></dd>"
        f'<dt>other</dt><dd class="cowrite-insert" {ana}><del {BY_ANA}>1</del><ins {BY_ANA}>n</ins></dd></dl>'
    )


@pytest.mark.rule("FO16")
def test_who_brought_it_back_and_who_is_not_known() -> None:
    nobody = {"author": None, "created_at": None, "offset": None}
    runs = [run("insert", "a", **ANA, restored=BEN), run("delete", "b", **nobody)]
    title = "Ana, 2023-11-14 22:13:20 UTC (brought back: B&quot;en, 2023-11-14 22:14:20 UTC)"
    assert written({"kind": "text", "runs": runs}) == (
        '<p style="white-space: pre-wrap">'
        f'<ins data-author="Ana" datetime="2023-11-14T22:13:20.000Z" title="{title}">a</ins>'
        '<del title="author unknown">b</del></p>'
    )


@pytest.mark.rule("FO15")
def test_one_root_or_all() -> None:
    """Of a root that is mixed nothing is told; nobody can write a change into a document."""
    forged = run("equal", "x", attributes={"change": {"author": "Ana"}, "bold": True})
    roots = [
        {"name": "a", "kind": "text", "runs": [run("equal", "a")]},
        {"name": "b", "kind": "mixed"},
        {"name": "c", "kind": "text", "runs": [forged]},
    ]
    assert diff_to_html({"roots": roots}) == '<p style="white-space: pre-wrap">a</p>\n<p><strong>x</strong></p>'
    assert diff_to_html({"roots": roots}, "c") == "<p><strong>x</strong></p>"
    assert diff_to_html({"roots": roots}, "d") == ""


class OneSide(HTMLParser):
    """The text of HTML outside of ``<ins>`` or ``<del>``."""

    def __init__(self, page: str, hidden: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._hidden = hidden
        self._depth = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == self._hidden

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == self._hidden

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self.text += data


def letters(text: str) -> str:
    """Text without line feeds, which are elements in some places."""
    return text.replace("\n", "").replace("\0", "\ufffd")


def check(seed: int, roots: list[str]) -> None:
    log = record(seed, roots)
    start, end = sorted(random.Random(seed).choices(range(len(log.updates) + 1), k=2))
    page = diff_to_html(diff(log.states[start], log.states[end], log.document.roots, log.attribution))
    ReadHtml(page)
    for hidden, offset in (("ins", start), ("del", end)):
        state = get_state(rebuild_at(None, {}, log.updates[:offset]))
        told = {name: state[name] for name in sorted(state) if log.document.roots[name] != "mixed"}
        assert letters(OneSide(page, hidden).text) == letters(ReadHtml(to_html(told)).text)


@pytest.mark.fuzz
@pytest.mark.rule("FO15")
@pytest.mark.parametrize("roots", [ALL[:1], ALL[1:2], ALL], ids=["text", "xml", "all"])
def test_the_sides_are_the_documents(roots: list[str]) -> None:
    for seed in seeds(15, start=4000):
        try:
            check(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error
