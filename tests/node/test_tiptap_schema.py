"""What was imported, read by Tiptap's own binding with Tiptap's own schema: it deletes what that does not allow."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from random import Random

import pytest

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.formats import to_html
from cowrite.formats.shapes import Shape, Source
from cowrite.formats.shapes.nodes import TIPTAP
from cowrite.formats.shaping import shaped
from crdt.random_edits import seeds
from formats.random_trees import RandomTree
from formats.states import tree
from node_program import node

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "clients" / "web"
DOCS = HERE.parents[1] / "docs" / "exchange.md"
EMPTY = b"\0\0"

TASKS = """- [ ] a

  more of a
  - [x] b
    - [ ] c
  - [ ] d

  e
- [x] f
  1. g
  - [ ] h

  > i

  ```
  j
  ```
- [ ] ***
"""
MARKS = "[`a()`](http://x.y) **b `c` *d `e`*** ~~`f`~~ <u>g `h`</u>\n\n# **i `j`**"


def update_of(source: str, form: Source) -> bytes:
    nodes = shaped(source.encode(), form, Shape.TIPTAP).nodes
    draft = OperationDraft(OperationType.INSERT, ("default", 0), content=list(nodes or ()))
    update = apply_operations(EMPTY, {}, [draft], client_id=1)
    assert update is not None
    return update


def read_by_tiptap(*updates: bytes) -> dict[str, list[str]]:
    given = json.dumps([base64.b64encode(update).decode() for update in updates])
    command = [node(), str(HERE / "tiptap_schema.mjs"), str(PAGE)]
    answer = subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(answer))


@pytest.mark.rule("EX3")
def test_tiptap_keeps_all_that_was_imported() -> None:
    """Tasks with anything in them, code with any marks, and random documents, as far as StarterKit has names for them."""
    sources = [(TASKS, Source.MARKDOWN), (MARKS, Source.MARKDOWN)]
    pages = [to_html(tree(*RandomTree(Random(seed)).state)) for seed in seeds(60)]
    sources += [(page, Source.HTML) for page in pages if page and "<table" not in page]
    told = read_by_tiptap(*(update_of(*source) for source in sources))["complaints"]
    assert [both for both in zip(sources, told, strict=True) if both[1]] == []


@pytest.mark.rule("EX3")
def test_the_docs_tell_what_starterkit_lacks() -> None:
    """Every name that may be written and is not StarterKit's stands in the table, with its extensions for both Tiptaps."""
    written = {*TIPTAP.nodes.values(), "taskItem", TIPTAP.hard_break, TIPTAP.image, *TIPTAP.marks.values(), TIPTAP.aligned}
    section = DOCS.read_text().split("## Tiptap's extensions\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+`.*) \| (.+) \| (.+) \|$", section, re.MULTILINE)
    told = {name: (third, second) for names, third, second in rows for name in re.findall(r"`(\w+)`", names)}
    lacking = {name for name, (third, _) in told.items() if "`extension-" in third}
    assert lacking == written - set(read_by_tiptap()["names"])
    assert {third for name, (third, _) in told.items() if name not in lacking} == {"in StarterKit"}
    assert all("`extension-" in second or (second == "the same" and name in lacking) for name, (_, second) in told.items())
