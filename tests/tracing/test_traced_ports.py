"""A store with spans promises what the one behind it does, as far as something of its own is between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from cowrite.core.ports import Storage, Store
from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.store_contract.heads import HeadContract
from cowrite.testing.store_contract.submitted import SubmittedContract
from cowrite.tracing import spans as module
from cowrite.tracing.spans import Spans
from stores.store_backends import MemoryBackend
from traced_spans import Traced, traced


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """What is done is traced although it is done for nothing."""
    monkeypatch.setattr(module, "_is_within", lambda: True)
    with traced() as made:
        yield made


class TracedMemoryBackend(MemoryBackend):
    spans: Spans

    async def connect(self, *, patient: bool) -> Storage:
        return self.spans.storage(await super().connect(patient=patient))


class TestTracedStore(HeadContract, SubmittedContract):
    @pytest.fixture
    async def store(self, backend: StoreBackend) -> Store:
        return await backend.open()

    @pytest.fixture
    async def backend(self, spans: Traced) -> AsyncIterator[StoreBackend]:
        backend = TracedMemoryBackend()
        backend.spans = Spans(spans.provider)
        yield backend
        await backend.close()
