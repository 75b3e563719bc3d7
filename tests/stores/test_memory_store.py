"""The store in memory: the contract, and the failures that it can be told to have."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def backend(self, memory: StoreBackend) -> StoreBackend:
        return memory
