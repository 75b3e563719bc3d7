"""Operations of a client without a CRDT library, applied to a document of each kind of root."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft, OperationInvalid
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.protocol.strict_json import read_json
from cowrite.testing.model import Model
from fuzz.targets.thin_messages import OPERATIONS

MAX_BYTES = 1024


@cache
def base() -> tuple[bytes, dict[str, RootKind], str]:
    """A document with something of each kind; its state as JSON is kept as text."""
    made = Doc(
        {
            "text": Text("hello😀"),
            "map": Map({"k": Map({"t": Text("in")}), "n": 1}),
            "list": Array([1, Array([2]), "s"]),
            "xml": XmlFragment([XmlElement("p", {"a": "1"}, [XmlText("par")])]),
        },
        client_id=7,
    )
    log = LogDocument.empty()
    update = made.get_update()
    log.commit([update], [inspect(update)])
    return log.encode(), log.roots, json.dumps(get_state(log))


def check(data: bytes) -> None:
    try:
        values = read_json(data)
    except ValueError:
        return
    state, roots, content = base()
    try:
        drafts = [OperationDraft.from_json(value) for value in (values if isinstance(values, list) else [values])]
        update = apply_operations(state, roots, drafts, client_id=99)
    except OperationInvalid as invalid:
        assert invalid.reason
        return
    if update is None:
        return
    outline = inspect(update)
    log = LogDocument.from_state(state, roots)
    assert not missing(outline, log.state)
    change = log.commit([update], [outline])
    model = Model(json.loads(content))
    for operation in change.operations if change is not None else ():
        model.apply(json.loads(json.dumps(operation.to_json())))
    shown = json.loads(json.dumps(get_state(log)))
    assert _filled(model.state) == _filled(shown), "replaying the operations gives the state"


def _filled(state: dict[str, dict[str, object]]) -> dict[str, object]:
    return {name: value for name, value in state.items() if any(value.values())}


def seeds() -> Iterable[bytes]:
    yield from (json.dumps([operation], ensure_ascii=False).encode() for operation in OPERATIONS)
    yield json.dumps(OPERATIONS).encode()
