"""The rules of the specification and the tests that prove them: a test cites the id of its rule in a mark or in its title."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "spec" / "SPEC.md", *sorted((ROOT / "spec" / "parts").glob("*.md"))]
PYTHON_TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
SUITES = sorted((ROOT / "src" / "cowrite" / "testing").rglob("*.py"))
"""Contract suites: their classes are no tests until a class of a test file inherits from them."""
TYPESCRIPT_TESTS = sorted(test for client in ("js", "web") for test in (ROOT / "clients" / client / "test").rglob("*.test.ts"))
RULE = re.compile(r"^- \*\*([A-Z]{2}\d+)\*\* (?=\S)", re.MULTILINE)
TITLE = re.compile(r"^\s*(?:describe|test|it)(?:\.each\([^`]*?\))?\(\s*['\"`]\[([^\]]*)\]", re.MULTILINE)
ID = re.compile(r"\b[A-Z]{2}\d+\b")


@cache
def ids_of_rules() -> tuple[str, ...]:
    return tuple(rule for page in PAGES for rule in RULE.findall(page.read_text()))


@cache
def module(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def classes(files: list[Path]) -> dict[str, ast.ClassDef]:
    return {node.name: node for file in files for node in module(file).body if isinstance(node, ast.ClassDef)}


def bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def suites_that_run() -> dict[str, ast.ClassDef]:
    """The contract suites that a test class inherits from, themselves or by another suite."""
    suites = classes(SUITES)
    wanted = [base for name, node in classes(PYTHON_TESTS).items() if name.startswith("Test") for base in bases(node)]
    run: dict[str, ast.ClassDef] = {}
    while wanted:
        name = wanted.pop()
        if name in suites and name not in run:
            run[name] = suites[name]
            wanted += bases(suites[name])
    return run


def marks(body: list[ast.stmt], *, collected: tuple[str, ...] = ()) -> Iterator[str]:
    """The rules that tests in a module or class cite: in decorators of what pytest collects, and in ``pytestmark``."""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name("pytestmark")]):
                yield from ids_in([node.value])
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test_"):
                yield from ids_in(node.decorator_list)
            case ast.ClassDef() if node.name.startswith("Test") or node.name in collected:
                yield from ids_in(node.decorator_list)
                yield from marks(node.body)


def ids_in(expressions: list[ast.expr]) -> Iterator[str]:
    """The arguments of each ``pytest.mark.rule(…)``."""
    for expression in expressions:
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rule":
                yield from (str(ast.literal_eval(argument)) for argument in node.args)


@cache
def cited_ids() -> dict[str, Path]:
    cited = {rule: test for test in PYTHON_TESTS for rule in marks(module(test).body)}
    suites = tuple(suites_that_run())
    cited |= {rule: suite for suite in SUITES for rule in marks(module(suite).body, collected=suites)}
    titles = {test: TITLE.findall(test.read_text()) for test in TYPESCRIPT_TESTS}
    return cited | {rule: test for test, found in titles.items() for title in found for rule in ID.findall(title)}


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


def test_every_contract_suite_runs() -> None:
    """What a contract suite promises is proved by an implementation that runs it."""
    suites = {name for name in classes(SUITES) if name.endswith("Contract")}
    assert len(suites) > 5
    assert sorted(suites - suites_that_run().keys()) == []


def test_citations_are_of_tests() -> None:
    """A mark in a comment, in a text, or on what pytest does not collect cites nothing."""
    source = """
# @pytest.mark.rule("AA1")
TEXT = 'pytest.mark.rule("AA2")'
pytestmark = [pytest.mark.slow, pytest.mark.rule("AA3")]

@pytest.mark.rule("AA4")
def helper(): ...

@pytest.mark.rule("AA5", "AA6")
async def test_something(): ...

@pytest.mark.rule("AA7")
class SomeContract:
    def test_other(self): ...

class TestSome:
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.rule("AA8"))])
    def test_more(self, x): ...
"""
    body = ast.parse(source).body
    assert list(marks(body)) == ["AA3", "AA5", "AA6", "AA8"]
    assert list(marks(body, collected=("SomeContract",))) == ["AA3", "AA5", "AA6", "AA7", "AA8"]
