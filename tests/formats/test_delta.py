"""Quill's deltas."""

from __future__ import annotations

import pytest

from cowrite.formats import to_html, to_markdown, to_text
from formats.states import Json, delta

QUILL = delta(
    "Shopping",
    ("\n", {"header": 2, "align": "center"}),
    "For ",
    ("Sunday", {"bold": True, "color": "#e60000"}),
    ": see ",
    ("list", {"link": "https://a.b/c"}),
    "\nApples",
    ("\n", {"list": "bullet"}),
    "Conference",
    ("\n", {"list": "ordered", "indent": 1}),
    "Williams",
    ("\n", {"list": "ordered", "indent": 1}),
    "Flour",
    ("\n", {"list": "bullet"}),
    "paid",
    ("\n", {"list": "checked"}),
    "carried",
    ("\n", {"list": "unchecked"}),
    "Wise words",
    ("\n", {"blockquote": True}),
    "of two lines",
    ("\n", {"blockquote": True}),
    "x = 1",
    ("\n\n", {"code-block": "python"}),
    "y",
    ("\n", {"code-block": "python"}),
    {"embed": {"image": "https://a.b/c.png"}, "attributes": {"alt": "C", "link": "/full"}},
    {"embed": {"formula": "e=mc^2"}},
    ("\n", {"indent": 2}),
    {"embed": {"video": "https://v.w/x"}},
    "end\n",
)


@pytest.mark.rule("FO2", "FO6")
def test_a_quill_document() -> None:
    """In all three formats."""
    assert to_html(QUILL) == (
        '<h2 style="text-align: center">Shopping</h2><p>For <strong><span style="color: #e60000">Sunday</span></strong>: see '
        '<a href="https://a.b/c" rel="noopener noreferrer nofollow">list</a></p>'
        "<ul><li>Apples<ol><li>Conference</li><li>Williams</li></ol></li><li>Flour</li></ul>"
        '<ul data-type="taskList"><li data-checked="true"><input type="checkbox" disabled checked>paid</li>'
        '<li data-checked="false"><input type="checkbox" disabled>carried</li></ul>'
        "<blockquote><p>Wise words</p><p>of two lines</p></blockquote>"
        '<pre><code class="language-python">x = 1\n\ny</code></pre><p style="padding-left: 6em">'
        '<a href="/full" rel="noopener noreferrer nofollow"><img src="https://a.b/c.png" alt="C"></a>'
        '<code>e=mc^2</code></p><p><a href="https://v.w/x" rel="noopener noreferrer nofollow">https://v.w/x</a></p><p>end</p>'
    )
    assert to_markdown(QUILL) == (
        "## Shopping\n\nFor **Sunday**: see [list](https://a.b/c)\n\n- Apples\n  1. Conference\n  2. Williams\n- Flour\n\n"
        "+ [x] paid\n+ [ ] carried\n\n> Wise words\n>\n> of two lines\n\n```python\nx = 1\n\ny\n```\n\n"
        "[![C](https://a.b/c.png)](/full)`e=mc^2`\n\n[https://v.w/x](https://v.w/x)\n\nend"
    )
    assert to_text(QUILL) == (
        "Shopping\nFor Sunday: see list\nApples\nConference\nWilliams\nFlour\npaid\ncarried\nWise words\nof two lines\n"
        "x = 1\n\ny\ne=mc^2\nhttps://v.w/x\nend"
    )


@pytest.mark.rule("FO6")
def test_lists_nest_by_indent() -> None:
    """Back to the list that is open at that indent; a list of another kind is another list."""
    lines: list[tuple[str, dict[str, Json]]] = [
        ("a\n", {"list": "bullet", "indent": 1}),
        ("b\n", {"list": "bullet", "indent": 3}),
        ("c\n", {"list": "bullet", "indent": 2}),
        ("d\n", {"list": "bullet", "indent": 1}),
        ("e\n", {"list": "ordered"}),
        ("f\n", {"list": "bullet"}),
        ("g\n", {"list": {"not": "known"}, "header": False}),
        ("h\n", {"list": "bullet"}),
    ]
    assert to_html(delta(*lines)) == (
        "<ul><li>a<ul><li>b</li></ul><ul><li>c</li></ul></li><li>d</li></ul><ol><li>e</li></ol><ul><li>f</li></ul>"
        "<p>g</p><ul><li>h</li></ul>"
    )


@pytest.mark.rule("FO3", "FO6")
def test_what_is_embedded() -> None:
    """Shared types are blocks of their own; what is not known shows nothing; code of two languages is two blocks."""
    nested = {"$xmltext": [{"insert": "in"}, {"embed": {"$map": {"a": 1}}}, {"embed": 7}], "attrs": {}}
    state = delta("a", {"embed": nested}, "b", {"embed": {"video": "javascript:x"}}, {"embed": {"image": "x:y"}}, {"embed": {}})
    objects = '<span data-type="$map"></span><span data-type=""></span>'
    assert to_html(state) == (
        f'<p>a</p><div data-type="paragraph">in{objects}</div><p>b</p><p><span data-type="video"></span></p>'
        '<p><span data-type="image"></span><span data-type=""></span></p>'
    )
    assert to_text(state) == "a\nin\nb\n\n"
    code = delta("a", ("\n", {"code-block": "plain"}), "b", ("\n", {"code-block": "c"}), {"embed": {"formula": None}})
    assert to_markdown(code) == "```\na\n```\n\n```c\nb\n```"
