"""The rules of the specification and the tests that prove them: a test cites the id of its rule in a mark or in its title."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "spec" / "SPEC.md", *sorted((ROOT / "spec" / "parts").glob("*.md"))]
PYTHON_TESTS = [
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "src" / "cowrite" / "testing").rglob("*.py")),  # the contract suites
]
PAGE_TESTS = sorted((ROOT / "clients" / "web" / "test").rglob("*.test.ts"))
RULE = re.compile(r"^- \*\*([A-Z]{2}\d+)\*\* (?=\S)", re.MULTILINE)
MARK = re.compile(r"\bmark\.rule\(([^()]*)\)")
TITLE = re.compile(r"\b(?:describe|test|it)\(\s*['\"`]\[([^\]]*)\]")
ID = re.compile(r"\b[A-Z]{2}\d+\b")


def ids_of_rules() -> list[str]:
    return [rule for page in PAGES for rule in RULE.findall(page.read_text())]


def cited_ids() -> dict[str, Path]:
    citing = [(test, MARK) for test in PYTHON_TESTS] + [(test, TITLE) for test in PAGE_TESTS]
    return {rule: test for test, mark in citing for text in mark.findall(test.read_text()) for rule in ID.findall(text)}


def test_rules_have_ids_of_their_own() -> None:
    """No id is given to two rules."""
    assert [rule for rule, count in Counter(ids_of_rules()).items() if count > 1] == []


def test_every_rule_has_a_test() -> None:
    """Every rule of the specification is cited by a test."""
    assert sorted(set(ids_of_rules()) - cited_ids().keys()) == []


def test_every_cited_rule_exists() -> None:
    """A test cites rules that the specification has."""
    assert {rule: str(test.relative_to(ROOT)) for rule, test in cited_ids().items() if rule not in ids_of_rules()} == {}


def test_ids_stand_for_rules_only() -> None:
    """What looks like a rule in the specification is read as one: an id in bold begins a list item with a text."""
    bold = [rule for page in PAGES for rule in re.findall(r"\*\*([A-Z]{2}\d+)\*\*", page.read_text())]
    assert sorted(bold) == sorted(ids_of_rules())
    assert len(bold) > 20
