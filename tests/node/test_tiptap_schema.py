"""What was imported, read by Tiptap's own binding with Tiptap's own schema: it deletes what that does not allow."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.formats import to_html
from cowrite.formats.shapes import Shape, Source
from cowrite.formats.shaping import shaped
from crdt.random_edits import seeds
from formats.random_trees import RandomTree
from formats.states import tree
from node_program import node

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "clients" / "web"
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


def complaints(*updates: bytes) -> list[str]:
    given = json.dumps([base64.b64encode(update).decode() for update in updates])
    command = [node(), str(HERE / "tiptap_schema.mjs"), str(PAGE)]
    return list(json.loads(subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout))


@pytest.mark.rule("EX3")
def test_tiptap_keeps_all_that_was_imported() -> None:
    """Tasks with anything in them, code with any marks, and random documents, as far as StarterKit has names for them."""
    sources = [(TASKS, Source.MARKDOWN), (MARKS, Source.MARKDOWN)]
    pages = [to_html(tree(*RandomTree(Random(seed)).state)) for seed in seeds(60)]
    sources += [(page, Source.HTML) for page in pages if page and "<table" not in page]
    told = dict(zip(sources, complaints(*(update_of(*source) for source in sources)), strict=True))
    assert {source: complaint for source, complaint in told.items() if complaint} == {}
