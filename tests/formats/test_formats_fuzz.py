"""Random documents: Markdown is read back as what it was made from, HTML is well nested, and no text is lost."""

from __future__ import annotations

from random import Random

import pytest

from cowrite.formats import to_html, to_markdown, to_text
from crdt.random_edits import seeds
from formats.random_trees import RandomTree, WildTree, shapes_of
from formats.states import ReadHtml, tree

pytestmark = pytest.mark.fuzz


@pytest.mark.rule("FO11", "FO12")
def test_markdown_comes_back() -> None:
    """A reader of Markdown finds the blocks, the text and the marks that were written."""
    for seed in seeds(200):
        made = RandomTree(Random(seed))
        markdown = to_markdown(tree(*made.state))
        assert shapes_of(markdown) == made.shapes, (seed, markdown)


@pytest.mark.rule("FO3", "FO4", "FO8")
def test_any_tree() -> None:
    """Whatever a client wrote: well nested HTML, nothing that runs, all of the text, in every format."""
    for seed in seeds(200):
        made = WildTree(Random(seed))
        page = ReadHtml(to_html(made.state))
        assert letters(page.text) == letters(*made.texts), seed
        assert letters(to_text(made.state)).replace(":", "") == letters(*made.texts).replace(":", ""), seed
        assert isinstance(to_markdown(made.state), str)
        for tag, attributes in page.tags:
            assert tag not in {"script", "style", "iframe", "object"}
            assert not any(name.startswith("on") for name in attributes)
            assert not any("javascript:" in (attributes.get(name) or "") for name in ("href", "src", "style"))


def letters(*texts: str) -> str:
    """Texts without blanks, and without what cannot be shown."""
    return "".join("".join(texts).replace("\0", "").replace("\ufffd", "").split())
