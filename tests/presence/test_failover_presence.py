from __future__ import annotations

import pytest

from cowrite.testing.presence_contract import PresenceBackend, PresenceContract
from presence.presence_backends import FailoverBackend


class TestFailoverPresence(PresenceContract):
    @pytest.fixture
    def backend(self, failover: FailoverBackend) -> PresenceBackend:
        return failover
