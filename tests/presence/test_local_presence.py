from __future__ import annotations

import pytest

from cowrite.testing.presence_contract import PresenceBackend, PresenceContract
from presence.presence_backends import LocalBackend


class TestLocalPresence(PresenceContract):
    @pytest.fixture
    def backend(self, local: LocalBackend) -> PresenceBackend:
        return local
