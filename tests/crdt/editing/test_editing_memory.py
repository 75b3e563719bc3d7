"""Documents that are closed leave nothing behind."""

from __future__ import annotations

import gc

import psutil
import pytest

from cowrite.crdt.editing.collections import EditableMap
from cowrite.crdt.editing.document import EditableDocument
from cowrite.crdt.editing.text import EditableText
from cowrite.crdt.editing.tree import EditableTree


def use() -> None:
    document = EditableDocument(lambda update: None, lambda change: None)
    text = EditableText(document, document.root("text", "text"), lambda edits: None)
    tree = EditableTree(document, document.root("tree", "xml_fragment"), lambda: None)
    numbers = EditableMap(document, document.root("map", "map"), lambda keys: None)
    text.append("x" * 100_000)
    tree.insert_text(EditableText, 0, "p", "y" * 1000, None).append("z")
    numbers["k"] = {"$array": [1]}
    document.close()


@pytest.mark.rule("PY5")
def test_documents_that_are_closed_leave_nothing_behind() -> None:
    """Each takes half a megabyte while it is there."""
    process = psutil.Process()
    for _ in range(30):
        use()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(200):
        use()
    gc.collect()
    assert (process.memory_info().rss - before) / 200 < 20_000
