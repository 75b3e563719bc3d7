from __future__ import annotations

import pytest

from cowrite.testing.presence_contract import PresenceBackend, PresenceContract
from presence.presence_backends import SqliteBackend


class TestSqlPresence(PresenceContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> PresenceBackend:
        return sqlite
