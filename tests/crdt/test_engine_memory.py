"""What a document takes in the engine is given back when the document goes."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import psutil
import pytest
from pycrdt import Doc, Text

from cowrite.crdt import utf16
from cowrite.crdt.apply_operations import Replica
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.roots import RootKind

INSERT = [OperationDraft.from_json({"type": "insert", "position": ["t", 0], "content": "a"})]


def typed_text() -> bytes:
    rng = random.Random(1)
    doc: Doc[Text] = Doc()
    text = doc.get("t", type=Text)
    for _ in range(500):
        text.insert(rng.randrange(len(text) + 1), "hello")
    return doc.get_update()


STATE = typed_text()


@pytest.mark.rule("DO1")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Document.from_state(STATE),
        lambda: LogDocument.from_state(STATE, {"t": RootKind.TEXT}),
        lambda: Replica(STATE, {"t": RootKind.TEXT}, 7).apply(INSERT),
    ],
    ids=["live", "log", "replica"],
)
def test_documents_that_go_leave_nothing_behind(make: Callable[[], object]) -> None:
    process = psutil.Process()
    for _ in range(30):
        make()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(200):
        make()
    gc.collect()
    assert (process.memory_info().rss - before) / 200 < len(STATE), "each takes some ten times that while it is there"


@pytest.mark.rule("DO1")
def test_a_document_that_broke_can_go() -> None:
    document = Document.from_state(STATE)
    with pytest.raises(EngineFault):
        document._call(document._engine.apply_update, b"\xff" * 20)
    del document
    gc.collect()


@pytest.mark.rule("DO1")
def test_giving_back_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document whose engine is broken is let go of; what is no fault of the engine is not hidden."""
    document = Document.empty()._engine

    def fail(error: BaseException) -> None:
        raise error

    for error in (ValueError("broken"), KeyboardInterrupt()):
        monkeypatch.setattr(type(document), "unobserve", lambda *_, error=error: fail(error))
        if isinstance(error, Exception):
            utf16._give_back(document, None)
        else:
            with pytest.raises(KeyboardInterrupt):
                utf16._give_back(document, None)
