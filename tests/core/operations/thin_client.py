"""A client without a CRDT library, on the processes of a test: it replays operations, and shows its own ones at once."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cowrite.core.ids import Ids
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.state import State
from cowrite.core.operations.submissions import Answer, Submission
from cowrite.core.operations.writing import DocumentWriter, WriteRequest
from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.session import Session
from cowrite.testing.clock import ManualClock
from cowrite.testing.model import Model
from cowrite.testing.process import Process
from crdt.random_operations import random_operation


def writer_of(process: Process) -> DocumentWriter:
    access, accounts, storage = process.access, process.journal.accounts, process.storage
    more = access, accounts, process.clock, process.ids, process.limits
    return DocumentWriter(process.registry, storage.history, storage.directory, *more)


@dataclass
class Sent:
    """Something that was submitted and is not known to be read yet."""

    operations: list[dict[str, Any]]
    base: str | None
    answer: asyncio.Future[Answer] | None = None


@dataclass
class ThinClient:
    """One session. ``model`` is what it has read, ``view`` that with its own operations since."""

    name: str
    document_id: str = "doc"
    head: str | None = None
    model: Model = field(default_factory=Model)
    view: Model = field(default_factory=Model)
    sent: list[Sent] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ids = Ids(ManualClock())
        self.session = Session(self.ids.new(), self.document_id, Access(self.name, Grant.WRITE), 0)

    async def read(self, process: Process) -> None:
        """Poll once. Whatever of its own it has not read by then it sends again, made anew for what it sees."""
        async with process.registry.open(self.document_id) as room:
            found = await DocumentReader(process.storage).since(room, self.head)
        if isinstance(found, State):
            self.model = Model(json.loads(found.json))
        else:
            for one in found.entries:
                for operation in json.loads(b"[" + one.operations + b"]"):
                    self.model.apply(operation)
        self.head = found.head
        self.view = copy.deepcopy(self.model)

    def make(self, rng: random.Random, roots: Sequence[str], count: int = 1) -> list[dict[str, Any]]:
        """Operations that fit what it sees; it shows them at once."""
        batch = []
        for _ in range(count):
            if (operation := random_operation(rng, self.view, list(roots))) is not None:
                operation = json.loads(json.dumps(operation)) | {"id": self.ids.new()}
                self.view.apply(operation)
                batch.append(operation)
        return batch

    async def send(self, process: Process, operations: list[dict[str, Any]], *, after: str | None = None) -> Submission:
        """Submit operations at what it has read; does not wait for what becomes of them."""
        return await writer_of(process).queue(self.session, WriteRequest(operations, self.head, after))

    async def insert(self, process: Process, index: int, text: str, **more: Any) -> Submission:
        """Submit one insertion into the text ``body``."""
        operation = {"type": "insert", "position": ["body", index], "content": text} | more
        return await self.send(process, [operation])
