"""A diff as plain text."""

from __future__ import annotations

from typing import Any

import pytest

from cowrite.formats.diff_text import diff_to_text

ANA = {"author": "ana", "created_at": 1, "offset": 1}


def root(kind: str = "text", *, changed: bool = True, **parts: Any) -> dict[str, Any]:
    return {"name": "body", "kind": kind, "changed": changed, **parts}


def told(**parts: Any) -> str:
    return diff_to_text([root(**parts)]).removeprefix("root 'body':\n")


@pytest.mark.rule("FO17")
def test_what_came_and_went_and_whose_it_is() -> None:
    runs = [
        {"change": "equal", "text": "Hello "},
        {"change": "delete", "text": "world", **ANA, "author": "bo"},
        {"change": "insert", "text": "there", **ANA},
        {"change": "format", "text": "!", "attributes": {"bold": True}, "before": {}, **ANA, "author": None},
    ]
    assert told(runs=runs) == "Hello [-world-] (bo){+there+} (ana){~! bold~}"


@pytest.mark.rule("FO17")
def test_which_formats_came_and_went() -> None:
    before = {"bold": True, "link": "a", "size": 3}
    runs = [{"change": "format", "text": "x", "attributes": {"link": "b\x1b", "size": 3, "em": True}, "before": before, **ANA}]
    assert told(runs=runs) == '{~x -bold link="b\\u001b" em~} (ana)'


@pytest.mark.rule("FO17")
def test_what_stayed_is_cut_down_to_what_stands_around_a_change() -> None:
    change = {"change": "insert", "text": "x", **ANA}
    long = "a" * 50 + "b" * 50
    assert told(runs=[{"change": "equal", "text": long}, change, {"change": "equal", "text": long}, change]) == (
        "…" + "b" * 40 + "{+x+} (ana)" + "a" * 40 + "…" + "b" * 40 + "{+x+} (ana)"
    )


@pytest.mark.rule("FO17")
def test_colours() -> None:
    runs = [{"change": "insert", "text": "x", **ANA}]
    assert diff_to_text([root(runs=runs)], colours=True) == "root 'body':\n\x1b[32m{+x+} (ana)\x1b[0m"


@pytest.mark.rule("FO17")
def test_embeds_items_and_entries() -> None:
    assert told(runs=[{"change": "insert", "embed": {"image": 1}, **ANA}]) == '{+{"image": 1}+} (ana)'
    items = [{"change": "equal", "values": [0]}, {"change": "delete", "values": [1, "ä"], **ANA}]
    assert told(kind="array", items=items) == '[0]\n[-[1, "ä"]-] (ana)'
    entries = {
        "a": {"change": "replace", "before": 1, "value": 2, **ANA},
        "b": {"change": "insert", "node": {"kind": "text", "runs": [{"change": "insert", "text": "x", **ANA}]}, **ANA},
    }
    assert told(kind="map", entries=entries) == "a: [-1-] (ana){+2+} (ana)\nb: {+{+x+} (ana)+} (ana)"


@pytest.mark.rule("FO17")
def test_nodes_that_have_changed() -> None:
    plain = {"change": "equal", "kind": "element", "tag": "p", "children": [], "attributes": {}, "attribute_changes": {}}
    level = {"level": {"before": 1, "after": 2, **ANA}, "id": {"after": "x", **ANA}}
    children = [
        plain,
        {**plain, "tag": "h", "attribute_changes": level},
        {**plain, "children": [{"change": "equal", "kind": "xmltext", "runs": [{"change": "insert", "text": "x", **ANA}]}]},
        {**plain, "change": "insert", **ANA, "children": [{"change": "insert", "kind": "xmltext", "runs": [], **ANA}]},
    ]
    assert told(kind="xml", children=children).splitlines() == [
        "level: [-1-] (ana){+2+} (ana)",
        'id: {+"x"+} (ana)',
        "{+x+} (ana)",
        "{+<p> {+<xmltext>+} (ana)+} (ana)",
    ]


@pytest.mark.rule("FO17")
def test_what_others_wrote_is_no_command_for_the_terminal() -> None:
    runs = [{"change": "insert", "text": "a\x1b]0;me\x07\x9b\r\u202e\tb\n", **ANA, "author": "\x1b[2J"}]
    assert told(runs=runs) == "{+a\\x1b]0;me\\x07\\x9b\\r\\u202e\tb\n+} (\\x1b[2J)"
    assert told(kind="map", entries={"\x1b": {"change": "insert", "value": "\x9b", **ANA}}) == '\\x1b: {+"\\x9b"+} (ana)'


@pytest.mark.rule("FO17")
def test_nothing_has_changed() -> None:
    assert diff_to_text([root(changed=False, runs=[{"change": "equal", "text": "x"}])]) == "nothing has changed"
